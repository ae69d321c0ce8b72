//! Who may see a preview. In: a request to a known host; out: the same request without what is only the gate's, or the
//! answer in its place.

use axum::extract::Request;
use axum::response::Response;

use super::Parts;
use super::follow::Directory;
use super::site::Site;

/// Somebody may see the preview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Who it is, where somebody is signed in.
    pub(super) visitor: Option<String>,
}

/// The protection of previews.
pub(super) struct Protect;

impl Protect {
    /// For the gate that these parts make up; the directory has the key that words are signed with.
    pub(super) fn new(_parts: &Parts, _directory: &Directory) -> Self {
        Self
    }

    /// The answer on the gate's own host (sign-in); `None`: `host` is not that.
    #[expect(clippy::unused_async, reason = "signing in asks the forge")]
    pub(super) async fn own(&self, _host: &str, _request: &mut Request) -> Option<Response> {
        None
    }

    /// Asked for each request to a known host, before anything else is done about it: also for those below `/.bivouac/`.
    #[expect(clippy::unused_async, reason = "signing in asks the forge")]
    pub(super) async fn admit(
        &self,
        _request: &mut Request,
        _site: &Site,
    ) -> Result<Admitted, Response> {
        Ok(Admitted::default())
    }

    /// Each answer of a known host goes through here, whoever made it: the app behind it, the waiting page, or
    /// [`admit`](Self::admit).
    pub(super) fn leave(&self, _site: &Site, _answer: &mut Response) {}
}
