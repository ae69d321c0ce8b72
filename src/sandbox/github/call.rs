//! PURE · one API request as the routes see it, and what they answer: parsing, paging, conditional answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::model::{Actor, Time};
use super::refusal::Refusal;

/// Rows of a page when nobody asks for another number.
const PER_PAGE: usize = 30;
/// GitHub gives no longer pages.
const MOST_PER_PAGE: usize = 100;

/// An API request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    /// Without the API's prefix.
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Bytes,
    pub(super) actor: Actor,
    /// No page has more rows than this.
    pub(super) rows: Option<usize>,
    /// So many rows come (or go, when negative) before each later page, while the client is between two pages.
    pub(super) moving: isize,
}

/// An answer of the API.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Option<Value>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    pub(super) fn created(body: Value) -> Self {
        Self::new(201, body)
    }

    pub(super) fn empty() -> Self {
        Self { status: 204, body: None, headers: Vec::new() }
    }

    pub(super) fn refused(refusal: &Refusal) -> Self {
        let mut reply = Self::new(refusal.status, refusal.body());
        if let Some(location) = &refusal.location {
            reply.headers.push(("location", location.clone()));
        }
        reply
    }

    /// Weak `ETag` over the body.
    pub(super) fn etag(&self) -> Option<String> {
        let body = self.body.as_ref()?;
        Some(format!("W/\"{}\"", hex::encode(Sha256::digest(body.to_string()))))
    }
}

impl Call {
    /// Percent-decoded parts of the path.
    pub(super) fn segments(&self) -> Vec<String> {
        self.path.trim_start_matches('/').split('/').map(decode).collect()
    }

    /// The body as JSON; an empty one is `{}`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let raw: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        let value: Value =
            serde_json::from_slice(raw).map_err(|_| Refusal::new(400, "Problems parsing JSON"))?;
        if !value.is_object() && !value.is_array() {
            return Err(Refusal::new(400, "Body should be a JSON object"));
        }
        serde_json::from_value(value)
            .map_err(|error| Refusal::unprocessable(format!("Invalid request.\n\n{error}")))
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The number of the page, and how many rows it has.
    pub(super) fn page(&self) -> (usize, usize) {
        let number = |name: &str| self.query(name).and_then(|text| text.parse::<usize>().ok());
        let per_page = number("per_page").filter(|n| *n > 0).unwrap_or(PER_PAGE).min(MOST_PER_PAGE);
        let per_page = self.rows.map_or(per_page, |rows| per_page.min(rows));
        (number("page").unwrap_or(1).max(1), per_page)
    }

    /// One page of `rows`, and the `Link` header when there are more.
    pub(super) fn paged<T>(&self, api: &str, rows: Vec<T>) -> (Vec<T>, Option<String>) {
        let (page, per_page) = self.page();
        let last = rows.len().div_ceil(per_page).max(1);
        let mut links = Vec::new();
        let mut link = |to: usize, rel: &str| {
            let address = self.address_with(api, "page", &to.to_string());
            links.push(format!("<{address}>; rel=\"{rel}\""));
        };
        if page > 1 {
            link((page - 1).min(last), "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        let moved = if page > 1 { self.moving } else { 0 };
        let first = (page - 1).saturating_mul(per_page).saturating_add_signed(moved);
        let rows = rows.into_iter().skip(first).take(per_page);
        (rows.collect(), (!links.is_empty()).then(|| links.join(", ")))
    }

    /// The address of this call, with another value of one part of its query.
    pub(super) fn address_with(&self, api: &str, name: &str, value: &str) -> String {
        let others = self.query.iter().filter(|(known, _)| *known != name);
        let mut query: Vec<String> = others
            .map(|(name, value)| {
                format!("{}={}", super::views::encode(name), super::views::encode(value))
            })
            .collect();
        query.push(format!("{name}={}", super::views::encode(value)));
        format!("{api}{}?{}", self.path, query.join("&"))
    }

    /// A page of a plain list.
    pub(super) fn list(&self, api: &str, rows: Vec<Value>) -> Reply {
        let (rows, link) = self.paged(api, rows);
        Self::with_link(Reply::ok(rows.into()), link)
    }

    /// A page of a list inside `{total_count, <name>}`.
    pub(super) fn counted(&self, api: &str, name: &str, rows: Vec<Value>) -> Reply {
        let total = rows.len();
        let (rows, link) = self.paged(api, rows);
        let mut body = serde_json::json!({ "total_count": total });
        body[name] = rows.into();
        Self::with_link(Reply::ok(body), link)
    }

    fn with_link(mut reply: Reply, link: Option<String>) -> Reply {
        if let Some(link) = link {
            reply.headers.push(("link", link));
        }
        reply
    }

    /// A time out of the query.
    pub(super) fn time(&self, name: &str) -> Result<Option<Time>, Refusal> {
        let Some(text) = self.query(name) else { return Ok(None) };
        let parsed = chrono::DateTime::parse_from_rfc3339(text);
        parsed
            .map(|at| Some(at.to_utc()))
            .map_err(|_| Refusal::invalid("Request", name, "invalid", None))
    }
}

/// Undoes percent-encoding; what is not valid stays.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The pairs of a query string.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// A header value; what can't be one is left out by the caller.
pub(super) fn header(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(value).ok()
}
