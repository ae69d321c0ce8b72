//! PURE · fields as the API server names them, in two languages: paths of managed fields (`.spec.ports[name="web"]`) and
//! paths of validation (`spec.ports[0].name`, `metadata.labels[app]`). In: an object and a path; out: where that is.

use serde_json::Value;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

/// Whether `object` has the field that managed fields call `path`.
pub(super) fn holds(object: &Value, path: &str) -> bool {
    steps(object, path).is_some()
}

/// Takes that field out; `false` when it is not there. What is empty without it stays: an empty map is not no map.
pub(super) fn remove(object: &mut Value, path: &str) -> bool {
    let Some(mut way) = steps(object, path) else { return false };
    let Some(last) = way.pop() else { return false };
    let parent = way.iter().try_fold(object, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Element(index) => value.get_mut(*index),
    });
    match (parent, last) {
        (Some(Value::Object(members)), Step::Member(name)) => members.remove(&name).is_some(),
        (Some(Value::Array(elements)), Step::Element(index)) if index < elements.len() => {
            elements.remove(index);
            true
        }
        _ => false,
    }
}

/// Whether `pattern` names `path` or something around it; `[*]` stands for any element.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern, path);
    while !pattern.is_empty() {
        if let Some(rest) = pattern.strip_prefix("[*]") {
            let Some(end) = bracket(path) else { return false };
            (pattern, path) = (rest, &path[end..]);
            continue;
        }
        let mut letters = pattern.chars();
        let Some(letter) = letters.next() else { return false };
        let Some(rest) = path.strip_prefix(letter) else { return false };
        (pattern, path) = (letters.as_str(), rest);
    }
    path.is_empty() || path.starts_with(['.', '['])
}

/// The way to `path`. Names of members stand in a path as they are, dots and all, so that the object has to say where
/// one ends.
fn steps(object: &Value, path: &str) -> Option<Vec<Step>> {
    let mut way = Vec::new();
    (!path.is_empty() && walk(object, path, &mut way)).then_some(way)
}

fn walk(value: &Value, path: &str, way: &mut Vec<Step>) -> bool {
    if path.is_empty() {
        return true;
    }
    if let Some(rest) = path.strip_prefix('.') {
        let Some(members) = value.as_object() else { return false };
        return members.iter().any(|(name, below)| {
            let Some(left) = rest.strip_prefix(name.as_str()) else { return false };
            if !left.is_empty() && !left.starts_with(['.', '[']) {
                return false;
            }
            way.push(Step::Member(name.clone()));
            walk(below, left, way) || {
                way.pop();
                false
            }
        });
    }
    let (Some(end), Some(elements)) = (bracket(path), value.as_array()) else { return false };
    let selector = &path[1..end - 1];
    let found = match selector.parse::<usize>() {
        Ok(index) => (index < elements.len()).then_some(index),
        Err(_) => elements.iter().position(|element| selects(selector, element)),
    };
    let Some(index) = found else { return false };
    way.push(Step::Element(index));
    walk(&elements[index], &path[end..], way) || {
        way.pop();
        false
    }
}

