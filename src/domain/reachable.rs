//! PURE · which addresses of a camp are asked, with which path, and whether what came back is an answer of the app.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bundle::BundleObject;
use super::dns::is_dns_label;
use super::policy::Url;

/// The longest path that is asked for.
const MAX_PATH: usize = 512;
/// Redirects within one app that are followed.
pub const MAX_REDIRECTS: usize = 3;

/// One address to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Place in the list of the camp's URLs.
    pub index: usize,
    /// The app.
    pub app: String,
    /// The host, one label below the wildcard domain.
    pub host: String,
    /// `scheme://host` or `scheme://host:port`, as the policy has it.
    pub origin: String,
    /// The path.
    pub path: String,
}

/// Each host that a route of the bundle serves, with the path to ask for.
#[must_use]
pub fn routes<'a>(objects: impl IntoIterator<Item = &'a BundleObject>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for object in objects {
        let json = &object.json;
        match json.get("kind").and_then(Value::as_str) {
            Some("Ingress") => {
                for rule in list(json, "/spec/rules") {
                    let paths = list(rule, "/http/paths");
                    let paths = paths.iter().map(|path| text(path, "/path"));
                    note(&mut found, text(rule, "/host"), paths);
                }
            }
            Some("HTTPRoute") => {
                let paths: Vec<&str> = list(json, "/spec/rules")
                    .iter()
                    .flat_map(|rule| match list(rule, "/matches") {
                        [] => vec!["/"],
                        matches => matches.iter().map(|one| text(one, "/path/value")).collect(),
                    })
                    .collect();
                for host in list(json, "/spec/hostnames").iter().filter_map(Value::as_str) {
                    note(&mut found, host, paths.iter().copied());
                }
            }
            _ => {}
        }
    }
    found
}

fn note<'a>(
    found: &mut BTreeMap<String, String>,
    host: &str,
    paths: impl Iterator<Item = &'a str>,
) {
    if host.is_empty() {
        return;
    }
    for path in paths.map(plain_path) {
        let known = found.entry(host.to_owned()).or_insert_with(|| path.clone());
        // The page that people open first: the root, else the shortest path.
        if (path.len(), &path) < (known.len(), &*known) {
            *known = path;
        }
    }
}

/// What of a route's path can be asked for: up to the first character of a pattern.
fn plain_path(path: &str) -> String {
    let end = path.find(|c: char| !c.is_ascii_graphic() || "()[]{}*^$|\\?#+\"<>`%".contains(c));
    let plain = &path[..end.unwrap_or(path.len())];
    if !plain.starts_with('/') || plain.starts_with("//") || plain.len() > MAX_PATH {
        return "/".to_owned();
    }
    plain.to_owned()
}

