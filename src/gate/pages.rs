//! PURE · what the gate says itself: one page for people, one line for programs. In: how a camp is; out: an answer. The page
//! brings everything that it needs, and works without its script by a button.

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handlebars::Handlebars;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::site::{Camp, State};

const PAGE: &str = include_str!("../../templates/gate/page.html.hbs");
const STYLE: &str = include_str!("../../templates/gate/page.css");
const SCRIPT: &str = include_str!("../../templates/gate/page.js");
/// On every answer that is the gate's own: by it a page knows that the app does not answer yet.
pub(super) const MARK: HeaderName = HeaderName::from_static("x-bivouac-gate");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// What is said of a camp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// One word for the script.
    pub(super) state: &'static str,
    pub(super) heading: &'static str,
    pub(super) text: String,
    /// When it is worth to ask again, in seconds.
    pub(super) seconds: i64,
}

/// How a camp is, for whoever looks.
pub(super) fn of(camp: &Camp) -> Said {
    let seconds = camp.takes.num_seconds();
    let (state, heading, text) = match camp.state {
        State::Awake => ("awake", "This preview is awake", "It answers.".to_owned()),
        State::Asleep => (
            "asleep",
            "This preview sleeps",
            format!("Once it is woken, it answers in about {seconds} s."),
        ),
        State::Turning => (
            "turning",
            "This preview is waking",
            format!("It answers in about {seconds} s; this page then shows it by itself."),
        ),
        State::Troubled => (
            "troubled",
            "This preview does not answer yet",
            "It is being started, or something is wrong with it: its pull request says which."
                .to_owned(),
        ),
    };
    Said { state, heading, text, seconds }
}

/// Somebody asked for the camp to be woken, and it is not awake yet.
pub(super) fn waking(camp: &Camp) -> Said {
    let seconds = camp.takes.num_seconds();
    let text = format!("Waking, about {seconds} s. This page then shows the preview by itself.");
    Said { state: "turning", heading: "This preview is waking", text, seconds }
}

/// It should answer, and does not.
pub(super) fn silent() -> Said {
    let heading = "This preview does not answer";
    let text = "Its app takes no connection. This page tries it again.".to_owned();
    Said { state: "silent", heading, text, seconds: 5 }
}

/// The pages, and what browsers are told of them.
pub(super) struct Pages {
    templates: Handlebars<'static>,
    policy: HeaderValue,
}

impl Pages {
    pub(super) fn new() -> Self {
        let mut templates = Handlebars::new();
        templates.set_strict_mode(true);
        #[expect(
            clippy::expect_used,
            reason = "the text is a part of the program, and tests read it"
        )]
        templates.register_template_string("page", PAGE).expect("the page is a template");
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        #[expect(clippy::expect_used, reason = "base64 and plain words are a header's value")]
        let policy = HeaderValue::from_str(&policy).expect("a header's value");
        Self { templates, policy }
    }

    /// The page. With `word` it has a button and wakes by its script; `details` are shown as they are, as text.
    pub(super) fn page(&self, said: &Said, word: Option<&str>, details: Option<&str>) -> Response {
        // What sleeps does not change by itself, so that a page without a script asks again only while something goes on.
        let refresh = (word.is_none() && said.state != "awake").then_some(5);
        let context = json!({
            "state": said.state,
            "heading": said.heading,
            "text": said.text,
            "seconds": said.seconds,
            "word": word.unwrap_or_default(),
            "details": details.unwrap_or_default(),
            "refresh": refresh,
            "polls": true,
            "style": STYLE,
            "script": SCRIPT,
        });
        match self.templates.render("page", &context) {
            Ok(page) => {
                let mut answer = own(StatusCode::SERVICE_UNAVAILABLE, page);
                let headers = answer.headers_mut();
                let html = HeaderValue::from_static("text/html; charset=utf-8");
                headers.insert(CONTENT_TYPE, html);
                headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
                headers.insert(RETRY_AFTER, said.seconds.max(1).into());
                answer
            }
            Err(error) => {
                tracing::error!("the gate's page can't be written: {error}");
                line(StatusCode::SERVICE_UNAVAILABLE, said.heading)
            }
        }
    }
}

/// One line of plain text.
pub(super) fn line(status: StatusCode, text: &str) -> Response {
    own(status, format!("{text}\n"))
}

/// One line for a program that may come again.
pub(super) fn later(said: &Said) -> Response {
    let mut answer = line(StatusCode::SERVICE_UNAVAILABLE, said.heading);
    answer.headers_mut().insert(RETRY_AFTER, said.seconds.max(1).into());
    answer
}

/// For the script.
pub(super) fn data(status: StatusCode, said: &Said) -> Response {
    let Said { state, heading: _, text, seconds } = said;
    let value: Value = json!({"state": state, "text": text, "seconds": seconds});
    let mut answer = own(status, value.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// What every answer of the gate itself has.
fn own(status: StatusCode, text: String) -> Response {
    let mut answer = (status, text).into_response();
    let headers = answer.headers_mut();
    for (name, value) in [
        (MARK, "1"),
        (CACHE_CONTROL, "no-store"),
        (ROBOTS, "noindex"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A form of a page that sends no referrer at all sends no origin either.
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
