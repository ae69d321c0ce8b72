//! A table of histories: who wrote what, and who owns what after it.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a case reads better without a borrow at each literal"
)]

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ApplyError, ApplyRequest, Element, Set, Write, apply, update};
use crate::sandbox::cluster::api::schema::{Catalogue, Schema};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn schema() -> std::sync::Arc<Schema> {
    std::sync::Arc::clone(&Catalogue::builtin().find("apps", "v1", "deployments").unwrap().schema)
}

fn write<'a>(manager: &'a str, schema: &'a Schema) -> Write<'a> {
    Write { manager, subresource: "", status_subresource: true, schema, now: now() }
}

/// A Deployment with this `spec`.
fn spec(spec: Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "ns" }, "spec": spec })
}

/// A Deployment with these containers.
fn containers(list: Value) -> Value {
    spec(json!({ "template": { "spec": { "containers": list } } }))
}

fn pod_spec(member: &str, value: Value) -> Value {
    spec(json!({ "template": { "spec": { member: value } } }))
}

fn meta(metadata: Value) -> Value {
    let mut object = spec(json!({}));
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    object.as_object_mut().unwrap().remove("spec");
    object
}

enum Step {
    Apply(&'static str, Value),
    Force(&'static str, Value),
    /// A merge patch.
    Update(&'static str, Value),
    /// An apply that fails; the words.
    Fails(&'static str, Value, &'static str),
}

use Step::{Apply, Fails, Force, Update};

struct Case {
    name: &'static str,
    steps: Vec<Step>,
    /// A pointer into the object, and what is there.
    then: Vec<(&'static str, Value)>,
    /// `manager/Operation`, and its paths.
    owners: Vec<(&'static str, Vec<&'static str>)>,
}

fn run(case: &Case) {
    let schema = schema();
    let mut live: Option<Value> = None;
    for step in &case.steps {
        let request = |manager, config, force| {
            apply(ApplyRequest {
                live: live.as_ref(),
                config,
                force,
                write: write(manager, &schema),
            })
        };
        let next = match step {
            Apply(manager, config) => {
                request(manager, config, false).unwrap_or_else(|e| panic!("{}: {e}", case.name))
            }
            Force(manager, config) => {
                request(manager, config, true).unwrap_or_else(|e| panic!("{}: {e}", case.name))
            }
            Update(manager, patch) => {
                let old = live.clone().unwrap_or_else(|| json!({}));
                let new = super::super::patch::merge(&old, patch).unwrap();
                update(live.as_ref(), &new, write(manager, &schema))
            }
            Fails(manager, config, words) => {
                let error = request(manager, config, false).expect_err(case.name);
                assert_eq!(error.to_string(), *words, "{}", case.name);
                continue;
            }
        };
        live = Some(next);
    }
    let live = live.unwrap();
    for (pointer, expected) in &case.then {
        assert_eq!(
            live.pointer(pointer).unwrap_or(&Value::Null),
            expected,
            "{}: {pointer}",
            case.name
        );
    }
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let owners: Vec<(String, Vec<String>)> = entries
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            (
                format!("{}/{}", text("manager"), text("operation")),
                Set::parse(&entry["fieldsV1"]).paths(),
            )
        })
        .collect();
    let expected: Vec<(String, Vec<String>)> = case
        .owners
        .iter()
        .map(|(owner, paths)| {
            ((*owner).to_owned(), paths.iter().map(|path| (*path).to_owned()).collect())
        })
        .collect();
    assert_eq!(owners, expected, "{}", case.name);
    // Whatever the history, applying the last configuration once more changes nothing.
    if let Some(Apply(manager, config) | Force(manager, config)) = case.steps.last() {
        let again = apply(ApplyRequest {
            live: Some(&live),
            config,
            force: false,
            write: write(manager, &schema),
        });
        assert_eq!(again.unwrap(), live, "{}: applied again", case.name);
    }
}

fn case(
    name: &'static str,
    steps: Vec<Step>,
    then: Vec<(&'static str, Value)>,
    owners: Vec<(&'static str, Vec<&'static str>)>,
) -> Case {
    Case { name, steps, then, owners }
}

const REPLICAS: &str = ".spec.replicas";
const TEMPLATE: &str = "/spec/template/spec/containers";

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let replicas = |count: i64| spec(json!({ "replicas": count }));
    vec![
        case(
            "a first apply owns what it says",
            vec![Apply("a", replicas(1))],
            vec![("/spec/replicas", json!(1))],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "the same value is shared",
            vec![Apply("a", replicas(1)), Apply("b", replicas(1))],
            vec![],
            vec![("a/Apply", vec![REPLICAS]), ("b/Apply", vec![REPLICAS])],
        ),
        case(
            "another value conflicts",
            vec![
                Apply("a", replicas(1)),
                Fails(
                    "b",
                    replicas(2),
                    "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas",
                ),
            ],
            vec![("/spec/replicas", json!(1))],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "an updater is named with its version",
            vec![
                Apply("a", spec(json!({ "paused": true }))),
                Update("kubectl", json!({ "spec": { "replicas": 3 } })),
                Fails(
                    "a",
                    replicas(2),
                    "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas",
                ),
            ],
            vec![],
            vec![("a/Apply", vec![".spec.paused"]), ("kubectl/Update", vec![REPLICAS])],
        ),
        case(
            "force takes the field",
            vec![Apply("a", replicas(1)), Force("b", replicas(2))],
            vec![("/spec/replicas", json!(2))],
            vec![("b/Apply", vec![REPLICAS])],
        ),
        case(
            "force takes only what differs",
            vec![
                Apply("a", spec(json!({ "replicas": 1, "paused": true }))),
                Force("b", replicas(2)),
            ],
            vec![("/spec/paused", json!(true))],
            vec![("a/Apply", vec![".spec.paused"]), ("b/Apply", vec![REPLICAS])],
        ),
        case(
            "what leaves the configuration goes",
            vec![
                Apply("a", spec(json!({ "replicas": 1, "paused": true }))),
                Apply("a", replicas(1)),
            ],
            vec![("/spec/paused", Value::Null)],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "what another still owns stays",
            vec![
                Apply("a", spec(json!({ "replicas": 1, "paused": true }))),
                Apply("b", spec(json!({ "paused": true }))),
                Apply("a", replicas(1)),
            ],
            vec![("/spec/paused", json!(true))],
            vec![("a/Apply", vec![REPLICAS]), ("b/Apply", vec![".spec.paused"])],
        ),
        case(
            "what an updater owns too stays",
            vec![
                Apply("a", spec(json!({ "replicas": 1, "paused": true }))),
                Update("u", json!({ "spec": { "replicas": 5 } })),
                Apply("a", spec(json!({ "paused": true }))),
            ],
            vec![("/spec/replicas", json!(5))],
            vec![("a/Apply", vec![".spec.paused"]), ("u/Update", vec![REPLICAS])],
        ),
        case(
            "an update moves ownership",
            vec![Apply("a", replicas(1)), Update("u", json!({ "spec": { "replicas": 2 } }))],
            vec![],
            vec![("u/Update", vec![REPLICAS])],
        ),
        case(
            "an update that changes nothing owns nothing",
            vec![Apply("a", replicas(1)), Update("u", json!({ "spec": { "replicas": 1 } }))],
            vec![],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "an update that removes a field takes it from its owner",
            vec![
                Apply("a", spec(json!({ "replicas": 1, "paused": true }))),
                Update("u", json!({ "spec": { "paused": null } })),
            ],
            vec![("/spec/paused", Value::Null)],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "an updater's entries add up",
            vec![Update("u", replicas(1)), Update("u", json!({ "spec": { "paused": true } }))],
            vec![],
            vec![("u/Update", vec![".spec.paused", REPLICAS])],
        ),
        case(
            "two updaters have an entry each",
            vec![Update("u", replicas(1)), Update("v", json!({ "spec": { "paused": true } }))],
            vec![],
            vec![("u/Update", vec![REPLICAS]), ("v/Update", vec![".spec.paused"])],
        ),
        case(
            "an applier and an updater of one name are two",
            vec![Update("u", replicas(1)), Apply("u", spec(json!({ "paused": true })))],
            vec![],
            vec![("u/Apply", vec![".spec.paused"]), ("u/Update", vec![REPLICAS])],
        ),
        case(
            "a list's items are told apart by key",
            vec![
                Apply("a", containers(json!([{ "name": "x", "image": "1" }]))),
                Apply("b", containers(json!([{ "name": "y", "image": "2" }]))),
            ],
            vec![(TEMPLATE, json!([{ "name": "x", "image": "1" }, { "name": "y", "image": "2" }]))],
            vec![
                (
                    "a/Apply",
                    vec![
                        r#".spec.template.spec.containers[name="x"]"#,
                        r#".spec.template.spec.containers[name="x"].image"#,
                        r#".spec.template.spec.containers[name="x"].name"#,
                    ],
                ),
                (
                    "b/Apply",
                    vec![
                        r#".spec.template.spec.containers[name="y"]"#,
                        r#".spec.template.spec.containers[name="y"].image"#,
                        r#".spec.template.spec.containers[name="y"].name"#,
                    ],
                ),
            ],
        ),
        case(
            "an item that leaves goes",
            vec![
                Apply(
                    "a",
                    containers(
                        json!([{ "name": "x", "image": "1" }, { "name": "y", "image": "2" }]),
                    ),
                ),
                Apply("a", containers(json!([{ "name": "y", "image": "2" }]))),
            ],
            vec![(TEMPLATE, json!([{ "name": "y", "image": "2" }]))],
            vec![(
                "a/Apply",
                vec![
                    r#".spec.template.spec.containers[name="y"]"#,
                    r#".spec.template.spec.containers[name="y"].image"#,
                    r#".spec.template.spec.containers[name="y"].name"#,
                ],
            )],
        ),
        case(
            "an item goes with the fields that nobody owns",
            vec![
                Apply("a", containers(json!([{ "name": "x" }, { "name": "y" }]))),
                Update("u", json!({ "metadata": { "labels": null } })),
                Apply("a", containers(json!([{ "name": "y" }]))),
            ],
            vec![(TEMPLATE, json!([{ "name": "y" }]))],
            vec![(
                "a/Apply",
                vec![
                    r#".spec.template.spec.containers[name="y"]"#,
                    r#".spec.template.spec.containers[name="y"].name"#,
                ],
            )],
        ),
        case(
            "the applier's order wins",
            vec![
                Apply("a", containers(json!([{ "name": "x" }, { "name": "y" }]))),
                Apply("a", containers(json!([{ "name": "y" }, { "name": "x" }]))),
            ],
            vec![(TEMPLATE, json!([{ "name": "y" }, { "name": "x" }]))],
            vec![(
                "a/Apply",
                vec![
                    r#".spec.template.spec.containers[name="x"]"#,
                    r#".spec.template.spec.containers[name="y"]"#,
                    r#".spec.template.spec.containers[name="x"].name"#,
                    r#".spec.template.spec.containers[name="y"].name"#,
                ],
            )],
        ),
        case(
            "a conflict in an item names its key",
            vec![
                Apply("a", containers(json!([{ "name": "x", "image": "1" }]))),
                Fails(
                    "b",
                    containers(json!([{ "name": "x", "image": "2" }])),
                    r#"Apply failed with 1 conflict: conflict with "a": .spec.template.spec.containers[name="x"].image"#,
                ),
            ],
            vec![],
            vec![(
                "a/Apply",
                vec![
                    r#".spec.template.spec.containers[name="x"]"#,
                    r#".spec.template.spec.containers[name="x"].image"#,
                    r#".spec.template.spec.containers[name="x"].name"#,
                ],
            )],
        ),
        case(
            "a port's protocol is TCP when it is not said",
            vec![
                Apply(
                    "a",
                    containers(json!([{ "name": "x", "ports": [{ "containerPort": 80 }] }])),
                ),
                Apply(
                    "b",
                    containers(
                        json!([{ "name": "x", "ports": [{ "containerPort": 80, "protocol": "TCP", "name": "http" }] }]),
                    ),
                ),
            ],
            vec![(
                TEMPLATE,
                json!([{ "name": "x", "ports": [{ "containerPort": 80, "name": "http", "protocol": "TCP" }] }]),
            )],
            vec![
                (
                    "a/Apply",
                    vec![
                        r#".spec.template.spec.containers[name="x"]"#,
                        r#".spec.template.spec.containers[name="x"].name"#,
                        r#".spec.template.spec.containers[name="x"].ports[containerPort=80,protocol="TCP"]"#,
                        r#".spec.template.spec.containers[name="x"].ports[containerPort=80,protocol="TCP"].containerPort"#,
                    ],
                ),
                (
                    "b/Apply",
                    vec![
                        r#".spec.template.spec.containers[name="x"]"#,
                        r#".spec.template.spec.containers[name="x"].name"#,
                        r#".spec.template.spec.containers[name="x"].ports[containerPort=80,protocol="TCP"]"#,
                        r#".spec.template.spec.containers[name="x"].ports[containerPort=80,protocol="TCP"].containerPort"#,
                        r#".spec.template.spec.containers[name="x"].ports[containerPort=80,protocol="TCP"].name"#,
                        r#".spec.template.spec.containers[name="x"].ports[containerPort=80,protocol="TCP"].protocol"#,
                    ],
                ),
            ],
        ),
        case(
            "one port with two protocols is two items",
            vec![Apply(
                "a",
                containers(
                    json!([{ "name": "x", "ports": [{ "containerPort": 53 }, { "containerPort": 53, "protocol": "UDP" }] }]),
                ),
            )],
            vec![("/spec/template/spec/containers/0/ports/1/protocol", json!("UDP"))],
            vec![(
                "a/Apply",
                vec![
                    r#".spec.template.spec.containers[name="x"]"#,
                    r#".spec.template.spec.containers[name="x"].name"#,
                    r#".spec.template.spec.containers[name="x"].ports[containerPort=53,protocol="TCP"]"#,
                    r#".spec.template.spec.containers[name="x"].ports[containerPort=53,protocol="UDP"]"#,
                    r#".spec.template.spec.containers[name="x"].ports[containerPort=53,protocol="TCP"].containerPort"#,
                    r#".spec.template.spec.containers[name="x"].ports[containerPort=53,protocol="UDP"].containerPort"#,
                    r#".spec.template.spec.containers[name="x"].ports[containerPort=53,protocol="UDP"].protocol"#,
                ],
            )],
        ),
        case(
            "two items with one key are refused",
            vec![
                Apply("a", replicas(1)),
                Fails(
                    "a",
                    containers(json!([{ "name": "x" }, { "name": "x" }])),
                    r#"failed to create typed patch object (ns/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="x"]"#,
                ),
            ],
            vec![],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "an item without its key is refused",
            vec![
                Apply("a", replicas(1)),
                Fails(
                    "a",
                    containers(json!([{ "image": "x" }])),
                    r#"failed to create typed patch object (ns/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn't have default value)"#,
                ),
            ],
            vec![],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "an unknown field is refused",
            vec![
                Apply("a", replicas(1)),
                Fails(
                    "a",
                    spec(json!({ "foo": 1 })),
                    "failed to create typed patch object (ns/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
                ),
            ],
            vec![],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "a wrong type is refused",
            vec![
                Apply("a", replicas(1)),
                Fails(
                    "a",
                    spec(json!({ "replicas": "x" })),
                    "failed to create typed patch object (ns/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
                ),
            ],
            vec![],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "labels are owned one by one",
            vec![
                Apply("a", meta(json!({ "labels": { "x": "1" } }))),
                Apply("b", meta(json!({ "labels": { "y": "2" } }))),
            ],
            vec![("/metadata/labels", json!({ "x": "1", "y": "2" }))],
            vec![("a/Apply", vec![".metadata.labels.x"]), ("b/Apply", vec![".metadata.labels.y"])],
        ),
        case(
            "a label that leaves goes",
            vec![
                Apply("a", meta(json!({ "labels": { "x": "1", "y": "2" } }))),
                Apply("a", meta(json!({ "labels": { "y": "2" } }))),
            ],
            vec![("/metadata/labels", json!({ "y": "2" }))],
            vec![("a/Apply", vec![".metadata.labels.y"])],
        ),
        case(
            "the last label takes the map with it",
            vec![
                Apply("a", meta(json!({ "labels": { "x": "1" }, "annotations": { "k": "v" } }))),
                Apply("a", meta(json!({ "annotations": { "k": "v" } }))),
            ],
            vec![("/metadata/labels", Value::Null)],
            vec![("a/Apply", vec![".metadata.annotations.k"])],
        ),
        case(
            "an empty map is owned as such",
            vec![Apply("a", meta(json!({ "labels": {} })))],
            vec![("/metadata/labels", json!({}))],
            vec![("a/Apply", vec![".metadata.labels"])],
        ),
        case(
            "a selector has one owner",
            vec![
                Apply("a", spec(json!({ "selector": { "matchLabels": { "x": "1" } } }))),
                Fails(
                    "b",
                    spec(json!({ "selector": { "matchLabels": { "y": "1" } } })),
                    "Apply failed with 1 conflict: conflict with \"a\": .spec.selector",
                ),
            ],
            vec![],
            vec![("a/Apply", vec![".spec.selector"])],
        ),
        case(
            "a node selector has one owner",
            vec![
                Apply("a", pod_spec("nodeSelector", json!({ "x": "1" }))),
                Force("b", pod_spec("nodeSelector", json!({ "y": "1" }))),
            ],
            vec![("/spec/template/spec/nodeSelector", json!({ "y": "1" }))],
            vec![("b/Apply", vec![".spec.template.spec.nodeSelector"])],
        ),
        case(
            "a list without keys has one owner",
            vec![
                Apply("a", pod_spec("tolerations", json!([{ "key": "x" }]))),
                Fails(
                    "b",
                    pod_spec("tolerations", json!([{ "key": "y" }])),
                    "Apply failed with 1 conflict: conflict with \"a\": .spec.template.spec.tolerations",
                ),
            ],
            vec![],
            vec![("a/Apply", vec![".spec.template.spec.tolerations"])],
        ),
        case(
            "finalizers are a set",
            vec![
                Apply("a", meta(json!({ "finalizers": ["x/x"] }))),
                Apply("b", meta(json!({ "finalizers": ["y/y"] }))),
                Apply("a", meta(json!({ "finalizers": [] }))),
            ],
            vec![("/metadata/finalizers", json!(["y/y"]))],
            vec![("b/Apply", vec![r#".metadata.finalizers[="y/y"]"#])],
        ),
        case(
            "a first creation by update owns its structs' leaves",
            vec![Update(
                "u",
                spec(
                    json!({ "strategy": { "type": "Recreate" }, "template": { "metadata": { "labels": { "a": "b" } } } }),
                ),
            )],
            vec![],
            vec![(
                "u/Update",
                vec![
                    ".spec.strategy.type",
                    ".spec.template.metadata.labels",
                    ".spec.template.metadata.labels.a",
                ],
            )],
        ),
        case(
            "status is not written with the object",
            vec![Apply(
                "a",
                json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": { "replicas": 1 }, "status": { "replicas": 3 } }),
            )],
            vec![],
            vec![("a/Apply", vec![REPLICAS])],
        ),
        case(
            "several conflicts are grouped by manager",
            vec![
                Apply("a", spec(json!({ "replicas": 1, "paused": true }))),
                Update("u", json!({ "spec": { "minReadySeconds": 3 } })),
                Fails(
                    "b",
                    spec(json!({ "replicas": 2, "paused": false, "minReadySeconds": 4 })),
                    "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas\nconflicts with \"u\" using apps/v1:\n- .spec.minReadySeconds",
                ),
            ],
            vec![],
            vec![
                ("a/Apply", vec![".spec.paused", REPLICAS]),
                ("u/Update", vec![".spec.minReadySeconds"]),
            ],
        ),
        case(
            "after the conflicting field is dropped the apply works",
            vec![
                Apply("a", replicas(1)),
                Fails(
                    "b",
                    spec(json!({ "replicas": 2, "paused": true })),
                    "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas",
                ),
                Apply("b", spec(json!({ "paused": true }))),
            ],
            vec![],
            vec![("a/Apply", vec![REPLICAS]), ("b/Apply", vec![".spec.paused"])],
        ),
        case(
            "an applier can give its field to another",
            vec![
                Apply("a", replicas(1)),
                Force("b", replicas(2)),
                Apply("a", spec(json!({ "paused": true }))),
            ],
            vec![("/spec/replicas", json!(2))],
            vec![("a/Apply", vec![".spec.paused"]), ("b/Apply", vec![REPLICAS])],
        ),
        case(
            "environment variables merge by name",
            vec![
                Apply(
                    "a",
                    containers(json!([{ "name": "x", "env": [{ "name": "A", "value": "1" }] }])),
                ),
                Update(
                    "u",
                    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "x", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] }] } } } }),
                ),
                Apply("a", containers(json!([{ "name": "x" }]))),
            ],
            vec![(TEMPLATE, json!([{ "name": "x", "env": [{ "name": "B", "value": "2" }] }]))],
            vec![
                (
                    "a/Apply",
                    vec![
                        r#".spec.template.spec.containers[name="x"]"#,
                        r#".spec.template.spec.containers[name="x"].name"#,
                    ],
                ),
                (
                    "u/Update",
                    vec![
                        r#".spec.template.spec.containers[name="x"].env[name="B"]"#,
                        r#".spec.template.spec.containers[name="x"].env[name="B"].name"#,
                        r#".spec.template.spec.containers[name="x"].env[name="B"].value"#,
                    ],
                ),
            ],
        ),
    ]
}

