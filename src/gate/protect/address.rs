//! PURE · addresses around a sign-in: the gate's own, those of previews, and where a browser is led back to. Everything
//! that comes from a browser is hostile: nothing of it can lead to another host.

use std::fmt;

use http::Uri;

/// Longest path that a sign-in leads back to; from a longer one it leads to `/`.
const LONGEST_PATH: usize = 1024;

/// Scheme, host and port, as an origin is written: `https://gate.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    secure: bool,
    host: String,
    port: Option<u16>,
}

/// What is wrong with an address of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write https://HOST, or https://HOST:PORT, without a path; http is for localhost only, since the cookies of a sign-in \
     need https"
)]
pub struct InvalidOrigin;

impl Origin {
    /// The gate's own address, as a person wrote it.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let uri: Uri = text.parse().map_err(|_| InvalidOrigin)?;
        let authority = uri.authority().ok_or(InvalidOrigin)?;
        let bare = matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !text.contains(['@', '#', '?']);
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidOrigin),
        };
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" => None,
            port => Some(port.trim_start_matches(':').parse().map_err(|_| InvalidOrigin)?),
        };
        if !bare {
            return Err(InvalidOrigin);
        }
        Self::new(secure, authority.host(), port).ok_or(InvalidOrigin)
    }

    /// `None`: no name of a host, or plain http that is not on this machine.
    pub(super) fn new(secure: bool, host: &str, port: Option<u16>) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let fine = !host.is_empty() && host.len() <= 253 && host.bytes().all(plain);
        let usual = if secure { 443 } else { 80 };
        let port = port.filter(|port| *port != usual);
        (fine && (secure || is_local(&host))).then_some(Self { secure, host, port })
    }

    /// Over TLS.
    pub(super) fn secure(&self) -> bool {
        self.secure
    }

    /// The name of its host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where GitHub leads people back to who signed in: the App's callback address.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{self}/.bivouac/callback")
    }

    /// Is its host `domain`, or a name below it? Then whoever has a preview there could have a name beside it, set cookies
    /// for it, and would be of the same site.
    #[must_use]
    pub fn is_within(&self, domain: &str) -> bool {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        self.host == domain
            || self.host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Names that lead to this machine, whatever a name server says.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1"
}

/// A path with its query to which a browser may be led on the host where it is: `/` when it is not one. `//host`, `/\host`
/// and control characters, which browsers read as another host, are none; nor is what is the gate's own.
pub(super) fn path_back(path: &str) -> &str {
    let mut bytes = path.bytes();
    let begins = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    // Written as in a request line: what is not ASCII is percent-encoded there.
    let plain =
        path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte));
    let ours = path.starts_with("/.bivouac");
    if begins && plain && !ours && path.len() <= LONGEST_PATH { path } else { "/" }
}

/// The value of a field of a query or a form; the first one when there are several.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    fields(text).find(|(found, _)| found == name).map(|(_, value)| value)
}

fn fields(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// A path with its query, without the fields that are called `name`.
pub(super) fn without_field(path: &str, query: &str, name: &str) -> String {
    let kept = query.split('&').filter(|pair| {
        !pair.is_empty() && decode(pair.split_once('=').map_or(*pair, |(found, _)| found)) != name
    });
    let kept = kept.collect::<Vec<_>>().join("&");
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") }
}

/// Undoes the encoding of forms; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plain::in_query;

    #[test]
    fn an_address_of_the_gate_is_an_origin_over_https() {
        for (text, shown) in [
            ("https://gate.example.com", "https://gate.example.com"),
            ("https://Gate.Example.com/", "https://gate.example.com"),
            ("https://gate.example.com:443", "https://gate.example.com"),
            ("https://gate.example.com:8443", "https://gate.example.com:8443"),
            ("http://gate.localhost:8080", "http://gate.localhost:8080"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.to_string()), Ok(shown.to_owned()));
        }
        for bad in [
            "",
            "gate.example.com",
            "http://gate.example.com",
            "http://localhost.example.com",
            "https://gate.example.com/x",
            "https://gate.example.com?x",
            "https://gate.example.com#x",
            "https://me@gate.example.com",
            "https://gate.example.com:x",
            "https://gate.example.com:99999",
            "ftp://gate.example.com",
            "https://",
            "https://[::1]",
        ] {
            assert_eq!(Origin::parse(bad), Err(InvalidOrigin), "{bad}");
        }
    }

    #[test]
    fn a_host_below_the_previews_is_within() {
        let gate = |host: &str| Origin::new(true, host, None).unwrap();
        for within in ["preview.example.com", "gate.preview.example.com", "a.b.preview.example.com"]
        {
            assert!(gate(within).is_within("preview.example.com"), "{within}");
        }
        for apart in
            ["example.com", "gate.example.com", "xpreview.example.com", "preview.example.org"]
        {
            assert!(!gate(apart).is_within("preview.example.com"), "{apart}");
        }
    }

    #[test]
    fn a_browser_is_led_back_to_the_same_host_or_to_its_root() {
        for fine in
            ["/", "/a", "/a/b?c=d&e=%2F%2Fevil.example", "/a//b", "/x?to=https://evil.example/"]
        {
            assert_eq!(path_back(fine), fine);
        }
        let long = format!("/{}", "x".repeat(1024));
        for bad in [
            "",
            "a",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/ /evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\\b",
            "/a#b",
            "/é",
            "/.bivouac/sign-in?to=/",
            "/.bivouac",
            &long,
        ] {
            assert_eq!(path_back(bad), "/", "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_path_is_asked_for_the_host_stays(path in "[/\\\\\\t\\n\\r a-z.:@#?%0-9-]{0,20}") {
            let base = reqwest::Url::parse("https://pr-7.preview.example.com/x").unwrap();
            // As browsers do it (the URL standard).
            let led = base.join(path_back(&path)).unwrap();
            prop_assert_eq!(led.origin(), base.origin(), "{:?}", path);
        }

        #[test]
        fn what_is_encoded_comes_back(text in ".{0,60}") {
            prop_assert_eq!(field(&format!("a=1&b={}&b=2", in_query(&text)), "b"), Some(text));
        }

        #[test]
        fn no_form_brings_it_down(text in ".{0,80}") {
            let _ = (field(&text, "a"), without_field("/", &text, "a"));
        }
    }

    #[test]
    fn fields_are_found_and_left_out() {
        assert_eq!(field("a=x+y%2b%zz%", "a").as_deref(), Some("x y+%zz%"));
        assert_eq!(field("b=1", "a"), None);
        assert_eq!(
            without_field("/p", "a=1&bivouac%2dbypass=s&b=2", "bivouac-bypass"),
            "/p?a=1&b=2"
        );
        assert_eq!(without_field("/p", "bivouac-bypass=s", "bivouac-bypass"), "/p");
    }
}