/// Length of the `[…]` that `path` begins with; brackets in quotes are text.
fn bracket(path: &str) -> Option<usize> {
    let mut letters = path.char_indices();
    letters.next().filter(|(_, letter)| *letter == '[')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in letters {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Whether `name="web",port=80` or `="text"` is about `element`.
fn selects(selector: &str, element: &Value) -> bool {
    let literal = |text: &str| serde_json::from_str::<Value>(text).ok();
    if let Some(text) = selector.strip_prefix('=') {
        return literal(text).as_ref() == Some(element);
    }
    let mut rest = selector;
    loop {
        let Some((name, tail)) = rest.split_once('=') else { return false };
        let end = comma(tail);
        let Some(wanted) = literal(&tail[..end]) else { return false };
        let has = element.get(name);
        // The one key with a default: what was not written is there all the same.
        let unsaid = has.is_none() && name == "protocol" && wanted == "TCP";
        if has != Some(&wanted) && !unsaid {
            return false;
        }
        match tail[end..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return true,
        }
    }
}

/// Where the literal that `text` begins with ends.
fn comma(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// JSON pointer of the field that managed fields call `path`.
pub(super) fn pointer_of(object: &Value, path: &str) -> Option<String> {
    let way = steps(object, path)?;
    let mut pointer = String::new();
    for step in way {
        pointer.push('/');
        match step {
            Step::Member(name) => pointer.push_str(&escaped(&name)),
            Step::Element(index) => pointer.push_str(&index.to_string()),
        }
    }
    Some(pointer)
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// JSON pointer of a path of validation: `spec.ports[0].name`, `data[my.key]`.
pub(super) fn pointer(field: &str) -> String {
    let mut pointer = String::new();
    let mut rest = field;
    while !rest.is_empty() {
        let name;
        if rest.starts_with('[') {
            let end = bracket(rest).unwrap_or(rest.len());
            name = rest[1..end].trim_end_matches(']').trim_matches('"');
            rest = &rest[end..];
        } else {
            let text = rest.trim_start_matches('.');
            let end = text.find(['.', '[']).unwrap_or(text.len());
            name = &text[..end];
            rest = &text[end..];
        }
        if !name.is_empty() {
            pointer.push('/');
            pointer.push_str(&escaped(name));
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({
            "metadata": {"annotations": {"a.b/c.d": "x", "a": "y"}},
            "spec": {
                "replicas": 2,
                "containers": [
                    {"name": "we]b", "image": "i", "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]},
                ],
                "finalizers": ["x", "y"],
            },
        })
    }

    #[test]
    fn a_field_is_found_by_the_name_that_managed_fields_have_for_it() {
        for there in [
            ".spec.replicas",
            ".metadata.annotations.a.b/c.d",
            ".metadata.annotations.a",
            r#".spec.containers[name="we]b"].image"#,
            r#".spec.containers[name="we]b"].ports[containerPort=80,protocol="TCP"]"#,
            r#".spec.containers[name="we]b"].ports[containerPort=53,protocol="UDP"].protocol"#,
            r#".spec.finalizers[="y"]"#,
            ".spec.finalizers[1]",
        ] {
            assert!(holds(&object(), there), "{there}");
            let mut less = object();
            assert!(remove(&mut less, there), "{there}");
            assert!(!holds(&less, there) || there.ends_with("[1]"), "{there}");
            assert_ne!(less, object(), "{there}");
        }
        for not in [
            "",
            "spec",
            ".spec.repl",
            ".spec.replicas.x",
            ".metadata.annotations.a.b",
            r#".spec.containers[name="web"].image"#,
            r#".spec.containers[name="we]b"#,
            r#".spec.containers[name="we]b"].ports[containerPort=53,protocol="TCP"]"#,
            ".spec.finalizers[2]",
            "[0]",
            "[",
            "..",
        ] {
            assert!(!holds(&object(), not), "{not}");
            let mut same = object();
            assert!(!remove(&mut same, not), "{not}");
            assert_eq!(same, object());
        }
    }

    #[test]
    fn a_pattern_covers_what_is_below_it_and_no_name_that_only_begins_so() {
        assert!(covers(".spec.replicas", ".spec.replicas"));
        assert!(covers(".spec", ".spec.replicas"));
        assert!(covers(
            ".spec.containers[*].resources",
            r#".spec.containers[name="we]b"].resources.limits"#
        ));
        assert!(covers(".metadata.annotations.a.b/c", ".metadata.annotations.a.b/c"));
        assert!(!covers(".spec.rep", ".spec.replicas"));
        assert!(!covers(".spec.replicas", ".spec"));
        assert!(!covers(".spec[*]", ".spec.a"));
    }

    #[test]
    fn a_path_of_validation_becomes_a_pointer() {
        assert_eq!(pointer("spec.ports[0].name"), "/spec/ports/0/name");
        assert_eq!(pointer("metadata.annotations[a.b/c]"), "/metadata/annotations/a.b~1c");
        assert_eq!(pointer(".spec.foo"), "/spec/foo");
        assert_eq!(pointer(""), "");
        assert_eq!(pointer("data[x"), "/data/x");
    }
}
