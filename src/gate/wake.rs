//! I/O · waking: the word that a page of ours carries, what comes back with it, and the Request that is written then. A
//! hundred visitors at all replicas write one Request: its name is that of the sleep.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use chrono::TimeDelta;
use http::header::{ACCEPT, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::Inner;
use super::pages::{self, data, later, line};
use super::pass::short_body;
use super::protect::Admitted;
use super::site::{Camp, Site, State};
use super::visitor::{is_of_own_page, is_program, takes_pages};
use super::words::Purpose;
use crate::crd;

/// A page may wake a camp.
const WAKE: Purpose = Purpose("wake");
/// A page that was left open for longer has to be loaded anew.
const PAGE_LIVES: TimeDelta = TimeDelta::minutes(30);
/// A wish to wake that came to nothing may be repeated after so long; until then it is the same wish.
const SAME_WISH: i64 = 600;
/// Most bytes of a form that holds one word.
const FORM: usize = 8 << 10;
/// Who asks where nobody is signed in.
const VISITOR: &str = "visitor";

impl Inner {
    /// The page of a camp that does not answer, or a line for who takes no pages.
    pub(super) fn waiting(&self, site: &Site, said: &pages::Said, request: &Asked) -> Response {
        if !request.pages || request.program {
            return later(said);
        }
        let wakes = site.camp.state == State::Asleep;
        let key = self.directory.key().filter(|_| wakes);
        let word = key.map(|key| {
            let content = format!("{}\n{}\n{}", site.camp.uid, sleep(&site.camp), request.path);
            key.sign(WAKE, &site.host, (self.parts.clock.now(), PAGE_LIVES), &content)
        });
        // Who is let in to a protected preview may know how it does; the whole world may not.
        let protected = site.repository.spec.url.protect.is_some();
        let details = Some(site.camp.reason.as_str()).filter(|_| protected && !wakes);
        self.pages.page(said, word.as_deref(), details)
    }

    /// `POST /.bivouac/wake`.
    pub(super) async fn wake(&self, site: &Site, by: &Admitted, request: Request) -> Response {
        if *request.method() != Method::POST {
            return line(StatusCode::METHOD_NOT_ALLOWED, "a preview is woken by POST");
        }
        let headers = request.headers();
        if is_program(headers) || !is_of_own_page(headers) {
            return line(StatusCode::FORBIDDEN, "only a page of this preview wakes it");
        }
        let for_script = !headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let Some(form) = short_body(request.into_body(), FORM).await else {
            return line(StatusCode::BAD_REQUEST, "the form can't be read");
        };
        let path = self.directory.key().and_then(|key| {
            let form = std::str::from_utf8(&form).ok()?;
            // What we sign has no character that a form changes.
            let word = form.split('&').find_map(|pair| pair.strip_prefix("word="))?;
            let content = key.read(WAKE, &site.host, self.parts.clock.now(), word)?;
            let mut lines = content.splitn(3, '\n');
            let (uid, _, path) = (lines.next()?, lines.next()?, lines.next()?);
            (uid == site.camp.uid).then(|| path.to_owned())
        });
        let Some(path) = path else {
            return line(StatusCode::FORBIDDEN, "this page is too old; load it again");
        };
        if site.camp.state == State::Asleep
            && let Err(error) = self.ask(&site.camp, by).await
        {
            tracing::error!(camp = site.camp.environment, "can't ask to wake it: {error}");
            return line(StatusCode::SERVICE_UNAVAILABLE, "it can't be woken now; try again");
        }
        self.visit(&site.camp).await;
        if for_script {
            return data(StatusCode::ACCEPTED, &pages::waking(&site.camp));
        }
        // Signed by us, and on this host whatever it is.
        let back = HeaderValue::from_str(&path).unwrap_or(HeaderValue::from_static("/"));
        let mut answer = line(StatusCode::SEE_OTHER, "it wakes").into_response();
        answer.headers_mut().insert(LOCATION, back);
        answer
    }

    /// `GET /.bivouac/state`.
    #[expect(clippy::unused_self, reason = "one of the gate's own paths, as the others")]
    pub(super) fn state(&self, site: &Site) -> Response {
        data(StatusCode::OK, &pages::of(&site.camp))
    }

    /// Writes down that somebody wants it awake. That it is written down already is as good.
    async fn ask(&self, camp: &Camp, by: &Admitted) -> Result<(), kube::Error> {
        let now = self.parts.clock.now();
        let login = by.visitor.clone().unwrap_or_else(|| VISITOR.to_owned());
        let spec = crd::RequestSpec {
            environment: camp.environment.clone(),
            verb: "wake".into(),
            arguments: Vec::new(),
            slip: None,
            from: crd::Origin { kind: crd::OriginKind::Gate, id: sleep(camp) },
            by: crd::Requester { login, id: 0, bot: false },
            at: now.into(),
        };
        let name = self.wish(camp);
        let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        let request = crd::Request { metadata, spec, status: None };
        match self.requests().create(&PostParams::default(), &request).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn requests(&self) -> Api<crd::Request> {
        Api::namespaced(self.parts.home.clone(), &self.parts.namespace)
    }

    /// The name of a wish: the same for all who have it at about the same time.
    fn wish(&self, camp: &Camp) -> String {
        let since = camp.since.unwrap_or_default();
        let passed = (self.parts.clock.now() - since).num_seconds().max(0);
        format!("gate-{}-{}-{}", camp.environment, since.timestamp(), passed / SAME_WISH)
    }
}

/// Which sleep it is.
fn sleep(camp: &Camp) -> String {
    camp.since.unwrap_or_default().timestamp().to_string()
}

/// What has to be known of a request once it has gone on.
pub(super) struct Asked {
    pub(super) pages: bool,
    pub(super) program: bool,
    pub(super) path: String,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        // `//host` would be another host.
        let sound = path.starts_with('/') && !path.starts_with("//") && path.len() <= 1024;
        Self {
            pages: takes_pages(request.method(), request.headers()),
            program: is_program(request.headers()),
            path: if sound && !path.contains('\\') { path.to_owned() } else { "/".to_owned() },
        }
    }
}
