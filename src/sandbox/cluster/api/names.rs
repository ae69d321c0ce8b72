//! Names, labels and annotations: (metadata) → what is wrong with it, in the real words. Pure, no I/O.

use serde_json::{Value, json};

use super::status::Cause;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.bytes().all(|c| inner(c) || c == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().last().is_some_and(inner)
}

fn is_name_part(text: &str) -> bool {
    let ends = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    !text.is_empty()
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && ends(text.bytes().next())
        && ends(text.bytes().last())
}

/// Whether `text` is a DNS subdomain, the rule for most names.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// What is wrong with a name of this resource; `None` when it is good.
fn name_problem(group: &str, resource: &str, name: &str) -> Option<String> {
    let too_long = |limit: usize| format!("must be no more than {limit} characters");
    match (group, resource) {
        // RBAC's and the CSI driver's names are path segments.
        ("rbac.authorization.k8s.io" | "scheduling.k8s.io" | "flowcontrol.apiserver.k8s.io", _) => {
            if name == "." || name == ".." {
                Some(format!("may not be '{name}'"))
            } else {
                ["/", "%"]
                    .iter()
                    .find(|c| name.contains(**c))
                    .map(|c| format!("may not contain '{c}'"))
            }
        }
        ("", "namespaces") => match name {
            n if !is_label(n) => Some(LABEL.into()),
            n if n.len() > 63 => Some(too_long(63)),
            _ => None,
        },
        ("", "services") => match name {
            n if !is_label(n) => Some(LABEL_1035.into()),
            n if n.len() > 63 => Some(too_long(63)),
            n if n.bytes().next().is_some_and(|c| c.is_ascii_digit()) => Some(LABEL_1035.into()),
            _ => None,
        },
        ("batch", "cronjobs") if is_subdomain(name) && name.len() > 52 => Some(too_long(52)),
        _ if name.len() > 253 => Some(too_long(253)),
        _ if !name.split('.').all(is_label) => Some(SUBDOMAIN.into()),
        _ => None,
    }
}

/// Everything wrong with an object's own metadata.
pub(crate) fn metadata(group: &str, resource: &str, object: &Value) -> Vec<Cause> {
    let meta = &object["metadata"];
    let mut causes = Vec::new();
    let name = meta["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if let Some(problem) = name_problem(group, resource, name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), &problem));
    }
    for (key, value) in meta["labels"].as_object().into_iter().flatten() {
        causes.extend(qualified("metadata.labels", key));
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            causes.push(Cause::invalid(
                "metadata.labels",
                &json!(value),
                "must be no more than 63 characters",
            ));
        }
        if !value.is_empty() && !is_name_part(value) {
            causes.push(Cause::invalid("metadata.labels", &json!(value), LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        causes.extend(qualified("metadata.annotations", &key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        causes.push(Cause {
            reason: "FieldValueTooLong".into(),
            field: "metadata.annotations".into(),
            message: format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"),
        });
    }
    for (index, owner) in meta["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if owner[key].as_str().is_none_or(str::is_empty) {
                let field = format!("metadata.ownerReferences[{index}].{key}");
                causes.push(if key == "uid" || key == "name" {
                    Cause::invalid(&field, &json!(""), "must not be empty")
                } else {
                    Cause::invalid(
                        &field,
                        &json!(""),
                        &format!(
                            "{} must not be empty",
                            if key == "kind" { "kind" } else { "version" }
                        ),
                    )
                });
            }
        }
    }
    causes
}

fn qualified(field: &str, key: &str) -> Option<Cause> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let problem = if prefix.is_some_and(|p| !is_subdomain(p)) {
        Some(format!("prefix part {SUBDOMAIN}"))
    } else if name.len() > 63 {
        Some("name part must be no more than 63 characters".into())
    } else if !is_name_part(name) {
        Some(QUALIFIED.into())
    } else {
        None
    };
    problem.map(|problem| Cause::invalid(field, &json!(key), &problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass_and_bad_ones_say_the_rule() {
        let of = |group: &str, resource: &str, name: &str| {
            metadata(group, resource, &json!({"metadata": {"name": name}}))
        };
        for (group, resource, name) in [
            ("", "namespaces", "pr-7"),
            ("", "configmaps", "kube-root-ca.crt"),
            ("rbac.authorization.k8s.io", "clusterroles", "system:node"),
            ("apps", "deployments", "web"),
        ] {
            assert_eq!(of(group, resource, name), Vec::new(), "{name}");
        }
        for (group, resource, name) in [
            ("", "namespaces", "a.b"),
            ("", "services", "1st"),
            ("", "configmaps", "Upper"),
            ("", "pods", ""),
            ("rbac.authorization.k8s.io", "roles", "a/b"),
        ] {
            assert_eq!(of(group, resource, name).len(), 1, "{name}");
        }
    }

    #[test]
    fn labels_are_checked_by_key_and_value() {
        let meta = |key: &str, value: &str| {
            metadata("", "pods", &json!({"metadata": {"name": "p", "labels": {key: value}}})).len()
        };
        assert_eq!(meta("app.kubernetes.io/name", "web"), 0);
        assert_eq!(meta("a/b/c", "web"), 1);
        assert_eq!(meta("app", "-web"), 1);
        assert_eq!(meta("app", ""), 0);
    }
}
