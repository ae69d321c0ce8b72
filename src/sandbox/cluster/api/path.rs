//! (method, path, query) → what is asked of which resource. Pure, no I/O.

use std::collections::BTreeMap;

use http::Method;

use super::status::ApiError;

/// The query, decoded; of a repeated key the first counts, as in Go's `Values.Get`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(key, true)).or_default().push(decode(value, true));
        }
        Self(values)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|all| all.first()).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The same with another value for `key`.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.0.insert(key.to_owned(), vec![value.to_owned()]);
        self
    }

    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Absent is false; present without a value is true, as Kubernetes reads it.
    pub(crate) fn flag(&self, key: &str) -> bool {
        match self.0.get(key).and_then(|all| all.first()) {
            Some(value) => !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"),
            None => false,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        self.get(key)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "strconv.ParseInt: parsing {text:?}: invalid syntax"
                    ))
                })
            })
            .transpose()
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in pairs {
            values.entry((*key).into()).or_default().push((*value).into());
        }
        Self(values)
    }
}

/// Percent signs resolved; in a query `+` is a blank.
pub(crate) fn decode(text: &str, in_query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' if in_query => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let hex = [ahead.next(), ahead.next()]
                    .into_iter()
                    .map(|d| d.and_then(|d| char::from(d).to_digit(16)))
                    .collect::<Option<Vec<u32>>>();
                if let Some([high, low]) = hex.as_deref() {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    rest = ahead;
                } else {
                    bytes.push(b'%');
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/api/…` or `/apis/…` below a group and version, with a resource.
    Resource(ResourcePath),
    /// Everything else: `/version`, `/api`, `/apis/apps/v1`, `/openapi/v3`, `/healthz` …
    Path(String),
}

/// The parts of a resource's path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// What follows the subresource (of proxies).
    pub(crate) rest: Vec<String>,
}

/// Takes a path apart, as the real server's `RequestInfo` does.
pub(crate) fn parse(path: &str) -> Target {
    let other = || Target::Path(path.to_owned());
    let mut parts: Vec<String> =
        path.split('/').filter(|p| !p.is_empty()).map(|p| decode(p, false)).collect();
    let mut found = ResourcePath::default();
    let used = match parts.first().map(String::as_str) {
        Some("api") if parts.len() >= 3 => 2,
        Some("apis") if parts.len() >= 4 => {
            found.group.clone_from(&parts[1]);
            3
        }
        _ => return other(),
    };
    found.version.clone_from(&parts[used - 1]);
    parts.drain(..used);
    if parts.first().is_some_and(|p| p == "namespaces") && parts.len() > 1 {
        found.namespace.clone_from(&parts[1]);
        // `/namespaces/x/status` is a subresource of the namespace, `/namespaces/x/pods` is not.
        let own = parts.len() == 2
            || (parts.len() == 3 && matches!(parts[2].as_str(), "status" | "finalize"));
        if !own {
            parts.drain(..2);
        }
    }
    let mut parts = parts.into_iter();
    found.resource = parts.next().unwrap_or_default();
    found.name = parts.next().unwrap_or_default();
    found.subresource = parts.next().unwrap_or_default();
    found.rest = parts.collect();
    Target::Resource(found)
}

/// The verb that RBAC and the audit list know.
pub(crate) fn verb(method: &Method, named: bool, watch: bool) -> &'static str {
    match (method.as_str(), named) {
        ("GET" | "HEAD", _) if watch => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    }
}

/// The verb for a path that is no resource: the method in small letters.
pub(crate) fn path_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (path, [group, version, namespace, resource, name, sub]) in [
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/a", ["", "v1", "a", "namespaces", "a", ""]),
            ("/api/v1/namespaces/a/finalize", ["", "v1", "a", "namespaces", "a", "finalize"]),
            ("/api/v1/namespaces/a/pods", ["", "v1", "a", "pods", "", ""]),
            ("/api/v1/namespaces/a/pods/p/log", ["", "v1", "a", "pods", "p", "log"]),
            ("/api/v1/nodes/n", ["", "v1", "", "nodes", "n", ""]),
            ("/apis/apps/v1/deployments", ["apps", "v1", "", "deployments", "", ""]),
            (
                "/apis/apps/v1/namespaces/a/deployments/w%2Fx",
                ["apps", "v1", "a", "deployments", "w/x", ""],
            ),
        ] {
            let Target::Resource(found) = parse(path) else { panic!("{path} is a resource") };
            let found = [
                found.group,
                found.version,
                found.namespace,
                found.resource,
                found.name,
                found.subresource,
            ];
            assert_eq!(found, [group, version, namespace, resource, name, sub], "{path}");
        }
        for path in [
            "/",
            "/version",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/openapi/v3/apis/apps/v1",
        ] {
            assert_eq!(parse(path), Target::Path(path.into()));
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse(Some(
            "fieldSelector=metadata.name%3Dweb%2Ca&watch=true&limit=5&x=%zz+y&f",
        ));
        assert_eq!(query.get("fieldSelector"), Some("metadata.name=web,a"));
        assert_eq!(query.number("limit").expect("a number"), Some(5));
        assert_eq!(query.get("x"), Some("%zz y"));
        assert!(query.flag("watch") && query.flag("f") && !query.flag("y"));
        assert!(Query::of(&[("limit", "a")]).number("limit").is_err());
    }
}
