//! Rules as definitions write them. In: schemas and objects; out: problems. No I/O.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a json! literal reads best where it is handed over"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn spec_schema(rule: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "properties": {
            "source": {"type": "string"}, "count": {"type": "integer"}, "size": {"type": "number"}, "ttl": {"type": "string", "format": "duration"},
            "at": {"type": "string", "format": "date-time"}, "a.b-c": {"type": "string"}, "in": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "x-kubernetes-validations": [rule],
    }}})
}

fn messages(schema: &Value, new: &Value, old: Option<&Value>) -> Vec<String> {
    validate(schema, new, old).iter().map(ToString::to_string).collect()
}

#[test]
fn rules_see_values_as_the_schema_types_them() {
    let object = json!({"spec": {
        "source": "https://x", "count": 3, "size": 2, "ttl": "1h30m", "at": "2026-01-01T00:00:00Z", "a.b-c": "x", "in": "y",
        "tags": ["a", "bb"], "map": {"k": 1, "a.b": 2},
    }});
    for (rule, holds) in [
        ("self.source.startsWith('https://')", true),
        ("self.source.endsWith('y')", false),
        ("self.source.matches('^https?://[a-z]+$')", true),
        ("self.source.contains('//') && size(self.source) == 9", true),
        ("self.count >= 3 && self.count < 10", true),
        ("self.size > 1.5", true),
        ("self.size == 2.0", true),
        ("self.ttl > duration('1h')", true),
        ("self.at < timestamp('2025-01-01T00:00:00Z')", false),
        ("self.a__dot__b__dash__c == 'x' && self.__in__ == 'y'", true),
        ("self.tags.all(t, t.size() <= 2)", true),
        ("self.tags.exists(t, t == 'c')", false),
        ("self.tags.exists_one(t, t == 'a')", true),
        ("self.tags.map(t, t.size()) == [1, 2]", true),
        ("self.tags.filter(t, t.size() > 1).size() == 1", true),
        ("'bb' in self.tags", true),
        ("'a.b' in self.map && self.map['a.b'] == 2 && self.map.k == 1", true),
        ("self.map.all(k, self.map[k] > 1)", false),
        ("has(self.source) ? self.source != '' : true", true),
        ("!has(self.map) || self.map.size() == 2", true),
        ("int('3') == self.count && string(self.count) == '3' && double(self.count) == 3.0", true),
        ("self.?source.orValue('none') != 'none'", true),
        ("self.source.lowerAscii().split('/').size() == 3", true),
        ("self.tags.join(',') == 'a,bb'", true),
    ] {
        let schema = spec_schema(json!({"rule": rule}));
        assert_eq!(check_rules(&schema), Vec::<String>::new(), "{rule}");
        let expected = if holds {
            vec![]
        } else {
            vec![format!("spec: Invalid value: \"object\": failed rule: {rule}")]
        };
        assert_eq!(messages(&schema, &object, None), expected, "{rule}");
    }
}

#[test]
fn an_immutable_field_is_judged_only_when_there_is_an_old_value() {
    let schema = json!({"properties": {"spec": {"type": "object", "properties": {"name": {
        "type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "name is immutable"}],
    }}}}});
    let (one, two) = (json!({"spec": {"name": "a"}}), json!({"spec": {"name": "b"}}));
    assert_eq!(messages(&schema, &one, None), Vec::<String>::new());
    assert_eq!(messages(&schema, &one, Some(&one)), Vec::<String>::new());
    assert_eq!(messages(&schema, &two, Some(&json!({"spec": {}}))), Vec::<String>::new());
    assert_eq!(
        messages(&schema, &two, Some(&one)),
        ["spec.name: Invalid value: \"b\": name is immutable"]
    );
}

