//! PURE · who asks, as the headers of a request tell: a person's browser that opens a page, or anything else. Nothing in
//! here lets anybody in; it decides who wakes a camp and what counts as a visit.

use http::header::{ACCEPT, HOST, ORIGIN, UPGRADE_INSECURE_REQUESTS, USER_AGENT};
use http::{HeaderMap, Method};

/// What programs call themselves that fetch pages without a person before them. In lower case; a part of the name is enough.
const PROGRAMS: [&str; 28] = [
    "bivouac-probe",
    "bot",
    "crawler",
    "spider",
    "slurp",
    "preview",
    "unfurl",
    "facebookexternalhit",
    "whatsapp",
    "skypeuri",
    "embedly",
    "vkshare",
    "mastodon",
    "pingdom",
    "uptime",
    "statuscake",
    "monitor",
    "lighthouse",
    "curl/",
    "wget/",
    "python-",
    "go-http-client",
    "java/",
    "okhttp",
    "node-fetch",
    "axios/",
    "libwww",
    "kube-probe",
];

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A program that says so, or that does not say what it is.
pub(super) fn is_program(headers: &HeaderMap) -> bool {
    let agent = text(headers, USER_AGENT.as_str()).unwrap_or_default().to_ascii_lowercase();
    agent.is_empty() || PROGRAMS.iter().any(|name| agent.contains(name))
}

/// Whether an answer may be a page.
pub(super) fn takes_pages(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = text(headers, ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"));
    matches!(*method, Method::GET | Method::HEAD) && accepts
}

/// A person opens a page: a browser says that it navigates to a document, and does not fetch it on suspicion. Browsers say
/// so on https and on localhost in `Sec-Fetch-*`; elsewhere all of them ask for upgrades of what they navigate to.
pub(super) fn opens_page(method: &Method, headers: &HeaderMap) -> bool {
    let early = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| headers.contains_key(*name));
    let (mode, destination) = (text(headers, "sec-fetch-mode"), text(headers, "sec-fetch-dest"));
    let navigates = match (mode, destination) {
        (None, None) => text(headers, UPGRADE_INSECURE_REQUESTS.as_str()) == Some("1"),
        (mode, destination) => mode == Some("navigate") && destination == Some("document"),
    };
    *method == Method::GET
        && takes_pages(method, headers)
        && navigates
        && !early
        && !is_program(headers)
}

/// A request that a page of this very host has sent. Every browser names the origin of a POST, and no page can make it name
/// another one.
pub(super) fn is_of_own_page(headers: &HeaderMap) -> bool {
    let own = |origin: &str| {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let host = text(headers, HOST.as_str());
        authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, more) = (origins.next(), origins.next());
    let origin = origin.and_then(|origin| origin.to_str().ok());
    more.is_none()
        && origin.is_some_and(own)
        && text(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, FIREFOX.parse().expect("a value"));
        headers.insert(ACCEPT, "text/html,*/*;q=0.8".parse().expect("a value"));
        for (name, value) in all {
            headers.insert(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn only_a_browser_that_navigates_opens_a_page() {
        let opens = |all: &[(&'static str, &str)]| opens_page(&Method::GET, &headers(all));
        let navigates = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(opens(&navigates));
        assert!(opens(&[("upgrade-insecure-requests", "1")]), "over plain http");
        assert!(!opens(&[]), "something that says that it is a browser");
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("purpose", "prefetch"),
            ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)"),
            ("user-agent", "Slackbot-LinkExpanding 1.0"),
            ("user-agent", "bivouac-probe"),
            ("user-agent", "curl/8.5"),
            ("user-agent", ""),
            ("accept", "*/*"),
            ("sec-fetch-dest", "iframe"),
            ("sec-fetch-mode", "cors"),
        ] {
            let all: Vec<_> = navigates.into_iter().chain([(name, value)]).collect();
            assert!(!opens(&all), "{name}: {value}");
        }
        assert!(!opens_page(&Method::POST, &headers(&navigates)));
        let mixed = [("sec-fetch-mode", "cors"), ("upgrade-insecure-requests", "1")];
        assert!(!opens(&mixed), "what tells more is believed");
    }

    #[test]
    fn only_a_page_of_the_same_host_may_ask() {
        let own = |all: &[(&'static str, &str)]| is_of_own_page(&headers(all));
        let host = ("host", "a.preview.test:8080");
        assert!(own(&[host, ("origin", "http://a.preview.test:8080")]));
        let same = ("sec-fetch-site", "same-origin");
        assert!(own(&[host, ("origin", "https://A.preview.test:8080"), same]));
        for all in [
            vec![host],
            vec![("origin", "http://a.preview.test:8080")],
            vec![host, ("origin", "null")],
            vec![host, ("origin", "http://b.preview.test:8080")],
            vec![host, ("origin", "http://a.preview.test")],
            vec![host, ("origin", "http://a.preview.test:8080.evil.test")],
            vec![host, ("origin", "http://a.preview.test:8080"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(!own(&all), "{all:?}");
        }
    }
}
