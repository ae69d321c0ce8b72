//! Address of a GitHub API. No I/O.

use std::fmt;

use http::Uri;
use http::uri::{Authority, Scheme};

use super::error::one_line;

/// Address of a GitHub API: `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiUrl(String);

/// Why an address is not taken as that of an API.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} can't be the address of a GitHub API: {rule}")]
pub struct InvalidApiUrl {
    url: String,
    rule: &'static str,
}

impl ApiUrl {
    /// Checks the form. `http://` only with `allow_http`.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, InvalidApiUrl> {
        let wrong = |rule| InvalidApiUrl { url: one_line(text), rule };
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong("it is no URL"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if allow_http => {}
            Some("http") => return Err(wrong("http is not allowed by the service's settings")),
            _ => return Err(wrong("it must begin with https://")),
        }
        match uri.authority() {
            Some(host) if !host.host().is_empty() && !host.as_str().contains('@') => {}
            _ => return Err(wrong("it needs a host, without user or password")),
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong("it may not have a query or a fragment"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// As text, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn home(&self) -> Option<(Scheme, Authority)> {
        let uri: Uri = self.0.parse().ok()?;
        Some((uri.scheme()?.clone(), uri.authority()?.clone()))
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
