//! PURE · the pages of a setup: without scripts, without anything from elsewhere, and everything in them escaped.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::Done;
use crate::domain::plain::html;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:4rem auto;padding:0 1rem}\
                     button,a.go{font:inherit;padding:.5rem 1rem;border-radius:.4rem;border:1px solid #1f6feb;\
                     background:#1f6feb;color:#fff;text-decoration:none;cursor:pointer}\
                     pre{white-space:pre-wrap;background:#8881;padding:1rem}:root{color-scheme:light dark}";

/// Leads to GitHub, with the manifest.
pub(super) fn begin(action: &str, web: &str, manifest: &str) -> Response {
    let (action, shown, manifest) = (html(action), html(web), html(manifest));
    let content = format!(
        "<h1>Make a GitHub App for Bivouac</h1>\
         <p>{shown} shows what it may do and asks you for its name. Then it leads you back here, and its key goes straight \
         to where you asked for it.</p>\
         <form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"manifest\" value=\"{manifest}\">\
         <button type=\"submit\">Go on at {shown}</button></form>"
    );
    page(StatusCode::OK, &content, web)
}

/// All is done.
pub(super) fn done(done: &Done) -> Response {
    let Done { slug, id, install, stored } = done;
    let link = if install.starts_with("http") { html(install) } else { String::new() };
    let content = format!(
        "<h1>The App {} is made</h1><p>Its number is {id}. {}</p>\
         <p>One thing is left: install it for the repositories that are to be served.</p>\
         <p><a class=\"go\" rel=\"noreferrer\" href=\"{link}\">Install it</a></p>",
        html(slug),
        html(stored)
    );
    page(StatusCode::OK, &content, "'none'")
}

/// It did not work.
pub(super) fn refused(status: StatusCode, words: &str, why: Option<&str>) -> Response {
    let why = why.map_or_else(String::new, |why| format!("<pre>{}</pre>", html(why)));
    page(status, &format!("<h1>That did not work</h1><p>{}</p>{why}", html(words)), "'none'")
}

fn page(status: StatusCode, content: &str, forms_to: &str) -> Response {
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Bivouac</title>\
         <style>{STYLE}</style></head><body>{content}</body></html>"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action {forms_to}; base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
