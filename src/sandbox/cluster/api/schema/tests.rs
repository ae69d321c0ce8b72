use serde_json::{Value, json};

use super::{
    Catalogue, Class, FieldValidation, Kind, ListType, Schema, duplicate_fields, openapi_document,
};

fn kind(group: &str, plural: &str) -> Kind {
    Kind::clone(Catalogue::builtin().find(group, "v1", plural).unwrap())
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "nginx", "ports": [{ "containerPort": 80 }] }] },
            },
        },
    })
}

fn said(schema: &Schema, object: &Value) -> Vec<String> {
    schema.validate(object, FieldValidation::Strict).iter().map(ToString::to_string).collect()
}

#[test]
fn every_kind_has_a_schema_whose_references_resolve() {
    for kind in Catalogue::builtin().kinds() {
        let definitions = kind.schema.definitions();
        assert!(definitions.contains_key(kind.schema.name()), "{}", kind.kind);
        let text = serde_json::to_string(definitions).unwrap();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(definitions.contains_key(name), "{}: {name}", kind.kind);
        }
        assert!(kind.schema.root().properties.contains_key("metadata"), "{}", kind.kind);
    }
}

#[test]
fn ports_are_told_apart_by_port_and_protocol() {
    let kind = kind("apps", "deployments");
    let schema = &kind.schema;
    let mut node = schema.root();
    for key in ["spec", "template", "spec"] {
        node = schema.member(node, key).0;
    }
    let containers = &node.properties["containers"];
    assert_eq!(containers.list_type, ListType::Map(vec!["name".to_owned()]));
    assert_eq!(containers.merge_key.as_deref(), Some("name"));
    let ports = &schema.item(containers).properties["ports"];
    let keys = vec!["containerPort".to_owned(), "protocol".to_owned()];
    assert_eq!(ports.list_type, ListType::Map(keys));
    assert_eq!(ports.merge_key.as_deref(), Some("containerPort"));
    assert!(node.properties["nodeSelector"].atomic);
    assert!(node.properties["volumes"].retain_keys);
}

#[test]
fn unknown_and_duplicate_fields_are_named_as_the_server_names_them() {
    let schema = kind("apps", "deployments").schema;
    let mut object = deployment();
    object["spec"]["foo"] = json!(1);
    object["spec"]["template"]["spec"]["containers"][0]["imag"] = json!("x");
    assert_eq!(
        said(&schema, &object),
        [r#"unknown field "spec.foo""#, r#"unknown field "spec.template.spec.containers[0].imag""#]
    );
    assert!(schema.validate(&object, FieldValidation::Ignore).is_empty());
    let twice = duplicate_fields(br#"{"spec":{"replicas":1,"replicas":2},"a":[{"b":1,"b":2}]}"#);
    let twice: Vec<&str> = twice.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(twice, [r#"duplicate field "spec.replicas""#, r#"duplicate field "a[0].b""#]);
}

#[test]
fn a_value_of_the_wrong_type_is_worded_as_the_decoder_words_it() {
    let schema = kind("apps", "deployments").schema;
    let mut object = deployment();
    object["spec"]["replicas"] = json!("two");
    assert_eq!(
        said(&schema, &object),
        [
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        ]
    );
    let mut object = deployment();
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(5);
    assert_eq!(
        said(&schema, &object),
        [
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of type string"
        ]
    );
}

#[test]
fn required_fields_of_built_in_kinds_are_asked_for() {
    let schema = kind("apps", "deployments").schema;
    let mut object = deployment();
    object["spec"].as_object_mut().unwrap().remove("selector");
    assert_eq!(said(&schema, &object), ["spec.selector: Required value"]);
    assert!(said(&schema, &deployment()).is_empty());
}

#[test]
fn pods_get_the_defaults_of_the_server() {
    let schema = kind("apps", "deployments").schema;
    let mut object = deployment();
    schema.default(&mut object);
    assert_eq!(
        object["spec"],
        json!({
            "replicas": 1,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" }, "type": "RollingUpdate" },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "containers": [{
                        "name": "web",
                        "image": "nginx",
                        "imagePullPolicy": "Always",
                        "ports": [{ "containerPort": 80, "protocol": "TCP" }],
                        "resources": {},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                    }],
                    "dnsPolicy": "ClusterFirst",
                    "restartPolicy": "Always",
                    "schedulerName": "default-scheduler",
                    "securityContext": {},
                    "terminationGracePeriodSeconds": 30,
                },
            },
        })
    );
    let once = object.clone();
    schema.default(&mut object);
    assert_eq!(object, once);
}

