use serde_json::{Value, json};

use super::{json as json_patch, merge, strategic};
use crate::sandbox::cluster::api::schema::Catalogue;

fn pod(patch: &Value) -> Result<Value, String> {
    let live = json!({ "spec": {
        "containers": [
            { "name": "a", "image": "1", "ports": [{ "containerPort": 80 }], "args": ["x"] },
            { "name": "b", "image": "2" },
        ],
        "volumes": [{ "name": "v", "emptyDir": {} }],
        "tolerations": [{ "key": "x" }],
    }, "metadata": { "finalizers": ["one", "two"], "labels": { "a": "1" } } });
    let catalogue = Catalogue::builtin();
    let schema = &catalogue.find("", "v1", "pods").unwrap().schema;
    strategic(&live, patch, schema).map_err(|error| error.to_string())
}

#[test]
fn lists_merge_by_their_keys() {
    let out = pod(&json!({ "spec": { "containers": [{ "name": "b", "image": "3" }, { "name": "c", "image": "4" }] } })).unwrap();
    assert_eq!(
        out["spec"]["containers"],
        json!([
            { "name": "a", "image": "1", "ports": [{ "containerPort": 80 }], "args": ["x"] },
            { "name": "b", "image": "3" },
            { "name": "c", "image": "4" },
        ])
    );
}

#[test]
fn directives_delete_replace_retain_and_order() {
    let out =
        pod(&json!({ "spec": { "containers": [{ "name": "a", "$patch": "delete" }] } })).unwrap();
    assert_eq!(out["spec"]["containers"], json!([{ "name": "b", "image": "2" }]));
    let out = pod(&json!({ "spec": { "containers": [{ "$patch": "replace" }, { "name": "z" }] } }))
        .unwrap();
    assert_eq!(out["spec"]["containers"], json!([{ "name": "z" }]));
    let out = pod(&json!({ "spec": { "$retainKeys": ["containers"] } })).unwrap();
    assert_eq!(out["spec"].as_object().unwrap().len(), 1);
    let out = pod(&json!({ "spec": {
        "$setElementOrder/containers": [{ "name": "c" }, { "name": "b" }, { "name": "a" }],
        "containers": [{ "name": "c" }],
    } }))
    .unwrap();
    let names: Vec<&Value> =
        out["spec"]["containers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["c", "b", "a"]);
    let out = pod(&json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["one"], "finalizers": ["three"] } })).unwrap();
    assert_eq!(out["metadata"]["finalizers"], json!(["three", "two"]), "what is added comes first");
    let out = pod(&json!({ "spec": { "volumes": [{ "name": "v", "$retainKeys": ["name", "secret"], "secret": {} }] } })).unwrap();
    assert_eq!(out["spec"]["volumes"], json!([{ "name": "v", "secret": {} }]));
}

#[test]
fn lists_without_keys_are_replaced_and_nulls_remove() {
    let out = pod(&json!({ "spec": { "tolerations": [{ "key": "y" }], "volumes": null }, "metadata": { "labels": { "a": null, "b": "2" } } })).unwrap();
    assert_eq!(out["spec"]["tolerations"], json!([{ "key": "y" }]));
    assert!(out["spec"].get("volumes").is_none());
    assert_eq!(out["metadata"]["labels"], json!({ "b": "2" }));
}

#[test]
fn an_item_without_its_merge_key_is_refused() {
    let error = pod(&json!({ "spec": { "containers": [{ "image": "x" }] } })).unwrap_err();
    assert_eq!(error, r#"map: {"image":"x"} does not contain declared merge key: name"#);
}

#[test]
fn merge_and_json_patches_follow_their_rfcs() {
    let live = json!({ "a": { "b": 1, "c": [1] }, "d": 2 });
    assert_eq!(
        merge(&live, &json!({ "a": { "b": null, "c": [2] }, "e": { "f": null } })).unwrap(),
        json!({ "a": { "c": [2] }, "d": 2, "e": {} })
    );
    assert!(merge(&live, &json!([1])).is_err());
    let patch = json!([{ "op": "test", "path": "/d", "value": 2 }, { "op": "replace", "path": "/a/b", "value": 9 }]);
    assert_eq!(json_patch(&live, &patch).unwrap()["a"]["b"], json!(9));
    let failing = json!([{ "op": "remove", "path": "/x" }]);
    assert!(
        json_patch(&live, &failing)
            .unwrap_err()
            .to_string()
            .starts_with("the server rejected our request due to an error in our request")
    );
}
