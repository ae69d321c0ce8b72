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
        let expected =
            if holds { vec![] } else { vec![format!("spec: Invalid value: failed rule: {rule}")] };
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
    assert_eq!(problems[0].message, "Invalid value: name is too long");
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
                message: "Invalid value: count is 7".into(),
            },
        ),
        (
            json!({"rule": "self.count < 5", "messageExpression": "self.source", "message": "used"}),
            Problem {
                field: "spec".into(),
                reason: "FieldValueInvalid".into(),
                message: "Invalid value: used".into(),
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
        ["l[0]: Invalid value: shrinks", "m[x]: Invalid value: 1: shrinks"]
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
        ("true || semver('1.0.0').major() == 1", "undeclared reference to 'major'"),
        ("true || isSemver(self.source)", "undeclared reference to 'isSemver'"),
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
        ["spec: Invalid value: cel expression must evaluate to a bool evaluating rule: 1 + 1"]
    );
    let absent = spec_schema(json!({"rule": "self.count > 1"}));
    assert_eq!(
        messages(&absent, &object, None),
        ["spec: Invalid value: no such key: count evaluating rule: self.count > 1"]
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

/// Every function of Kubernetes' libraries is called once at least: a library that could not be declared shows here.
#[test]
fn kubernetes_libraries_answer_as_documented() {
    for (expression, expected) in [
        ("[1, 2, 3].sum()", json!(6)),
        ("[1.5, 2.0].sum()", json!(3.5)),
        ("[3, 1, 2].min()", json!(1)),
        ("['b', 'c', 'a'].max()", json!("c")),
        ("[1, 2, 2].isSorted()", json!(true)),
        ("['b', 'a'].isSorted()", json!(false)),
        ("[1, 2, 2, 3].indexOf(2)", json!(1)),
        ("[1, 2, 2, 3].lastIndexOf(2)", json!(2)),
        ("['a'].indexOf('b')", json!(-1)),
        ("'tacocat'.indexOf('c')", json!(2)),
        ("sets.contains([1, 2, 3], [2, 3])", json!(true)),
        ("sets.equivalent([1, 2], [2, 1, 1])", json!(true)),
        ("sets.intersects([1], [2])", json!(false)),
        ("'abc 123'.find('[0-9]+')", json!("123")),
        ("'abc'.find('[0-9]+')", json!("")),
        ("'1 2 3'.findAll('[0-9]')", json!(["1", "2", "3"])),
        ("'1 2 3'.findAll('[0-9]', 2)", json!(["1", "2"])),
        ("quantity('500m').add(quantity('0.5')) == quantity('1')", json!(true)),
        ("quantity('1Gi').isGreaterThan(quantity('1G'))", json!(true)),
        ("quantity('1').isLessThan(quantity('900m'))", json!(false)),
        ("quantity('2').compareTo(quantity('2000m'))", json!(0)),
        ("quantity('50k').sub(1).asInteger()", json!(49_999)),
        ("quantity('1500m').isInteger()", json!(false)),
        ("quantity('1500m').asApproximateFloat()", json!(1.5)),
        ("quantity('-3').sign()", json!(-1)),
        ("isQuantity('1.2.3')", json!(false)),
        ("ip('192.168.0.1').family()", json!(4)),
        ("isIP('::1') && !isIP('::ffff:1.2.3.4') && !isIP('010.0.0.1')", json!(true)),
        ("ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')", json!(true)),
        ("ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified()", json!(true)),
        (
            "ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
            json!(true),
        ),
        (
            "ip('8.8.8.8').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
            json!(true),
        ),
        ("string(ip('10.0.0.1')) + ' ' + string(cidr('10.0.0.0/8'))", json!("10.0.0.1 10.0.0.0/8")),
        (
            "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
            json!(true),
        ),
        (
            "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))",
            json!(true),
        ),
        ("cidr('192.168.1.7/24').masked() == cidr('192.168.1.0/24')", json!(true)),
        (
            "cidr('192.168.1.7/24').ip() == ip('192.168.1.7') && cidr('::/0').prefixLength() == 0",
            json!(true),
        ),
        ("isCIDR('10.0.0.0/33') || isCIDR('10.0.0.0')", json!(false)),
        (
            "url('https://user@example.com:80/a%20b?x=1&x=2&y=%26').getHost()",
            json!("example.com:80"),
        ),
        (
            "url('https://[::1]:80/').getHostname() + ' ' + url('https://[::1]:80/').getPort()",
            json!("::1 80"),
        ),
        ("url('https://example.com/a%20b?x=1').getEscapedPath()", json!("/a%20b")),
        (
            "url('https://example.com/?x=1&x=2&y=%26').getQuery()",
            json!({"x": ["1", "2"], "y": ["&"]}),
        ),
        (
            "url('/path').getScheme() == '' && isURL('https://x:y/') == false && isURL('x y') == false",
            json!(true),
        ),
        ("format.named('dns1123Label').value().validate('a-b').hasValue()", json!(false)),
        ("format.named('dns1123Label').value().validate('A').value().size()", json!(1)),
        ("format.named('nothing').hasValue()", json!(false)),
        ("'%s is %d'.format(['a', 1])", json!("a is 1")),
        ("{'a': 1}.?b.orValue(2) + {'a': 1}[?'a'].orValue(5)", json!(3)),
        ("[?optional.none(), ?optional.of(1)].size()", json!(1)),
        ("{'a': {'b': 1}}.?a.?c.hasValue()", json!(false)),
    ] {
        let value = evaluate(expression, &BTreeMap::new());
        assert_eq!(value, Ok(expected), "{expression}");
    }
    for (expression, words) in [
        ("quantity('x').isInteger()", "quantities must match"),
        ("ip('1.2.3') == ip('1.2.3')", "parse error during conversion"),
        ("cidr('10.0.0.0/99') == cidr('10.0.0.0/8')", "parse error during conversion"),
        ("url('nothing').getHost()", "URL parse error"),
        ("[].min()", "min called on empty list"),
        ("[1, 'a'].sum()", "no such overload"),
        ("'a'.find('(')", "Illegal regex"),
        ("semver('1.0.0') == semver('1.0.0')", "undeclared reference to 'semver'"),
    ] {
        let error = evaluate(expression, &BTreeMap::new()).expect_err(expression).to_string();
        assert!(error.contains(words), "{expression}: {error}");
    }
}
