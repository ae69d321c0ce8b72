//! PURE · headers on their way through: those that are for one hop end here, and the next one is told who was before it.

use std::net::IpAddr;

use http::header::{
    CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// Who has the other end of the connection: an extension of each request that came over a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// For one hop, whatever `Connection` names.
const HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// The host that a request is for: lower case, without port; `None`: it names none, or several.
pub(super) fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(HOST).iter();
    let (first, more) = (all.next(), all.next());
    let authority = match (first, more) {
        (Some(host), None) => host.to_str().ok()?,
        (None, None) => uri.authority()?.as_str(),
        _ => return None,
    };
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (!name.is_empty() && name.len() <= 253 && name.bytes().all(sound)).then_some(name)
}

/// Whether a request asks for a websocket. Another protocol is never changed to: `h2c` would be a way past what looks at
/// single requests.
pub(super) fn wants_websocket(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET && is_websocket(headers)
}

/// Whether headers change a connection to a websocket.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let (upgrade, more) = (upgrades.next(), upgrades.next());
    let upgrade = upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    upgrade && more.is_none() && named_by_connection(headers).any(|name| name == UPGRADE)
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok())
}

/// Takes away what is for one hop.
pub(super) fn end_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = named_by_connection(headers).collect();
    for name in named.iter().chain(&HOP) {
        headers.remove(name);
    }
    // Of this one, only that trailers are understood may go on.
    let trailers =
        headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if !trailers {
        headers.remove(TE);
    }
}

/// The next hop is to change to a websocket, too.
pub(super) fn change_to_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

/// Tells the app who asked whom over what. What the ingress controller said before us stays.
pub(super) fn forward(headers: &mut HeaderMap, peer: Option<Peer>, scheme: &str) {
    if let Some(Peer(address)) = peer {
        let name = HeaderName::from_static("x-forwarded-for");
        let mut before: Vec<String> = headers
            .get_all(&name)
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
            .collect();
        before.push(address.to_string());
        if let Ok(value) = before.join(", ").parse() {
            headers.insert(name, value);
        }
    }
    let host = headers.get(HOST).cloned();
    let scheme = HeaderValue::from_str(scheme).ok();
    for (name, value) in [("x-forwarded-host", host), ("x-forwarded-proto", scheme)] {
        let name = HeaderName::from_static(name);
        if let (false, Some(value)) = (headers.contains_key(&name), value) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_host_is_one_name() {
        let of = |all: &[(&'static str, &'static str)], uri: &'static str| {
            host(&Uri::from_static(uri), &headers(all))
        };
        assert_eq!(of(&[("host", "A.test.:80")], "/").as_deref(), Some("a.test"));
        assert_eq!(of(&[], "http://b.test/x").as_deref(), Some("b.test"));
        assert_eq!(of(&[("host", "a.test")], "http://b.test/").as_deref(), Some("a.test"));
        for all in [&[("host", "a"), ("host", "b")][..], &[("host", "")], &[("host", "a/b")], &[]] {
            assert_eq!(of(all, "/"), None, "{all:?}");
        }
    }

    #[test]
    fn what_is_for_one_hop_ends_here() {
        let mut all = headers(&[
            ("connection", "X-Once, keep-alive"),
            ("x-once", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("cookie", "a=b"),
        ]);
        end_hop(&mut all);
        assert_eq!(all, headers(&[("cookie", "a=b")]));
    }

    #[test]
    fn only_a_websocket_is_changed_to() {
        let upgrade = ("connection", "keep-alive, Upgrade");
        let wants =
            |all: &[(&'static str, &'static str)]| wants_websocket(&Method::GET, &headers(all));
        assert!(wants(&[upgrade, ("upgrade", "WebSocket")]));
        assert!(!wants(&[upgrade, ("upgrade", "h2c")]));
        assert!(!wants(&[upgrade, ("upgrade", "websocket"), ("upgrade", "h2c")]));
        assert!(!wants(&[("upgrade", "websocket")]));
        let all = headers(&[upgrade, ("upgrade", "websocket")]);
        assert!(!wants_websocket(&Method::POST, &all));
    }

    #[test]
    fn the_app_learns_who_asked() {
        let mut all = headers(&[("host", "a.test:8080"), ("x-forwarded-for", "1.2.3.4")]);
        forward(&mut all, Some(Peer([10, 0, 0, 1].into())), "https");
        let of = |name: &str| all.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(of("x-forwarded-for"), Some("1.2.3.4, 10.0.0.1"));
        assert_eq!(of("x-forwarded-host"), Some("a.test:8080"));
        assert_eq!(of("x-forwarded-proto"), Some("https"));
        let mut all = headers(&[("x-forwarded-proto", "http")]);
        forward(&mut all, None, "https");
        assert_eq!(all, headers(&[("x-forwarded-proto", "http")]));
    }
}