fn custom() -> Schema {
    Schema::custom(
        "bivouac.dev",
        "v1",
        "Camp",
        &json!({
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["size"],
                    "properties": {
                        "size": { "type": "integer", "minimum": 1, "maximum": 5 },
                        "mode": { "type": "string", "enum": ["a", "b"], "default": "a" },
                        "name": { "type": "string", "pattern": "^[a-z]+$", "maxLength": 4 },
                        "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 1, "x-kubernetes-list-type": "set" },
                        "port": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
                        "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                        "map": { "type": "object", "additionalProperties": { "type": "object", "properties": { "x": { "type": "integer", "default": 7 } } } },
                    },
                },
            },
        }),
    )
}

#[test]
fn custom_resources_are_validated_in_the_servers_words() {
    let object = json!({
        "apiVersion": "bivouac.dev/v1", "kind": "Camp", "metadata": { "name": "x" },
        "spec": { "size": "big", "mode": "c", "name": "Toolong", "tags": ["a", "a"], "port": true },
    });
    insta::assert_snapshot!(said(&custom(), &object).join("\n"), @r#"
    spec.mode: Unsupported value: "c": supported values: "a", "b"
    spec.name: Invalid value: "Toolong": spec.name in body should match '^[a-z]+$'
    spec.name: Too long: may not be more than 4 bytes
    spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"
    spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"
    spec.tags: Too many: 2: must have at most 1 items
    spec.tags[1]: Duplicate value: "a"
    "#);
    let empty = json!({ "apiVersion": "bivouac.dev/v1", "kind": "Camp", "spec": { "size": 9 } });
    assert_eq!(
        said(&custom(), &empty),
        ["spec.size: Invalid value: 9: spec.size in body should be less than or equal to 5"]
    );
    let absent = json!({ "spec": {} });
    assert_eq!(said(&custom(), &absent), ["spec.size: Required value"]);
}

#[test]
fn custom_resources_are_pruned_and_defaulted() {
    let schema = custom();
    let mut object = json!({
        "apiVersion": "bivouac.dev/v1", "kind": "Camp", "metadata": { "name": "x", "labels": { "a": "b" } },
        "spec": { "size": 1, "unknown": 1, "free": { "any": { "thing": 1 } }, "map": { "k": { "y": 1 } } },
        "other": true,
    });
    schema.prune(&mut object);
    schema.default(&mut object);
    assert_eq!(
        object,
        json!({
            "apiVersion": "bivouac.dev/v1", "kind": "Camp", "metadata": { "name": "x", "labels": { "a": "b" } },
            "spec": { "size": 1, "mode": "a", "free": { "any": { "thing": 1 } }, "map": { "k": { "x": 7 } } },
        })
    );
}

#[test]
fn problems_have_the_reasons_of_causes() {
    let problems = custom().validate(&json!({ "spec": { "size": null } }), FieldValidation::Strict);
    assert_eq!(problems[0].class, Class::TypeInvalid);
    assert_eq!(problems[0].cause()["reason"], "FieldValueTypeInvalid");
}

#[test]
fn the_openapi_document_tells_clients_that_field_validation_is_supported() {
    let kind = kind("apps", "deployments");
    let document = openapi_document([&kind]);
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    let has =
        patch["parameters"].as_array().unwrap().iter().any(|one| one["name"] == "fieldValidation");
    assert!(has);
    let root = &document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(root["x-kubernetes-group-version-kind"][0]["kind"], "Deployment");
    assert_eq!(
        root["properties"]["spec"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"
    );
}
