//! One call to a GitHub API and its answer. No I/O.

use bytes::Bytes;
use http::header::{ETAG, LINK};
use http::{HeaderMap, Method, StatusCode};

use super::error::{ForgeError, one_line};

/// One call: method, path below the API's address (or a whole address from a `Link` header), body.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<serde_json::Value>,
    pub(super) tag: Option<String>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, tag: None }
    }

    /// Method and path, for messages.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, one_line(self.path))
    }
}

/// An answer that is no refusal: 2xx, or 304 when a tag was sent.
pub(super) struct Reply {
    pub(super) call: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Reply {
    /// The body, read as `T`.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ForgeError> {
        // Serde's message may quote values; where it is says enough.
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            self.unexpected(&format!("the body can't be read at {place} ({:?})", error.classify()))
        })
    }

    pub(super) fn unexpected(&self, reason: &str) -> ForgeError {
        ForgeError::Unexpected { call: self.call.clone(), reason: one_line(reason) }
    }

    pub(super) fn tag(&self) -> Option<String> {
        self.headers.get(ETAG)?.to_str().ok().map(str::to_owned)
    }

    /// Address of the next page.
    pub(super) fn next(&self) -> Option<String> {
        self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|all| {
            all.split(',').find_map(|link| {
                let (address, parameters) = link.split_once(';')?;
                let next =
                    parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
                let address = address.trim().strip_prefix('<')?.strip_suffix('>')?;
                next.then(|| address.to_owned())
            })
        })
    }
}