/// Which of a camp's URLs are asked: those with a route, whose host is one label below the policy's wildcard domain.
/// `urls` are app, assigned host and path of each.
#[must_use]
pub fn targets<'a>(
    urls: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>,
    policy: &Url,
) -> Vec<Target> {
    let below = |host: &str| {
        host.strip_suffix(policy.host.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|label| is_dns_label(label, 63))
    };
    urls.into_iter()
        .enumerate()
        .filter_map(|(index, (app, host, path))| {
            let path = path.filter(|_| below(host))?;
            Some(Target {
                index,
                app: app.to_owned(),
                host: host.to_owned(),
                origin: policy.of(host),
                path: plain_path(path),
            })
        })
        .collect()
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Server`.
        server: String,
        /// `Location`.
        location: Option<String>,
        /// Envoy measured how long the app took: the answer is the app's.
        from_upstream: bool,
        /// The beginning of the body, when the status is 404.
        body: String,
    },
    /// The name does not resolve.
    NameNotFound,
    /// The name leads to an address that is never asked.
    AddressRefused,
    /// There is no connection, for this reason.
    NotConnected(String),
    /// There is one, and no TLS over it, for this reason.
    Tls(String),
    /// It took too long.
    TimedOut,
    /// What came is no answer.
    Broken(String),
}

/// Whether that is what an app answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Answers,
    /// It says that the answer is at another path of the same host.
    Follow(String),
    /// It is not.
    Silent(Silence),
}

/// Why an address does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// One phrase: "its name is not found".
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
    /// It is worth another try within a moment: routes take a second to be known.
    pub young: bool,
}

/// Judges what was heard from `target`.
#[must_use]
pub fn judge(target: &Target, heard: &Heard) -> Verdict {
    let silent = |why: String, hint, young| Verdict::Silent(Silence { why, hint, young });
    let host = &target.host;
    match heard {
        Heard::NameNotFound => silent(
            format!("the name {host} is not found (DNS)"),
            "see that the wildcard name leads to the ingress controller, also where the service runs; --probe-address names the controller where it does not",
            false,
        ),
        Heard::AddressRefused => silent(
            format!(
                "the name {host} leads to an address that is never asked: loopback, link-local or of metadata"
            ),
            "see where the wildcard name leads; --probe-address names the ingress controller",
            false,
        ),
        Heard::NotConnected(why) => silent(
            format!("there is no connection to {host}: {why}"),
            "see that the ingress controller listens on the port of the Repository's url, and can be reached by the service",
            true,
        ),
        Heard::Tls(why) => silent(
            format!("TLS to {host} fails: {why}"),
            "see that the ingress controller has a certificate for the wildcard name, from an issuer that is trusted where the service runs",
            true,
        ),
        Heard::TimedOut => silent(
            format!("{host} does not answer in time"),
            "see whether the app answers within 5 seconds, and whether the camp's network lets the ingress controller in",
            true,
        ),
        Heard::Broken(why) => silent(
            format!("what {host} sends is no answer: {why}"),
            "see that the app speaks HTTP on the exposed port",
            true,
        ),
        Heard::Answer { status: 404, .. } if is_default_backend(heard) => silent(
            format!("{host} answers 404, as an ingress controller does that has no route for it"),
            "see that the controller serves the route's class; when the app itself says 404 there, let expose.path name a page that it has",
            true,
        ),
        Heard::Answer { status, .. } if *status >= 500 => silent(
            format!("{host} answers {status}{}", reason(*status)),
            if matches!(status, 502..=504) {
                "see that the Service's selector and port lead to a pod that listens"
            } else {
                "see the log of the app"
            },
            true,
        ),
        Heard::Answer { status: 300..=399, location: Some(location), .. } => {
            match same_host(target, location) {
                Some(path) => Verdict::Follow(path),
                // Somewhere else: a sign-in, another scheme. The app has answered.
                None => Verdict::Answers,
            }
        }
        Heard::Answer { .. } => Verdict::Answers,
    }
}

/// What is said of an app that leads from page to page without end.
#[must_use]
pub fn circle(target: &Target) -> Silence {
    Silence {
        why: format!("{} leads from one redirect to the next", target.host),
        hint: "let expose.path name a page that answers by itself",
        young: false,
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        500 => " (Internal Server Error)",
        501 => " (Not Implemented)",
        502 => " (Bad Gateway)",
        503 => " (Service Unavailable)",
        504 => " (Gateway Timeout)",
        _ => "",
    }
}

/// The path of a redirect that stays where it was sent from; everything else is not followed.
fn same_host(target: &Target, location: &str) -> Option<String> {
    let location = location.trim();
    let path = match location.strip_prefix(&target.origin) {
        Some("") => "/",
        Some(rest) => rest,
        None => location,
    };
    let path = path.split('#').next().unwrap_or(path);
    let fine = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.len() <= MAX_PATH
        && path.bytes().all(|b| b.is_ascii_graphic());
    fine.then(|| path.to_owned())
}

/// Whether a 404 is one that an ingress controller makes up itself. `docs/health.md` has the list.
fn is_default_backend(heard: &Heard) -> bool {
    let Heard::Answer { server, from_upstream, body, .. } = heard else { return false };
    let server = server.to_ascii_lowercase();
    let body = body.trim();
    // Contour, Envoy Gateway, Istio, Cilium: nothing but a status, and no time that an app took.
    if server.contains("envoy") && body.is_empty() && !from_upstream {
        return true;
    }
    // ALB.
    if server.starts_with("awselb") && body.is_empty() {
        return true;
    }
    // The page that nginx makes up; an app's own nginx tells its version there.
    if body.contains("<hr><center>nginx</center>") {
        return true;
    }
    let lower = body.to_ascii_lowercase();
    [
        // ingress-nginx' and HAProxy's default backend.
        "default backend - 404",
        // GKE.
        "response 404 (backend notfound)",
        // Kong.
        "{\"message\":\"no route matched with those values\"",
        "{\n  \"message\":\"no route matched with those values\"",
    ]
    .iter()
    .any(|beginning| lower.starts_with(beginning))
        // Traefik, and what a Go program says that has no such page.
        || lower == "404 page not found"
        // HAProxy Ingress.
        || lower.contains("<h1>404 not found</h1>\nthe requested url was not found.")
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::bundle::{Origin, Wave};
    use crate::domain::policy::Tls;

    fn policy() -> Url {
        Url {
            host: "x.test".into(),
            scheme: "https".into(),
            port: None,
            ingress_class: None,
            gateway: None,
            tls: Tls::default(),
            probe: true,
        }
    }

    fn target() -> Target {
        let all = targets([("web", "shop-pr-7.x.test", Some("/shop"))], &policy());
        all.into_iter().next().expect("it is asked")
    }

    fn answer(status: u16, server: &str, body: &str) -> Heard {
        Heard::Answer {
            status,
            server: server.into(),
            location: None,
            from_upstream: false,
            body: body.into(),
        }
    }

    fn object(json: Value) -> BundleObject {
        BundleObject {
            json,
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::Routes,
            positions: crate::domain::positions::Positions::default(),
        }
    }

    #[test]
    fn only_assigned_hosts_one_label_below_the_domain_are_asked() {
        let asked = |host: &str| targets([("web", host, Some("/"))], &policy()).len();
        assert_eq!(asked("a.x.test"), 1);
        for host in [
            "x.test",
            ".x.test",
            "a.b.x.test",
            "ax.test",
            "a.x.test.evil.org",
            "169.254.169.254",
            "A.x.test",
            "a@b.x.test",
            "",
        ] {
            assert_eq!(asked(host), 0, "{host}");
        }
        assert!(
            targets([("web", "a.x.test", None)], &policy()).is_empty(),
            "no route, no question"
        );
        let port = Url { port: Some(8443), ..policy() };
        assert_eq!(
            targets([("web", "a.x.test", Some("/"))], &port)[0].origin,
            "https://a.x.test:8443"
        );
    }

    #[test]
    fn the_path_to_ask_for_is_the_routes_shortest() {
        let ingress = object(json!({"kind": "Ingress", "spec": {"rules": [
            {"host": "a.x.test", "http": {"paths": [{"path": "/api"}, {"path": "/"}]}},
            {"host": "b.x.test", "http": {"paths": [{"path": "/v1/items"}, {"path": "/docs(/|$)(.*)"}]}},
            {"http": {"paths": [{"path": "/"}]}},
        ]}}));
        let route =
            object(json!({"kind": "HTTPRoute", "spec": {"hostnames": ["c.x.test"], "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/shop"}}]}]}}));
        let found = routes(&[ingress, route, object(json!({"kind": "Service"}))]);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(host, path)| (host.as_str(), path.as_str())).collect();
        assert_eq!(found, [("a.x.test", "/"), ("b.x.test", "/docs"), ("c.x.test", "/shop")]);
    }

    #[test]
    fn a_404_is_the_controllers_or_the_apps() {
        let is = |server: &str, body: &str| {
            matches!(judge(&target(), &answer(404, server, body)), Verdict::Silent(_))
        };
        for (server, body) in [
            ("", "default backend - 404"),
            (
                "",
                "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
            ),
            ("", "404 page not found\n"),
            ("envoy", ""),
            ("istio-envoy", ""),
            ("awselb/2.0", ""),
            ("", "response 404 (backend NotFound), service rules for the path non-existent \n"),
            ("", "{\"message\":\"no Route matched with those values\"}"),
            (
                "",
                "<html><body><h1>404 Not Found</h1>\nThe requested URL was not found.\n</body></html>\n",
            ),
        ] {
            assert!(is(server, body), "{server} {body}");
        }
        for (server, body) in [
            ("nginx/1.29.0", "<hr><center>nginx/1.29.0</center>"),
            ("", "no such page"),
            ("", ""),
            ("gunicorn", "<h1>Not Found</h1>"),
        ] {
            assert!(!is(server, body), "{server} {body}");
        }
        let mut of_app = answer(404, "envoy", "");
        if let Heard::Answer { from_upstream, .. } = &mut of_app {
            *from_upstream = true;
        }
        assert_eq!(judge(&target(), &of_app), Verdict::Answers);
    }

    #[test]
    fn what_is_no_server_error_is_an_answer() {
        for status in [200, 204, 301, 302, 401, 403, 405, 429] {
            assert_eq!(judge(&target(), &answer(status, "", "")), Verdict::Answers, "{status}");
        }
        for status in [500, 502, 503, 504, 521] {
            let Verdict::Silent(silence) = judge(&target(), &answer(status, "", "")) else {
                panic!("{status}")
            };
            assert!(silence.why.contains(&status.to_string()), "{silence:?}");
        }
    }

    #[test]
    fn name_tls_connection_and_time_are_told_apart() {
        let heard = [
            Heard::NameNotFound,
            Heard::AddressRefused,
            Heard::NotConnected("connection refused".into()),
            Heard::Tls("the certificate is expired".into()),
            Heard::TimedOut,
            Heard::Broken("it is cut off".into()),
        ];
        let mut words: Vec<String> = heard
            .iter()
            .map(|heard| match judge(&target(), heard) {
                Verdict::Silent(silence) => silence.why,
                other => panic!("{other:?}"),
            })
            .collect();
        let all = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn redirects_are_followed_on_the_same_host_only() {
        let to = |location: &str| {
            let mut redirect = answer(302, "", "");
            if let Heard::Answer { location: at, .. } = &mut redirect {
                *at = Some(location.to_owned());
            }
            judge(&target(), &redirect)
        };
        assert_eq!(to("/login?next=%2F#top"), Verdict::Follow("/login?next=%2F".into()));
        assert_eq!(to("https://shop-pr-7.x.test/login"), Verdict::Follow("/login".into()));
        assert_eq!(to("https://shop-pr-7.x.test"), Verdict::Follow("/".into()));
        for away in [
            "//evil.org/",
            "http://169.254.169.254/latest/meta-data",
            "https://shop-pr-7.x.test.evil.org/",
            "https://shop-pr-7.x.test@evil.org/",
            "http://shop-pr-7.x.test/",
            "/\\evil.org",
            "relative",
            "",
        ] {
            assert_eq!(to(away), Verdict::Answers, "{away}");
        }
    }
}