#[test]
fn a_rule_at_the_root_sees_the_name() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object"}}, "x-kubernetes-validations": [{"rule": "self.metadata.name.size() <= 63", "message": "name is too long"}]});
    assert_eq!(check_rules(&schema), Vec::<String>::new());
    let object = |length: usize| json!({"metadata": {"name": "x".repeat(length)}});
    assert_eq!(messages(&schema, &object(63), None), Vec::<String>::new());
    let problems = validate(&schema, &object(64), None);
    assert_eq!(problems[0].field, "");
    assert_eq!(problems[0].message, "Invalid value: \"object\": name is too long");
}

#[test]
fn messages_reasons_and_paths_are_the_rules_own() {
    let object = json!({"spec": {"count": 7}});
    for (rule, expected) in [
        (
            json!({"rule": "self.count < 5", "messageExpression": "'count is ' + string(self.count)", "message": "unused"}),
            Problem {
                field: "spec".into(),
                reason: "FieldValueInvalid".into(),
                message: "Invalid value: \"object\": count is 7".into(),
            },
        ),
        (
            json!({"rule": "self.count < 5", "messageExpression": "self.source", "message": "used"}),
            Problem {
                field: "spec".into(),
                reason: "FieldValueInvalid".into(),
                message: "Invalid value: \"object\": used".into(),
            },
        ),
        (
            json!({"rule": "self.count < 5", "reason": "FieldValueForbidden", "fieldPath": ".count", "message": "no"}),
            Problem {
                field: "spec.count".into(),
                reason: "FieldValueForbidden".into(),
                message: "Forbidden: no".into(),
            },
        ),
        (
            json!({"rule": "has(self.source)", "reason": "FieldValueRequired", "fieldPath": ".source", "message": "give it"}),
            Problem {
                field: "spec.source".into(),
                reason: "FieldValueRequired".into(),
                message: "Required value: give it".into(),
            },
        ),
    ] {
        assert_eq!(validate(&spec_schema(rule), &object, None), [expected]);
    }
}

#[test]
fn an_optional_old_value_lets_a_rule_run_at_creation() {
    let rule = json!({"rule": "oldSelf.hasValue() || self.count == 1", "optionalOldSelf": true});
    let schema = spec_schema(rule);
    assert_eq!(check_rules(&schema), Vec::<String>::new());
    let (one, two) = (json!({"spec": {"count": 1}}), json!({"spec": {"count": 2}}));
    assert_eq!(messages(&schema, &one, None), Vec::<String>::new());
    assert_eq!(messages(&schema, &two, None).len(), 1);
    assert_eq!(messages(&schema, &two, Some(&one)), Vec::<String>::new());
    let grows = spec_schema(
        json!({"rule": "self.count >= oldSelf.value().count", "optionalOldSelf": true}),
    );
    assert_eq!(messages(&grows, &one, Some(&two)).len(), 1);
}

#[test]
fn items_are_compared_with_their_former_selves_by_key() {
    let item = json!({"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "shrinks"}]});
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item});
    let map = json!({"type": "object", "additionalProperties": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "shrinks"}]}});
    let atomic = json!({"type": "array", "items": item});
    let schema = json!({"properties": {"l": list, "m": map, "a": atomic}});
    let old = json!({"l": [{"name": "a", "v": 1}, {"name": "b", "v": 5}], "m": {"x": 2}, "a": [{"name": "a", "v": 9}]});
    let new = json!({"l": [{"name": "b", "v": 4}, {"name": "a", "v": 2}, {"name": "c", "v": 0}], "m": {"x": 1, "y": 0}, "a": [{"name": "a", "v": 1}]});
    assert_eq!(
        messages(&schema, &new, Some(&old)),
        ["l[0]: Invalid value: \"object\": shrinks", "m[x]: Invalid value: 1: shrinks"]
    );
}

#[test]
fn an_unchanged_value_is_not_judged_again() {
    let schema = spec_schema(json!({"rule": "self.count < 5"}));
    let old = json!({"spec": {"count": 7}});
    assert_eq!(messages(&schema, &old, Some(&old)), Vec::<String>::new());
    assert_eq!(messages(&schema, &json!({"spec": {"count": 8}}), Some(&old)).len(), 1);
}

