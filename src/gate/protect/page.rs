//! PURE · the answers of a sign-in: pages without scripts and without anything from elsewhere, everything in them escaped;
//! short texts for what is no page; and ways to elsewhere.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::address::Origin;
use crate::domain::plain::html;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}\
                     button,a.go{display:inline-block;font:inherit;padding:.5rem 1rem;border-radius:.4rem;\
                     border:1px solid #1f6feb;background:#1f6feb;color:#fff;text-decoration:none;cursor:pointer}\
                     input{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.3rem 0 1rem}\
                     .wrong{border-left:.2rem solid #d1242f;padding-left:.7rem}hr{margin:2rem 0;border:0;\
                     border-top:1px solid #8884}code{overflow-wrap:anywhere}:root{color-scheme:light dark}";

/// Marks an answer as the gate's own: what keeps apps from setting our cookies must not take them away here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own;

/// A page. `forms_to`: where its forms may lead, also by way of a redirect, as browsers want to know it.
pub(super) fn page(status: StatusCode, title: &str, content: &str, forms_to: &str) -> Response {
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{content}</main></body></html>"
    );
    let mut response = own(status, text, "text/html; charset=utf-8");
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action {forms_to}; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // A form of a page that sends no referrer at all sends no origin either.
    let referrer = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(header::REFERRER_POLICY, referrer);
    response
}

/// A sentence for programs.
pub(super) fn text(status: StatusCode, words: &str) -> Response {
    own(status, format!("{words}\n"), "text/plain; charset=utf-8")
}

fn own(status: StatusCode, text: String, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.extensions_mut().insert(Own);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}

/// Leads elsewhere, by GET, and sets cookies.
pub(super) fn lead(to: &str, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    let mut response = text(StatusCode::SEE_OTHER, "go on there");
    let Ok(to) = HeaderValue::from_str(to) else {
        return text(StatusCode::BAD_REQUEST, "there is no such place");
    };
    response.headers_mut().insert(header::LOCATION, to);
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// On a preview, to whom nobody is known.
pub(super) fn closed(sign_in: &str) -> Response {
    let content = format!(
        "<p>This preview is not open to everybody.</p>\
         <p><a class=\"go\" rel=\"nofollow\" href=\"{}\">Sign in</a></p>",
        html(sign_in)
    );
    page(StatusCode::UNAUTHORIZED, "Sign in to see this preview", &content, "'none'")
}

/// On the gate's host: the ways in.
pub(super) struct Ways<'a> {
    /// Where it leads to.
    pub(super) preview: &'a Origin,
    /// The word that all ways need.
    pub(super) with: &'a str,
    /// GitHub is one.
    pub(super) sign_in: bool,
    /// A password is one.
    pub(super) password: bool,
    /// What was wrong.
    pub(super) wrong: Option<(StatusCode, &'a str)>,
}

impl Ways<'_> {
    pub(super) fn page(&self) -> Response {
        let Self { preview, with, sign_in, password, wrong } = self;
        let with = html(with);
        let mut parts = vec![format!("<p>To see <code>{}</code></p>", html(&preview.to_string()))];
        if let Some((_, words)) = wrong {
            parts.push(format!("<p class=\"wrong\" role=\"alert\">{}</p>", html(words)));
        }
        if *sign_in {
            parts.push(format!(
                "<p><a class=\"go\" rel=\"nofollow\" href=\"/.bivouac/github?with={with}\">Sign in with GitHub</a></p>"
            ));
        }
        if *sign_in && *password {
            parts.push("<hr>".into());
        }
        if *password {
            parts.push(format!(
                "<form method=\"post\" action=\"/.bivouac/password\">\
                 <input type=\"hidden\" name=\"with\" value=\"{with}\">\
                 <label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\" \
                 required autofocus></label><button type=\"submit\">Go on</button></form>"
            ));
        }
        let status = wrong.map_or(StatusCode::OK, |(status, _)| status);
        // Browsers look at where a form's answer leads, too.
        let forms_to = format!("'self' {preview}");
        page(status, "Sign in", &parts.concat(), &forms_to)
    }
}

/// It did not work, and may be begun again.
pub(super) fn refused(status: StatusCode, words: &str, again: Option<&str>) -> Response {
    let again = again.map_or_else(String::new, |to| {
        format!("<p><a class=\"go\" rel=\"nofollow\" href=\"{}\">Begin again</a></p>", html(to))
    });
    let content = format!("<p>{}</p>{again}", html(words));
    page(status, "That did not work", &content, "'none'")
}

/// What is asked before somebody is signed out.
pub(super) fn sign_out() -> Response {
    let content = "<form method=\"post\" action=\"/.bivouac/sign-out\">\
                   <button type=\"submit\">Sign out of this preview</button></form>";
    page(StatusCode::OK, "Sign out", content, "'self'")
}
