//! Reading and writing of Kubernetes objects as JSON values: metadata, selectors, conditions, times, hashes. Pure.
//!
//! Every reader answers something harmless for what is missing or has another type: objects come from outside.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// The text at a JSON pointer, or "".
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The number at a JSON pointer.
pub(crate) fn int(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// Whether there is `true` at a JSON pointer.
pub(crate) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at a JSON pointer, or an empty one.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The map at a JSON pointer.
pub(crate) fn map<'a>(object: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    object.pointer(pointer).and_then(Value::as_object)
}

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`, "" for what is cluster-scoped.
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// `metadata.generation`, 0 when the resource has none.
pub(crate) fn generation(object: &Value) -> i64 {
    int(object, "/metadata/generation").unwrap_or(0)
}

/// Whether deletion was asked for.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|v| !v.is_null())
}

/// An annotation.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    map(object, "/metadata/annotations")?.get(key)?.as_str()
}

/// A label.
pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    map(object, "/metadata/labels")?.get(key)?.as_str()
}

/// The owner reference that controls `object`.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|r| flag(r, "/controller"))
}

/// Whether the object with `uid` controls `object`.
pub(crate) fn is_controlled_by(object: &Value, uid: &str) -> bool {
    controller(object).is_some_and(|r| text(r, "/uid") == uid)
}

/// Sets `value` at a path of object keys, making the objects on the way.
pub(crate) fn set(object: &mut Value, path: &[&str], value: Value) {
    let mut at = object;
    for key in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(map) = at.as_object_mut() else { return };
        at = map.entry((*key).to_owned()).or_insert(Value::Null);
    }
    *at = value;
}

/// Takes away what a path of object keys leads to.
pub(crate) fn unset(object: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else { return };
    let mut at = object;
    for key in way {
        match at.get_mut(*key) {
            Some(next) => at = next,
            None => return,
        }
    }
    if let Some(map) = at.as_object_mut() {
        map.remove(*last);
    }
}

// === Times ===

/// A time as the API writes it: whole seconds, UTC.
pub(crate) fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A time as Lease and event objects write it.
pub(crate) fn micro_stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The time at a JSON pointer.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    let text = object.pointer(pointer)?.as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc())
}

// === Selectors ===

/// Whether a `LabelSelector` (`matchLabels`, `matchExpressions`) chooses `labels`. An empty one chooses everything, a
/// missing one nothing.
pub(crate) fn selects(selector: Option<&Value>, labels: Option<&Map<String, Value>>) -> bool {
    let Some(selector) = selector.filter(|s| s.is_object()) else { return false };
    let label = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
    let equal = map(selector, "/matchLabels")
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == value.as_str());
    equal && list(selector, "/matchExpressions").iter().all(|e| expression_holds(e, &label))
}

/// One requirement of a label or node selector.
pub(crate) fn expression_holds<'a>(
    expression: &Value,
    value_of: &impl Fn(&str) -> Option<&'a str>,
) -> bool {
    let value = value_of(text(expression, "/key"));
    let listed = || list(expression, "/values").iter().any(|v| v.as_str() == value);
    let bound = || {
        list(expression, "/values")
            .first()
            .and_then(Value::as_str)
            .and_then(|v| v.parse::<i64>().ok())
    };
    let number = || value.and_then(|v| v.parse::<i64>().ok());
    match text(expression, "/operator") {
        "In" => value.is_some() && listed(),
        "NotIn" => value.is_none() || !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number().zip(bound()).is_some_and(|(a, b)| a > b),
        "Lt" => number().zip(bound()).is_some_and(|(a, b)| a < b),
        _ => false,
    }
}

/// Whether `object` carries every label of a plain map, as Services and `ReplicationControllers` select.
pub(crate) fn carries(selector: Option<&Map<String, Value>>, object: &Value) -> bool {
    selector.is_some_and(|wanted| {
        !wanted.is_empty() && wanted.iter().all(|(key, value)| label(object, key) == value.as_str())
    })
}

// === Conditions ===

/// The condition of a type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|c| text(c, "/type") == kind)
}

/// Whether the condition of a type is `True`.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| text(c, "/status") == "True")
}

/// Sets one condition; `lastTransitionTime` moves only when its status does. Other members stay.
pub(crate) fn set_condition(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: DateTime<Utc>,
) {
    let old = conditions.iter_mut().find(|c| text(c, "/type") == kind);
    let since = match &old {
        Some(c) if text(c, "/status") == status => text(c, "/lastTransitionTime").to_owned(),
        _ => stamp(now),
    };
    let mut new = json!({ "type": kind, "status": status, "lastTransitionTime": since });
    for (key, value) in [("reason", reason), ("message", message)] {
        if !value.is_empty() {
            set(&mut new, &[key], value.into());
        }
    }
    match old {
        Some(place) => *place = new,
        None => conditions.push(new),
    }
}

// === Hashes ===

/// FNV-1a over `text`: names and addresses that must come out the same in every run.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A hash in Kubernetes' alphabet for parts of names, without vowels so that it never reads as a word.
pub(crate) fn safe_hash(text: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = hash(text);
    (0..10)
        .map(|_| {
            let index = usize::try_from(rest % 27).unwrap_or(0);
            rest /= 27;
            char::from(ALPHABET[index])
        })
        .collect()
}

/// A number or percentage of `total`, as `maxSurge` and `maxUnavailable` are given.
pub(crate) fn share(value: Option<&Value>, total: i64, round_up: bool, default: &str) -> i64 {
    let text = match value {
        Some(Value::Number(number)) => return number.as_i64().unwrap_or(0).max(0),
        Some(Value::String(text)) => text.as_str(),
        _ => default,
    };
    let Some(percent) = text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok()) else {
        return text.parse().unwrap_or(0);
    };
    let product = percent.clamp(0, 1_000_000).saturating_mul(total);
    if round_up { (product + 99) / 100 } else { product / 100 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_follow_the_api() {
        let labels = json!({ "app": "web", "tier": "front" });
        let labels = labels.as_object();
        for (selector, expected) in [
            (json!({}), true),
            (json!({ "matchLabels": { "app": "web" } }), true),
            (json!({ "matchLabels": { "app": "db" } }), false),
            (
                json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["a", "web"] }] }),
                true,
            ),
            (
                json!({ "matchExpressions": [{ "key": "x", "operator": "NotIn", "values": ["a"] }] }),
                true,
            ),
            (json!({ "matchExpressions": [{ "key": "x", "operator": "Exists" }] }), false),
            (json!({ "matchExpressions": [{ "key": "x", "operator": "DoesNotExist" }] }), true),
            (json!({ "matchExpressions": [{ "key": "x", "operator": "Odd" }] }), false),
        ] {
            assert_eq!(selects(Some(&selector), labels), expected, "{selector}");
        }
        assert!(!selects(None, labels));
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut conditions = Vec::new();
        let (one, two) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::Duration::hours(1));
        set_condition(&mut conditions, "A", "True", "R", "m", one);
        set_condition(&mut conditions, "A", "True", "S", "", two);
        assert_eq!(conditions[0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        assert_eq!(conditions[0]["reason"], "S");
        assert!(conditions[0].get("message").is_none());
        set_condition(&mut conditions, "A", "False", "S", "", two);
        assert_eq!(conditions[0]["lastTransitionTime"], "1970-01-01T01:00:00Z");
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn shares_round_as_the_deployment_controller_does() {
        assert_eq!(share(None, 3, true, "25%"), 1);
        assert_eq!(share(None, 3, false, "25%"), 0);
        assert_eq!(share(Some(&json!("50%")), 4, false, "25%"), 2);
        assert_eq!(share(Some(&json!(2)), 4, false, "25%"), 2);
        assert_eq!(share(Some(&json!("x")), 4, false, "25%"), 0);
    }

    #[test]
    fn set_and_unset_make_and_leave_the_way() {
        let mut object = json!({});
        set(&mut object, &["a", "b"], json!(1));
        assert_eq!(object, json!({ "a": { "b": 1 } }));
        unset(&mut object, &["a", "b"]);
        unset(&mut object, &["x", "y"]);
        assert_eq!(object, json!({ "a": {} }));
    }
}