#[test]
fn a_rule_that_cant_be_compiled_never_passes() {
    let object = json!({"spec": {"source": "a"}});
    for (rule, expected) in [
        ("true || quantity('1').isInteger()", "undeclared reference to 'isInteger'"),
        ("true || isURL(self.source)", "undeclared reference to 'isURL'"),
        ("true || foo", "undeclared reference to 'foo'"),
        ("true || self.source.nope()", "undeclared reference to 'nope'"),
        ("true || self.sauce == ''", "undefined field 'sauce'"),
        ("true || self.tags.all(t, t == u)", "undeclared reference to 'u'"),
        ("self.source ==", "compilation failed"),
        (&"(".repeat(5000), "too large"),
    ] {
        let schema = spec_schema(json!({"rule": rule}));
        let broken = check_rules(&schema);
        assert!(broken.len() == 1 && broken[0].contains(expected), "{rule}: {broken:?}");
        assert!(
            broken[0].starts_with(
                "openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "
            ),
            "{broken:?}"
        );
        let found = messages(&schema, &object, None);
        assert!(found.len() == 1 && found[0].contains(expected), "{rule}: {found:?}");
    }
    let number = spec_schema(json!({"rule": "1 + 1"}));
    assert_eq!(
        messages(&number, &object, None),
        [
            "spec: Invalid value: \"object\": cel expression must evaluate to a bool evaluating rule: 1 + 1"
        ]
    );
    let absent = spec_schema(json!({"rule": "self.count > 1"}));
    assert_eq!(
        messages(&absent, &object, None),
        ["spec: Invalid value: \"object\": no such key: count evaluating rule: self.count > 1"]
    );
}

#[test]
fn expressions_alone_can_be_evaluated() {
    let variables = BTreeMap::from([
        ("object".to_owned(), json!({"spec": {"n": 2, "l": ["a"]}})),
        ("params".to_owned(), Value::Null),
    ]);
    assert_eq!(evaluate("object.spec.n + 1", &variables), Ok(json!(3)));
    assert_eq!(evaluate("params == null && object.spec.l == ['a']", &variables), Ok(json!(true)));
    assert_eq!(evaluate("{'a': [object.spec.n]}", &variables), Ok(json!({"a": [2]})));
    assert_eq!(evaluate("duration('90s')", &variables), Ok(json!("90s")));
    assert_eq!(
        evaluate("object.spec.n / 0", &variables),
        Err(CelError::Evaluate("division by zero".into()))
    );
    assert_eq!(
        evaluate("request", &variables),
        Err(CelError::Compile("undeclared reference to 'request' (in container '')".into()))
    );
}

#[test]
fn compiled_rules_can_be_shared_between_tasks() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Rules::compile(&json!({})));
}

#[test]
fn nesting_up_to_the_bound_is_evaluated_and_beyond_it_refused() {
    for (expression, fine) in [
        (format!("{}1{}", "(".repeat(30), ")".repeat(30)), true),
        (format!("{}1{}", "(".repeat(31), ")".repeat(31)), false),
        (format!("{}1{}", "[".repeat(29), "]".repeat(29)), true),
        (format!("{}true", "!".repeat(29)), true),
        (format!("{}true", "! ".repeat(5000)), false),
        (format!("{}true{}", "[1].all(x, ".repeat(6), ")".repeat(6)), true),
        (format!("{}1", "true ? 1 : ".repeat(28)), true),
        (format!("{}1", "true ? 1 : ".repeat(5000)), false),
        (format!("1{}", " + 1".repeat(28)), true),
        (format!("1{}", " + 1".repeat(400)), false),
        (format!("1{}", " + 1".repeat(16000)), false),
        (format!("1{}", " == 1".repeat(12000)), false),
        (format!("true{}", " && true".repeat(100)), true),
        (format!("'a'{}", ".trim()".repeat(9000)), false),
    ] {
        let result = evaluate(&expression, &BTreeMap::new());
        assert_eq!(result.is_ok(), fine, "{}…: {result:?}", &expression[..60]);
    }
}