#[test]
fn ownership_follows_the_table() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    for case in &cases {
        run(case);
    }
}

#[test]
fn causes_name_manager_and_field() {
    let schema = schema();
    let live = update(None, &spec(json!({ "replicas": 1 })), write("kubectl", &schema));
    let config = spec(json!({ "replicas": 2 }));
    let error = apply(ApplyRequest {
        live: Some(&live),
        config: &config,
        force: false,
        write: write("b", &schema),
    });
    let Err(ApplyError::Conflicts(conflicts)) = error else { panic!("no conflict") };
    assert_eq!(
        conflicts.causes(),
        [
            json!({ "reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas" })
        ]
    );
}

#[test]
fn an_object_without_owners_belongs_to_the_time_before() {
    let schema = schema();
    let live = spec(json!({ "replicas": 1 }));
    let config = spec(json!({ "replicas": 2 }));
    let error = apply(ApplyRequest {
        live: Some(&live),
        config: &config,
        force: false,
        write: write("b", &schema),
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn managed_fields_can_not_be_applied() {
    let schema = schema();
    let mut config = spec(json!({}));
    config["metadata"]["managedFields"] = json!([]);
    let error = apply(ApplyRequest {
        live: None,
        config: &config,
        force: false,
        write: write("b", &schema),
    });
    assert_eq!(error.unwrap_err().to_string(), "metadata.managedFields must be nil");
}

#[test]
fn the_status_is_owned_by_who_writes_the_subresource() {
    let schema = schema();
    let live = update(None, &spec(json!({ "replicas": 1 })), write("u", &schema));
    let mut new = live.clone();
    new["status"] = json!({ "readyReplicas": 1 });
    new["spec"]["replicas"] = json!(1);
    let status = Write { subresource: "status", ..write("controller", &schema) };
    let out = update(Some(&live), &new, status);
    let entries = out["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["manager"] == "controller").unwrap();
    assert_eq!(entry["subresource"], "status");
    assert_eq!(entry["time"], "2027-01-15T08:00:00Z");
    assert_eq!(entry["fieldsType"], "FieldsV1");
    assert_eq!(entry["apiVersion"], "apps/v1");
    assert_eq!(entry["fieldsV1"], json!({ "f:status": { "f:readyReplicas": {} } }));
    let spec_owner = entries.iter().find(|entry| entry["manager"] == "u").unwrap();
    assert_eq!(spec_owner["fieldsV1"], json!({ "f:spec": { "f:replicas": {} } }));
}

#[test]
fn a_conflict_with_a_subresource_says_so() {
    let schema = schema();
    let scale = Write { subresource: "scale", ..write("hpa", &schema) };
    let live = update(None, &spec(json!({ "replicas": 1 })), scale);
    let config = spec(json!({ "replicas": 2 }));
    let error = apply(ApplyRequest {
        live: Some(&live),
        config: &config,
        force: false,
        write: write("b", &schema),
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn the_oldest_of_many_updaters_become_one() {
    let schema = schema();
    let mut live = update(None, &spec(json!({ "replicas": 1 })), write("u-0", &schema));
    for number in 1..14 {
        let mut new = live.clone();
        new["metadata"]["annotations"][format!("a{number:02}")] = json!("x");
        let manager = format!("u-{number:02}");
        let at = now() + chrono::Duration::seconds(number);
        live = update(Some(&live), &new, Write { now: at, ..write(&manager, &schema) });
    }
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    let ancient = entries.iter().find(|entry| entry["manager"] == "ancient-changes").unwrap();
    assert!(Set::parse(&ancient["fieldsV1"]).paths().contains(&".spec.replicas".to_owned()));
}

#[test]
fn an_empty_list_of_managed_fields_forgets_them() {
    let schema = schema();
    let live = update(None, &spec(json!({ "replicas": 1 })), write("u", &schema));
    let mut new = live.clone();
    new["metadata"]["managedFields"] = json!([{}]);
    assert!(
        update(Some(&live), &new, write("u", &schema))["metadata"].get("managedFields").is_none()
    );
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-z./]{1,4}".prop_map(Element::Field),
        (1_i64..9)
            .prop_map(|port| Element::Key(json!({ "port": port, "protocol": "TCP" }).to_string())),
        "[a-z\":]{1,3}".prop_map(|text| Element::Value(json!(text).to_string())),
        (0_i64..9).prop_map(Element::Index),
    ]
}

fn any_set() -> impl Strategy<Value = Set> {
    proptest::collection::vec(proptest::collection::vec(element(), 1..5), 0..12).prop_map(|paths| {
        let mut set = Set::default();
        for path in paths {
            set.insert(&path);
        }
        set
    })
}

fn any_config() -> impl Strategy<Value = Value> {
    let env = proptest::collection::btree_map("[A-C]", "[0-2]", 0..3).prop_map(|all| {
        json!(
            all.into_iter()
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect::<Vec<_>>()
        )
    });
    let container = ("[x-z]", env).prop_map(|(name, env)| json!({ "name": name, "env": env }));
    let list = proptest::collection::vec(container, 0..4).prop_map(|list| {
        let mut out: Vec<Value> = Vec::new();
        for item in list {
            if out.iter().all(|other| other["name"] != item["name"]) {
                out.push(item);
            }
        }
        json!(out)
    });
    (list, 0_i64..3, proptest::collection::btree_map("[a-c]", "[0-2]", 0..3)).prop_map(
        |(list, replicas, labels)| {
            let mut object = containers(list);
            object["spec"]["replicas"] = json!(replicas);
            object["metadata"]["labels"] = json!(labels);
            object
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fields_print_and_parse_to_the_same_set(set in any_set()) {
        prop_assert_eq!(Set::parse(&set.print()), set);
    }

    #[test]
    fn sets_obey_the_laws_of_sets(left in any_set(), right in any_set()) {
        prop_assert_eq!(left.difference(&right).union(&left.intersection(&right)), left.clone());
        prop_assert!(left.difference(&right).intersection(&right).is_empty());
        prop_assert_eq!(left.union(&right), right.union(&left));
    }

    #[test]
    fn applying_twice_changes_nothing(first in any_config(), second in any_config()) {
        let schema = schema();
        let one = apply(ApplyRequest { live: None, config: &first, force: false, write: write("a", &schema) }).unwrap();
        let two = apply(ApplyRequest { live: Some(&one), config: &second, force: true, write: write("b", &schema) }).unwrap();
        let again = apply(ApplyRequest { live: Some(&two), config: &second, force: false, write: write("b", &schema) }).unwrap();
        prop_assert_eq!(two, again);
    }

    #[test]
    fn an_only_applier_gets_what_it_applies(first in any_config(), second in any_config()) {
        let schema = schema();
        let one = apply(ApplyRequest { live: None, config: &first, force: false, write: write("a", &schema) }).unwrap();
        let two = apply(ApplyRequest { live: Some(&one), config: &second, force: false, write: write("a", &schema) }).unwrap();
        prop_assert_eq!(&two["spec"]["replicas"], &second["spec"]["replicas"]);
        let names = |object: &Value| -> Vec<Value> {
            object.pointer(TEMPLATE).and_then(Value::as_array).into_iter().flatten().map(|item| item["name"].clone()).collect()
        };
        prop_assert_eq!(names(&two), names(&second));
    }
}
