//! Field selectors. In: the text of a query parameter; out: whether an object matches, or that its kind can't be
//! selected so. Errors are in the API server's words. No I/O.

use serde_json::Value;

/// A selector of fields: `status.phase!=Running,metadata.name=web`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    path: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Reads the text of a `fieldSelector` parameter.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split(text) {
            if part.is_empty() {
                continue;
            }
            let Some((path, equal, value)) = divide(part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            terms.push(Term { path: path.to_owned(), equal, value: unescape(value)? });
        }
        Ok(Self { terms })
    }

    /// Whether an object matches. Fields that the object does not have count as their zero value.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field(object, &term.path) == term.value) == term.equal)
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `metadata.name` must have, when the selector asks for one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = |term: &&Term| term.equal && term.path == "metadata.name";
        self.terms.iter().find(name).map(|term| term.value.as_str())
    }

    /// Fails when the kind can't be selected by one of the fields. `custom`: the JSON paths of a definition's
    /// `selectableFields`, for a custom kind.
    pub fn check(
        &self,
        group: &str,
        plural: &str,
        custom: Option<&[String]>,
    ) -> Result<(), String> {
        for Term { path, .. } in &self.terms {
            if matches!(path.as_str(), "metadata.name" | "metadata.namespace") {
                continue;
            }
            let known = match custom {
                Some(paths) => paths.iter().any(|known| known.trim_start_matches('.') == path),
                None => selectable(group, plural).contains(&path.as_str()),
            };
            if known {
                continue;
            }
            let own = custom.is_some() || !selectable(group, plural).is_empty();
            return Err(if own {
                format!("field label not supported: {path}")
            } else {
                format!(
                    "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )
            });
        }
        Ok(())
    }
}

/// The fields, beyond name and namespace, that a built-in kind can be selected by.
fn selectable(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    }
}

/// The parts between commas that no backslash precedes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn divide(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let rest = &term[at..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..at], equal, value));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, String> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => value.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{other}"
                    ));
                }
            },
            // The real server prints the number of the character, too.
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                ));
            }
            c => value.push(c),
        }
    }
    Ok(value)
}

/// The value of a field as a selector sees it.
fn field(object: &Value, path: &str) -> String {
    let at = |path: &str| path.split('.').fold(object, |value, key| &value[key]);
    // Names under which some fields are selected that are not their paths.
    let renamed = match path {
        "status.successful" => "status.succeeded".to_owned(),
        "source" => match at("source.component") {
            Value::String(text) if !text.is_empty() => return text.clone(),
            _ => "reportingComponent".to_owned(),
        },
        "reportingController" if at(path).is_null() => "reportingComponent".to_owned(),
        "status.podIPs" => return at("status.podIP").as_str().unwrap_or_default().to_owned(),
        _ => match path.strip_prefix("regarding.") {
            Some(rest) if at("regarding").is_null() => format!("involvedObject.{rest}"),
            _ => path.to_owned(),
        },
    };
    match at(&renamed) {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        _ => match path {
            "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
            "status.successful" | "status.replicas" => "0".to_owned(),
            _ => String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_match_as_the_selector_says() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "node,1"}, "status": {"phase": "Running"}});
        let event = json!({"involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet"}, "type": "Warning", "reason": "BackOff"});
        for (object, selector, expected) in [
            (&pod, "", true),
            (&pod, "metadata.name=p,metadata.namespace==n", true),
            (&pod, "metadata.name!=p", false),
            (&pod, "spec.nodeName=node\\,1", true),
            (&pod, "status.phase!=Running", false),
            (&pod, "status.phase=Running,,spec.hostNetwork=false", true),
            (&pod, "status.nominatedNodeName=", true),
            (&pod, "spec.unschedulable=false", true),
            (&event, "involvedObject.kind=Pod,involvedObject.name=p", true),
            (&event, "regarding.name=p", true),
            (&event, "source=kubelet,type!=Normal,reason=BackOff", true),
            (&event, "involvedObject.name=q", false),
        ] {
            let parsed = FieldSelector::parse(selector).expect("is a selector");
            assert_eq!(parsed.matches(object), expected, "{selector}");
        }
        assert_eq!(
            FieldSelector::parse("metadata.name=p").expect("is a selector").name(),
            Some("p")
        );
    }

    #[test]
    fn bad_field_selectors_are_refused_in_the_real_words() {
        for (selector, expected) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            ("a=b\\c", "invalid field selector: invalid escape sequence: \\c"),
        ] {
            assert_eq!(FieldSelector::parse(selector).unwrap_err(), expected);
        }
        let selector = FieldSelector::parse("spec.foo=a").expect("is a selector");
        assert_eq!(
            selector.check("", "pods", None).unwrap_err(),
            "field label not supported: spec.foo"
        );
        assert_eq!(
            selector.check("apps", "deployments", None).unwrap_err(),
            "\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(selector.check("x.io", "foos", Some(&[".spec.foo".to_owned()])), Ok(()));
        assert_eq!(
            selector.check("x.io", "foos", Some(&[])).unwrap_err(),
            "field label not supported: spec.foo"
        );
        assert_eq!(
            FieldSelector::parse("status.phase=Active").expect("parses").check(
                "",
                "namespaces",
                None
            ),
            Ok(())
        );
    }
}
