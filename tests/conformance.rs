//! What Kubernetes documents of its API, as one table of requests and answers. It runs against the embedded API server in
//! process and, with `BIVOUAC_TEST_KUBECONFIG=<file>`, against a real cluster whose administrator that file names.
//!
//! Expected fields are a part of the answer: an object has at least these members, a list exactly these items. `"*"` is any
//! value but null, `"~x"` a text that holds `x`, `null` a member that is not there. `{ns}` is the scenario's namespace.

#![expect(clippy::too_many_lines, reason = "tables of requests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bivouac::sandbox::cluster::api::{ApiServer, Options};
use bivouac::sandbox::cluster::controllers::client_over_with_token;
use bivouac::seams::{Clock, Rng};
use http::{Request, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use secrecy::SecretString;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

/// One request and what is to come back.
struct Row {
    title: &'static str,
    method: &'static str,
    path: String,
    content: &'static str,
    accept: &'static str,
    user: &'static str,
    body: Value,
    code: u16,
    fields: Value,
    /// A name for a value of the answer, and where it is.
    save: Option<(&'static str, &'static str)>,
    /// The answer may take some seconds to become this one.
    soon: bool,
}

fn row(
    title: &'static str,
    method: &'static str,
    path: &str,
    body: Value,
    code: u16,
    fields: Value,
) -> Row {
    Row {
        title,
        method,
        path: path.to_owned(),
        content: JSON,
        accept: JSON,
        user: "",
        body,
        code,
        fields,
        save: None,
        soon: false,
    }
}

fn get(title: &'static str, path: &str, code: u16, fields: Value) -> Row {
    row(title, "GET", path, Value::Null, code, fields)
}

fn post(title: &'static str, path: &str, body: Value, code: u16, fields: Value) -> Row {
    row(title, "POST", path, body, code, fields)
}

fn put(title: &'static str, path: &str, body: Value, code: u16, fields: Value) -> Row {
    row(title, "PUT", path, body, code, fields)
}

fn delete(title: &'static str, path: &str, code: u16, fields: Value) -> Row {
    row(title, "DELETE", path, Value::Null, code, fields)
}

fn merge(title: &'static str, path: &str, body: Value, code: u16, fields: Value) -> Row {
    Row { content: "application/merge-patch+json", ..row(title, "PATCH", path, body, code, fields) }
}

fn strategic(title: &'static str, path: &str, body: Value, code: u16, fields: Value) -> Row {
    Row {
        content: "application/strategic-merge-patch+json",
        ..row(title, "PATCH", path, body, code, fields)
    }
}

fn steps(title: &'static str, path: &str, body: Value, code: u16, fields: Value) -> Row {
    Row { content: "application/json-patch+json", ..row(title, "PATCH", path, body, code, fields) }
}

fn apply(title: &'static str, path: &str, body: Value, code: u16, fields: Value) -> Row {
    Row { content: APPLY, ..row(title, "PATCH", path, body, code, fields) }
}

impl Row {
    fn by(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    fn content(self, content: &'static str) -> Self {
        Self { content, ..self }
    }

    fn save(self, name: &'static str, pointer: &'static str) -> Self {
        Self { save: Some((name, pointer)), ..self }
    }

    fn soon(self) -> Self {
        Self { soon: true, ..self }
    }
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    mix(&mut object, rest);
    object
}

fn mix(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                mix(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn map(name: &str, value: &str) -> Value {
    object("v1", "ConfigMap", name, json!({"data": {"k": value}}))
}

fn refusal(reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message})
}

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
const PODS: &str = "/api/v1/namespaces/{ns}/pods";
const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";
const SERVICES: &str = "/api/v1/namespaces/{ns}/services";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{ns}/deployments";

fn at(collection: &str, name: &str) -> String {
    format!("{collection}/{name}")
}

fn discovery() -> Vec<Row> {
    vec![
        get(
            "the version",
            "/version",
            200,
            json!({"major": "*", "minor": "*", "gitVersion": "~v1."}),
        ),
        get("the core group", "/api", 200, json!({"kind": "APIVersions", "versions": ["v1"]})),
        get("all groups", "/apis", 200, json!({"kind": "APIGroupList"})),
        get(
            "one group",
            "/apis/apps",
            200,
            json!({"kind": "APIGroup", "name": "apps", "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}),
        ),
        get(
            "resources of the core group",
            "/api/v1",
            200,
            json!({"kind": "APIResourceList", "groupVersion": "v1"}),
        ),
        get(
            "resources of a group",
            "/apis/apps/v1",
            200,
            json!({"kind": "APIResourceList", "groupVersion": "apps/v1"}),
        ),
        get("no such group", "/apis/nothing.example.com", 404, Value::Null),
        get("no such version", "/apis/apps/v9", 404, Value::Null),
        get("no such resource", "/api/v1/namespaces/{ns}/nothings", 404, Value::Null),
        get("no such subresource", "/api/v1/namespaces/{ns}/configmaps/x/scale", 404, Value::Null),
        get(
            "schemas by group",
            "/openapi/v3",
            200,
            json!({"paths": {"api/v1": {"serverRelativeURL": "~/openapi/v3/api/v1?hash="}}}),
        ),
        get(
            "schemas of a group",
            "/openapi/v3/apis/apps/v1",
            200,
            json!({"openapi": "~3.", "components": "*"}),
        ),
        get(
            "all resources at once",
            "/apis",
            200,
            json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2"}),
        )
        .accept("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        get("ready", "/readyz", 200, Value::Null).accept("*/*"),
        get("alive", "/livez", 200, Value::Null).accept("*/*"),
    ]
}

fn objects() -> Vec<Row> {
    let own = |name: &str| at(MAPS, name);
    let immutable =
        object("v1", "ConfigMap", "fixed", json!({"data": {"k": "1"}, "immutable": true}));
    vec![
        post("create", MAPS, map("a", "1"), 201, json!({"kind": "ConfigMap", "data": {"k": "1"}, "metadata": {"name": "a", "namespace": "{ns}", "uid": "*", "resourceVersion": "*", "creationTimestamp": "*"}})).save("first", "/metadata/resourceVersion"),
        post("create twice", MAPS, map("a", "1"), 409, refusal("AlreadyExists", "configmaps \"a\" already exists")),
        get("read", &own("a"), 200, json!({"data": {"k": "1"}})),
        get("read what is not there", &own("z"), 404, {
            let mut status = refusal("NotFound", "configmaps \"z\" not found");
            status["details"] = json!({"name": "z", "kind": "configmaps"});
            status["code"] = json!(404);
            status
        }),
        put("replace", &own("a"), map("a", "2"), 200, json!({"data": {"k": "2"}})),
        put("replace an old version", &own("a"), object("v1", "ConfigMap", "a", json!({"metadata": {"resourceVersion": "{first}"}, "data": {}})), 409,
            refusal("Conflict", "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again")),
        put("replace under another name", &own("a"), map("b", "2"), 400, refusal("BadRequest", "the name of the object (b) does not match the name on the URL (a)")),
        put("replace what is not there", &own("z"), map("z", "2"), 404, refusal("NotFound", "configmaps \"z\" not found")),
        merge("merge patch", &own("a"), json!({"data": {"l": "3"}}), 200, json!({"data": {"k": "2", "l": "3"}})),
        merge("merge patch takes out", &own("a"), json!({"data": {"l": null}}), 200, json!({"data": {"k": "2", "l": null}})),
        steps("JSON patch", &own("a"), json!([{"op": "test", "path": "/data/k", "value": "2"}, {"op": "replace", "path": "/data/k", "value": "4"}]), 200, json!({"data": {"k": "4"}})),
        steps("JSON patch whose test fails", &own("a"), json!([{"op": "test", "path": "/data/k", "value": "9"}]), 422, json!({"kind": "Status", "reason": "Invalid", "message": "~the server rejected our request"})),
        steps("JSON patch that is none", &own("a"), json!({"op": "add"}), 400, json!({"reason": "BadRequest"})),
        strategic("strategic patch", &own("a"), json!({"metadata": {"labels": {"x": "y"}}}), 200, json!({"metadata": {"labels": {"x": "y"}}, "data": {"k": "4"}})),
        merge("patch what is not there", &own("z"), json!({"data": {}}), 404, refusal("NotFound", "configmaps \"z\" not found")),
        merge("patch of no known type", &own("a"), json!({}), 415, json!({"reason": "UnsupportedMediaType"})).content("application/unknown"),
        post("dry run stores nothing", &format!("{MAPS}?dryRun=All"), map("dry", "1"), 201, json!({"metadata": {"name": "dry", "uid": "*"}})),
        get("…as one sees", &own("dry"), 404, json!({"reason": "NotFound"})),
        delete("dry run deletes nothing", &format!("{}?dryRun=All", own("a")), 200, Value::Null),
        get("…as one sees", &own("a"), 200, json!({"metadata": {"name": "a"}})),
        post("a dry run of another kind", &format!("{MAPS}?dryRun=Some"), map("dry", "1"), 422, json!({"reason": "Invalid", "message": "~Unsupported value: [\"Some\"]: supported values: \"All\""})),
        post("a name is made", MAPS, object("v1", "ConfigMap", "", json!({"metadata": {"generateName": "made-"}})), 201, json!({"metadata": {"generateName": "made-", "name": "~made-"}})),
        post("no name", MAPS, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}), 422, json!({"reason": "Invalid", "message": "~metadata.name: Required value: name or generateName is required"})),
        post("no good name", MAPS, map("No_Good", "1"), 422, json!({"reason": "Invalid", "details": {"name": "No_Good", "kind": "ConfigMap"}, "message": "~a lowercase RFC 1123 subdomain must consist of"})),
        post("no good label", MAPS, object("v1", "ConfigMap", "b", json!({"metadata": {"labels": {"a": "b c"}}})), 422, json!({"reason": "Invalid", "message": "~metadata.labels: Invalid value: \"b c\""})),
        post("no good annotation", MAPS, object("v1", "ConfigMap", "b", json!({"metadata": {"annotations": {"a/b/c": "d"}}})), 422, json!({"reason": "Invalid", "message": "~metadata.annotations: Invalid value"})),
        post("the kind is the path's", MAPS, json!({"apiVersion": "v1", "metadata": {"name": "kindless"}}), 201, json!({"kind": "ConfigMap"})),
        post("another namespace in the body", MAPS, object("v1", "ConfigMap", "b", json!({"metadata": {"namespace": "default"}})), 400, refusal("BadRequest", "the namespace of the provided object does not match the namespace sent on the request")),
        post("a version that is the server's to set", MAPS, object("v1", "ConfigMap", "b", json!({"metadata": {"resourceVersion": "5"}})), 500, json!({"message": "resourceVersion should not be set on objects to be created"})),
        post("a field that there is not, strictly", &format!("{MAPS}?fieldValidation=Strict"), object("v1", "ConfigMap", "b", json!({"dato": {}})), 400, json!({"reason": "BadRequest", "message": "~strict decoding error: unknown field \"dato\""})),
        post("a field that there is not, ignored", &format!("{MAPS}?fieldValidation=Ignore"), object("v1", "ConfigMap", "loose", json!({"dato": {}})), 201, json!({"dato": null})),
        post("a value of the wrong type", MAPS, object("v1", "ConfigMap", "b", json!({"data": {"k": 5}})), 400, json!({"reason": "BadRequest", "message": "~ConfigMap in version \"v1\" cannot be handled as a ConfigMap"})),
        post("an immutable one", MAPS, immutable, 201, json!({"immutable": true})),
        merge("…does not change", &own("fixed"), json!({"data": {"k": "2"}}), 422, json!({"reason": "Invalid", "message": "~data: Forbidden: field is immutable when `immutable` is set"})),
        post("in a namespace that is not there", "/api/v1/namespaces/{ns}-none/configmaps", map("a", "1"), 404, refusal("NotFound", "namespaces \"{ns}-none\" not found")),
        post("on one object", &own("a"), map("a", "1"), 405, json!({"reason": "MethodNotAllowed"})),
        put("on the collection", MAPS, map("a", "1"), 405, json!({"reason": "MethodNotAllowed"})),
        row("delete with another UID", "DELETE", &own("a"), json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "nobody"}}), 409, json!({"reason": "Conflict", "message": "~the UID in the precondition (nobody) does not match the UID in record ("})),
        delete("delete as nobody can", &format!("{}?propagationPolicy=Sometimes", own("a")), 422, json!({"reason": "Invalid"})),
        delete("delete", &own("a"), 200, json!({"kind": "Status", "status": "Success", "details": {"name": "a", "kind": "configmaps", "uid": "*"}})),
        delete("delete twice", &own("a"), 404, refusal("NotFound", "configmaps \"a\" not found")),
    ]
}

fn finalizers() -> Vec<Row> {
    let own = at(MAPS, "held");
    vec![
        post(
            "with a finalizer",
            MAPS,
            object(
                "v1",
                "ConfigMap",
                "held",
                json!({"metadata": {"finalizers": ["example.com/hold"]}}),
            ),
            201,
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        ),
        delete(
            "delete marks it",
            &own,
            200,
            json!({"metadata": {"name": "held", "deletionTimestamp": "*", "deletionGracePeriodSeconds": 0}}),
        ),
        get("it is still there", &own, 200, json!({"metadata": {"deletionTimestamp": "*"}})),
        merge(
            "it can be changed",
            &own,
            json!({"data": {"a": "b"}}),
            200,
            json!({"data": {"a": "b"}}),
        ),
        merge(
            "it gets no further finalizer",
            &own,
            json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}),
            422,
            json!({"reason": "Invalid", "message": "~no new finalizers can be added if the object is being deleted"}),
        ),
        merge(
            "the last one goes",
            &own,
            json!({"metadata": {"finalizers": null}}),
            200,
            Value::Null,
        ),
        get("and it with it", &own, 404, json!({"reason": "NotFound"})),
        post(
            "a finalizer without domain",
            MAPS,
            object("v1", "ConfigMap", "b", json!({"metadata": {"finalizers": ["hold"]}})),
            422,
            json!({"reason": "Invalid", "message": "~name is neither a standard finalizer name nor is it fully qualified"}),
        ),
    ]
}

fn lists() -> Vec<Row> {
    let with = |name: &str, tier: &str| {
        object("v1", "ConfigMap", name, json!({"metadata": {"labels": {"tier": tier}}}))
    };
    let names = |names: &[&str]| -> Value {
        let items: Vec<Value> =
            names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "*"}, "items": items})
    };
    let tiers = "labelSelector=tier";
    vec![
        post("one", MAPS, with("a", "web"), 201, Value::Null),
        post("another", MAPS, with("b", "db"), 201, Value::Null),
        post("a third", MAPS, with("c", "web"), 201, Value::Null),
        get("by label", &format!("{MAPS}?{tiers}%3Dweb"), 200, names(&["a", "c"])),
        get("by other labels", &format!("{MAPS}?{tiers}%21%3Dweb%2Ctier"), 200, names(&["b"])),
        get("by a set", &format!("{MAPS}?{tiers}%20in%20%28db%2Cweb%29"), 200, names(&["a", "b", "c"])),
        get("by a label that is there", &format!("{MAPS}?{tiers}"), 200, names(&["a", "b", "c"])),
        get("by none", &format!("{MAPS}?{tiers}%3Dnone"), 200, names(&[])),
        get("by field", &format!("{MAPS}?fieldSelector=metadata.name%3Db"), 200, names(&["b"])),
        get("by a field that can't be selected", &format!("{MAPS}?fieldSelector=data.k%3Db"), 400, json!({"reason": "BadRequest", "message": "~\"data.k\" is not a known field selector"})),
        get("by a selector that is none", &format!("{MAPS}?labelSelector=a%3D%3D%3Db"), 400, json!({"reason": "BadRequest"})),
        get("a page", &format!("{MAPS}?{tiers}&limit=2"), 200, json!({"metadata": {"continue": "*", "remainingItemCount": null}, "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]})).save("next", "/metadata/continue"),
        get("the next page", &format!("{MAPS}?{tiers}&limit=2&continue={{next}}"), 200, json!({"metadata": {"continue": null}, "items": [{"metadata": {"name": "c"}}]})),
        get("a page of a token that is none", &format!("{MAPS}?limit=2&continue=nonsense"), 400, json!({"reason": "BadRequest"})),
        get("as a table", &format!("{MAPS}?{tiers}%3Ddb"), 200, json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": ["b", 0, "*"]}]}))
            .accept("application/json;as=Table;v=v1;g=meta.k8s.io"),
        get("metadata alone", &at(MAPS, "a"), 200, json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}, "data": null}))
            .accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        get("in no form that there is", MAPS, 406, json!({"reason": "NotAcceptable"})).accept("text/html"),
        get("of the future", &format!("{MAPS}?resourceVersion=999999999999&resourceVersionMatch=NotOlderThan"), 504, json!({"reason": "Timeout", "message": "~Too large resource version"})),
        delete("a collection by label", &format!("{MAPS}?{tiers}%3Dweb"), 200, Value::Null),
        get("what is left", &format!("{MAPS}?{tiers}"), 200, names(&["b"])),
    ]
}

fn applying() -> Vec<Row> {
    let own = |manager: &str| format!("{MAPS}/m?fieldManager={manager}");
    let data = |value: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": value});
    vec![
        apply(
            "makes",
            &own("one"),
            data(json!({"a": "1", "b": "1"})),
            201,
            json!({"data": {"a": "1", "b": "1"}, "metadata": {"managedFields": [{"manager": "one", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "time": "*", "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}}]}}),
        ),
        apply(
            "again",
            &own("one"),
            data(json!({"a": "1", "b": "1"})),
            200,
            json!({"data": {"a": "1", "b": "1"}}),
        ),
        apply(
            "takes out what it does not name any more",
            &own("one"),
            data(json!({"a": "1"})),
            200,
            json!({"data": {"a": "1", "b": null}}),
        ),
        apply(
            "another one adds",
            &own("two"),
            data(json!({"c": "1"})),
            200,
            json!({"data": {"a": "1", "c": "1"}}),
        ),
        apply(
            "another one may say the same",
            &own("two"),
            data(json!({"a": "1", "c": "1"})),
            200,
            json!({"data": {"a": "1"}}),
        ),
        apply(
            "but nothing else",
            &own("two"),
            data(json!({"a": "2", "c": "1"})),
            409,
            json!({"reason": "Conflict", "message": "~conflict with \"one\": .data.a", "details": {"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.a"}]}}),
        ),
        apply(
            "unless by force",
            &format!("{}&force=true", own("two")),
            data(json!({"a": "2", "c": "1"})),
            200,
            json!({"data": {"a": "2"}}),
        ),
        apply(
            "then the field is the other's",
            &own("one"),
            data(json!({"a": "3"})),
            409,
            json!({"reason": "Conflict", "message": "~conflict with \"two\": .data.a"}),
        ),
        apply(
            "without a manager",
            &format!("{MAPS}/m"),
            data(json!({})),
            422,
            json!({"reason": "Invalid", "message": "~fieldManager: Required value: is required for apply patch"}),
        ),
        apply(
            "under another name",
            &format!("{MAPS}/n?fieldManager=one"),
            data(json!({})),
            400,
            json!({"reason": "BadRequest"}),
        ),
        apply(
            "with managed fields",
            &own("one"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "managedFields": [{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]}}),
            400,
            refusal("BadRequest", "metadata.managedFields must be nil"),
        ),
        merge(
            "force without apply",
            &format!("{MAPS}/m?force=true"),
            json!({}),
            422,
            json!({"reason": "Invalid", "message": "~force: Forbidden: may not be specified for non-apply patch"}),
        ),
        apply(
            "dry run",
            &format!("{MAPS}/dry?fieldManager=one&dryRun=All"),
            map("dry", "1"),
            201,
            json!({"data": {"k": "1"}}),
        ),
        get("…stores nothing", &at(MAPS, "dry"), 404, json!({"reason": "NotFound"})),
    ]
}

fn namespaces() -> Vec<Row> {
    let all = "/api/v1/namespaces";
    vec![
        get(
            "has its name as label",
            "/api/v1/namespaces/{ns}",
            200,
            json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "{ns}"}}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
        ),
        post(
            "no good name",
            all,
            object("v1", "Namespace", "a.b", json!({})),
            422,
            json!({"reason": "Invalid", "message": "~metadata.name: Invalid value: \"a.b\""}),
        ),
        delete(
            "kube-system stays",
            "/api/v1/namespaces/kube-system",
            403,
            refusal(
                "Forbidden",
                "namespaces \"kube-system\" is forbidden: this namespace may not be deleted",
            ),
        ),
        post(
            "a second one",
            all,
            object("v1", "Namespace", "{ns}-b", json!({})),
            201,
            json!({"metadata": {"name": "{ns}-b"}}),
        ),
        post(
            "with something in it that stays",
            "/api/v1/namespaces/{ns}-b/configmaps",
            object(
                "v1",
                "ConfigMap",
                "held",
                json!({"metadata": {"finalizers": ["example.com/hold"]}}),
            ),
            201,
            Value::Null,
        ),
        delete(
            "is on its way out",
            &at(all, "{ns}-b"),
            200,
            json!({"metadata": {"deletionTimestamp": "*"}, "status": {"phase": "Terminating"}}),
        ),
        post(
            "takes nothing new",
            "/api/v1/namespaces/{ns}-b/configmaps",
            map("late", "1"),
            403,
            json!({"reason": "Forbidden", "message": "configmaps \"late\" is forbidden: unable to create new content in namespace {ns}-b because it is being terminated", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}),
        ),
        merge(
            "what is in it can go",
            "/api/v1/namespaces/{ns}-b/configmaps/held",
            json!({"metadata": {"finalizers": null}}),
            200,
            Value::Null,
        ),
    ]
}

fn secrets() -> Vec<Row> {
    vec![
        post(
            "plain text is encoded",
            SECRETS,
            object("v1", "Secret", "s", json!({"stringData": {"a": "b"}})),
            201,
            json!({"type": "Opaque", "data": {"a": "Yg=="}, "stringData": null}),
        ),
        merge(
            "the type stays",
            &at(SECRETS, "s"),
            json!({"type": "example.com/x"}),
            422,
            json!({"reason": "Invalid", "message": "~type: Invalid value"}),
        ),
        post(
            "no base64",
            SECRETS,
            object("v1", "Secret", "t", json!({"data": {"a": "!"}})),
            400,
            json!({"reason": "BadRequest"}),
        ),
        get(
            "as a table",
            &at(SECRETS, "s"),
            200,
            json!({"kind": "Table", "rows": [{"cells": ["s", "Opaque", 1, "*"]}]}),
        )
        .accept("application/json;as=Table;v=v1;g=meta.k8s.io"),
    ]
}

fn pod_object(name: &str, rest: Value) -> Value {
    let mut pod = object(
        "v1",
        "Pod",
        name,
        json!({"spec": {"containers": [{"name": "c", "image": "nginx:1.27"}]}}),
    );
    mix(&mut pod, rest);
    pod
}

fn pods() -> Vec<Row> {
    let own = at(PODS, "p");
    vec![
        // Not to be scheduled anywhere, so that a real kubelet does not take part.
        post(
            "defaults",
            PODS,
            pod_object("p", json!({"spec": {"nodeSelector": {"example.com/none": "none"}}})),
            201,
            json!({"spec": {
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30, "serviceAccountName": "default", "schedulerName": "default-scheduler", "enableServiceLinks": true,
            "containers": [{"name": "c", "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}],
        }, "status": {"phase": "Pending", "qosClass": "BestEffort"}}),
        ),
        post(
            "latest is always pulled",
            &format!("{PODS}?dryRun=All"),
            pod_object("q", json!({"spec": {"containers": [{"name": "c", "image": "nginx"}]}})),
            201,
            json!({"spec": {"containers": [{"imagePullPolicy": "Always"}]}}),
        ),
        post(
            "a guaranteed one",
            &format!("{PODS}?dryRun=All"),
            pod_object(
                "q",
                json!({"spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}}),
            ),
            201,
            json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}, "status": {"qosClass": "Guaranteed"}}),
        ),
        post(
            "no containers",
            PODS,
            object("v1", "Pod", "q", json!({"spec": {"containers": []}})),
            422,
            json!({"reason": "Invalid", "message": "~spec.containers: Required value"}),
        ),
        post(
            "no image",
            PODS,
            object("v1", "Pod", "q", json!({"spec": {"containers": [{"name": "c"}]}})),
            422,
            json!({"reason": "Invalid", "message": "~spec.containers[0].image: Required value"}),
        ),
        post(
            "one name twice",
            PODS,
            object(
                "v1",
                "Pod",
                "q",
                json!({"spec": {"containers": [{"name": "c", "image": "a:1"}, {"name": "c", "image": "b:1"}]}}),
            ),
            422,
            json!({"reason": "Invalid", "message": "~spec.containers[1].name: Duplicate value: \"c\""}),
        ),
        post(
            "a volume that there is not",
            PODS,
            pod_object(
                "q",
                json!({"spec": {"containers": [{"name": "c", "image": "a:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}}),
            ),
            422,
            json!({"reason": "Invalid", "message": "~spec.containers[0].volumeMounts[0].name: Not found: \"v\""}),
        ),
        post(
            "an account that there is not",
            PODS,
            pod_object("q", json!({"spec": {"serviceAccountName": "nobody"}})),
            403,
            json!({"reason": "Forbidden", "message": "~error looking up service account {ns}/nobody: serviceaccount \"nobody\" not found"}),
        ),
        merge(
            "a spec stays",
            &own,
            json!({"spec": {"restartPolicy": "Never"}}),
            422,
            json!({"reason": "Invalid", "message": "~spec: Forbidden: pod updates may not change fields other than"}),
        ),
        strategic(
            "but for the image",
            &own,
            json!({"spec": {"containers": [{"name": "c", "image": "nginx:1.28"}]}}),
            200,
            json!({"spec": {"containers": [{"name": "c", "image": "nginx:1.28"}]}}),
        ),
        merge(
            "through status only the status",
            &format!("{own}/status"),
            json!({"status": {"message": "hello"}, "spec": {"restartPolicy": "Never"}}),
            200,
            json!({"status": {"message": "hello"}, "spec": {"restartPolicy": "Always"}}),
        ),
        merge(
            "and not otherwise",
            &own,
            json!({"status": {"message": "bye"}}),
            200,
            json!({"status": {"message": "hello"}}),
        ),
        post(
            "evict",
            &format!("{own}/eviction"),
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}),
            201,
            json!({"kind": "Status", "status": "Success"}),
        ),
        get("it is gone", &own, 404, json!({"reason": "NotFound"})).soon(),
    ]
}

fn deployment(name: &str, rest: Value) -> Value {
    let mut object = object(
        "apps/v1",
        "Deployment",
        name,
        json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1.27"}]}}}}),
    );
    mix(&mut object, rest);
    object
}

fn workloads() -> Vec<Row> {
    let own = at(DEPLOYMENTS, "web");
    let jobs = "/apis/batch/v1/namespaces/{ns}/jobs";
    let job = |rest: Value| {
        let mut job = object(
            "batch/v1",
            "Job",
            "j",
            json!({"spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1"}]}}}}),
        );
        mix(&mut job, rest);
        job
    };
    vec![
        post(
            "defaults",
            DEPLOYMENTS,
            deployment("web", json!({})),
            201,
            json!({"metadata": {"generation": 1}, "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "template": {"spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}}}}),
        ),
        post(
            "no selector",
            DEPLOYMENTS,
            object(
                "apps/v1",
                "Deployment",
                "x",
                json!({"spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}}}}),
            ),
            422,
            json!({"reason": "Invalid", "message": "~spec.selector: Required value"}),
        ),
        post(
            "a selector of other pods",
            DEPLOYMENTS,
            deployment("x", json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}})),
            422,
            json!({"reason": "Invalid", "message": "~`selector` does not match template `labels`"}),
        ),
        post(
            "less than none",
            DEPLOYMENTS,
            deployment("x", json!({"spec": {"replicas": -1}})),
            422,
            json!({"reason": "Invalid", "message": "~spec.replicas: Invalid value: -1: must be greater than or equal to 0"}),
        ),
        strategic(
            "lists merge by name",
            &own,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "d:1"}]}}}}),
            200,
            json!({"metadata": {"generation": 2}, "spec": {"template": {"spec": {"containers": [{"name": "d"}, {"name": "c"}]}}}}),
        ),
        strategic(
            "and lose by name",
            &own,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "d", "$patch": "delete"}]}}}}),
            200,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}),
        ),
        merge(
            "the selector stays",
            &own,
            json!({"spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}}),
            422,
            json!({"reason": "Invalid", "message": "~field is immutable"}),
        ),
        get(
            "its scale",
            &format!("{own}/scale"),
            200,
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}, "spec": {"replicas": null}, "status": {"selector": "app=web"}}),
        ),
        merge(
            "scaled",
            &format!("{own}/scale"),
            json!({"spec": {"replicas": 0}}),
            200,
            json!({"kind": "Scale"}),
        ),
        merge(
            "not below none",
            &format!("{own}/scale"),
            json!({"spec": {"replicas": -1}}),
            422,
            json!({"reason": "Invalid", "message": "~must be greater than or equal to 0"}),
        ),
        merge(
            "labels are no new generation",
            &own,
            json!({"metadata": {"labels": {"a": "b"}}}),
            200,
            json!({"metadata": {"generation": 3, "labels": {"a": "b"}}}),
        ),
        post(
            "a Job gets its selector",
            jobs,
            job(json!({})),
            201,
            json!({"spec": {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "*"}}, "template": {"metadata": {"labels": {"batch.kubernetes.io/job-name": "j", "job-name": "j"}}}, "backoffLimit": 6, "completions": 1, "parallelism": 1, "completionMode": "NonIndexed"}}),
        ),
        post(
            "a Job ends",
            jobs,
            job(
                json!({"metadata": {"name": "k"}, "spec": {"template": {"spec": {"restartPolicy": "Always"}}}}),
            ),
            422,
            json!({"reason": "Invalid", "message": "~spec.template.spec.restartPolicy: "}),
        ),
        merge(
            "a Job's selector stays",
            &at(jobs, "j"),
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
            422,
            json!({"reason": "Invalid", "message": "~field is immutable"}),
        ),
        delete("delete", &own, 200, Value::Null),
    ]
}

fn services() -> Vec<Row> {
    let service = |name: &str, spec: Value| object("v1", "Service", name, json!({ "spec": spec }));
    let port = json!([{"port": 80}]);
    vec![
        post(
            "gets an address",
            SERVICES,
            service("web", json!({"ports": port})),
            201,
            json!({"spec": {"type": "ClusterIP", "clusterIP": "*", "clusterIPs": ["*"], "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]}}),
        ),
        merge(
            "the address stays",
            &at(SERVICES, "web"),
            json!({"spec": {"clusterIP": "10.255.255.254"}}),
            422,
            json!({"reason": "Invalid", "message": "~may not change once set"}),
        ),
        post(
            "without one",
            SERVICES,
            service("headless", json!({"clusterIP": "None", "ports": port})),
            201,
            json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
        ),
        post(
            "no ports",
            SERVICES,
            service("x", json!({})),
            422,
            json!({"reason": "Invalid", "message": "~spec.ports: Required value"}),
        ),
        post(
            "no such port",
            SERVICES,
            service("x", json!({"ports": [{"port": 70000}]})),
            422,
            json!({"reason": "Invalid", "message": "~spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"}),
        ),
        post(
            "two ports without names",
            SERVICES,
            service("x", json!({"ports": [{"port": 80}, {"port": 81}]})),
            422,
            json!({"reason": "Invalid", "message": "~spec.ports[0].name: Required value"}),
        ),
        post(
            "a port of the nodes",
            SERVICES,
            service("node", json!({"type": "NodePort", "ports": port})),
            201,
            json!({"spec": {"type": "NodePort", "externalTrafficPolicy": "Cluster", "ports": [{"nodePort": "~"}]}}),
        ),
        post(
            "a name elsewhere",
            SERVICES,
            service("away", json!({"type": "ExternalName", "externalName": "example.com"})),
            201,
            json!({"spec": {"type": "ExternalName", "clusterIP": null}}),
        ),
        delete(
            "delete gives the Service back",
            &at(SERVICES, "away"),
            200,
            json!({"kind": "Service", "metadata": {"name": "away"}}),
        ),
    ]
}

fn definitions() -> Vec<Row> {
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10}, "color": {"type": "string", "enum": ["red", "blue"], "default": "red"}, "fixed": {"type": "string", "maxLength": 9,
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is fixed"}]},
    }, "x-kubernetes-validations": [{"rule": "self.color != 'blue' || self.size > 5", "message": "blue is big"}]}, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let define = |names: Value, rest: Value| {
        let mut definition = object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "tents.{ns}.example.com",
            json!({"spec": {"group": "{ns}.example.com", "scope": "Namespaced", "names": names,
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]}]}}),
        );
        mix(&mut definition, rest);
        definition
    };
    let names = json!({"kind": "Tent", "plural": "tents"});
    let tents = "/apis/{ns}.example.com/v1/namespaces/{ns}/tents";
    let own = at(tents, "a");
    let tent = |name: &str, spec: Value| {
        object("{ns}.example.com/v1", "Tent", name, json!({ "spec": spec }))
    };
    vec![
        post("a rule that does not compile", all, define(names.clone(), json!({"spec": {"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": [{"rule": "self.nothing"}]}}}}}]}})), 422, json!({"reason": "Invalid", "message": "~undefined field 'nothing'"})),
        post("a name that does not fit", all, define(names.clone(), json!({"metadata": {"name": "other.{ns}.example.com"}})), 422, json!({"reason": "Invalid", "message": "~must be spec.names.plural+\".\"+spec.group"})),
        post("define", all, define(names, json!({})), 201, json!({"spec": {"names": {"singular": "tent", "listKind": "TentList"}, "conversion": {"strategy": "None"}}})),
        post("is served", tents, tent("a", json!({"size": 3})), 201, json!({"kind": "Tent", "metadata": {"generation": 1}, "spec": {"size": 3, "color": "red"}})).soon(),
        get("is found", "/apis/{ns}.example.com/v1", 200, json!({"groupVersion": "{ns}.example.com/v1"})).soon(),
        post("too big", tents, tent("b", json!({"size": 11})), 422, json!({"reason": "Invalid", "message": "~spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"})),
        post("no number", tents, tent("b", json!({"size": "3"})), 422, json!({"reason": "Invalid", "message": "~spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\""})),
        post("nothing that must be", tents, tent("b", json!({})), 422, json!({"reason": "Invalid", "message": "~spec.size: Required value"})),
        post("not in the list", tents, tent("b", json!({"size": 3, "color": "green"})), 422, json!({"reason": "Invalid", "message": "~spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\""})),
        post("a rule", tents, tent("b", json!({"size": 3, "color": "blue"})), 422, json!({"reason": "Invalid", "message": "~spec: Invalid value: blue is big"})),
        post("unknown fields are dropped", &format!("{tents}?fieldValidation=Ignore"), tent("c", json!({"size": 3, "door": true})), 201, json!({"spec": {"size": 3, "door": null}})),
        post("or refused", &format!("{tents}?fieldValidation=Strict"), tent("d", json!({"size": 3, "door": true})), 400, json!({"reason": "BadRequest", "message": "~unknown field \"spec.door\""})),
        merge("a new value", &own, json!({"spec": {"fixed": "x"}}), 200, json!({"metadata": {"generation": 2}})),
        merge("stays", &own, json!({"spec": {"fixed": "y"}}), 422, json!({"reason": "Invalid", "message": "~spec.fixed: Invalid value: \"y\": fixed is fixed"})).accept(JSON),
        merge("its status apart", &format!("{own}/status"), json!({"status": {"poles": 2}, "spec": {"size": 9}}), 200, json!({"metadata": {"generation": 2}, "spec": {"size": 3}, "status": {"poles": 2}})),
        merge("and only there", &own, json!({"status": {"poles": 3}}), 200, json!({"status": {"poles": 2}})),
        put("replace needs a version", &own, tent("a", json!({"size": 4})), 422, json!({"reason": "Invalid", "message": "~metadata.resourceVersion: Invalid value: 0"})),
        strategic("no strategic patch", &own, json!({"spec": {"size": 4}}), 415, json!({"reason": "UnsupportedMediaType"})),
        get("columns", &own, 200, json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Size"}], "rows": [{"cells": ["a", 3]}]})).accept("application/json;as=Table;v=v1;g=meta.k8s.io"),
        delete("take the definition back", &at(all, "tents.{ns}.example.com"), 200, Value::Null),
        get("and all with it", tents, 404, Value::Null).soon(),
    ]
}

fn rights() -> Vec<Row> {
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles";
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings";
    let group = "rbac.authorization.k8s.io";
    let bind = |role: &str| {
        object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "b",
            json!({"roleRef": {"apiGroup": group, "kind": "Role", "name": role}, "subjects": [{"kind": "User", "apiGroup": group, "name": "ann"}]}),
        )
    };
    let access = |verb: &str| json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"namespace": "{ns}", "verb": verb, "resource": "configmaps"}}});
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let who = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let me = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let no = |verb: &str| {
        refusal(
            "Forbidden",
            &format!(
                "configmaps is forbidden: User \"ann\" cannot {verb} resource \"configmaps\" in API group \"\" in the namespace \"{{ns}}\""
            ),
        )
    };
    vec![
        get("no right", MAPS, 403, no("list")).by("ann"),
        get("no right to one", &at(MAPS, "x"), 403, refusal("Forbidden", "configmaps \"x\" is forbidden: User \"ann\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"{ns}\"")).by("ann"),
        get("no right in the cluster", "/api/v1/nodes", 403, refusal("Forbidden", "nodes is forbidden: User \"ann\" cannot list resource \"nodes\" in API group \"\" at the cluster scope")).by("ann"),
        post("who am I", me, who.clone(), 201, json!({"status": {"userInfo": {"username": "ann"}}})).by("ann"),
        post("may I", reviews, access("list"), 201, json!({"status": {"allowed": false}})).by("ann"),
        post("a role", roles, object("rbac.authorization.k8s.io/v1", "Role", "reader", json!({"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]})), 201, Value::Null),
        post("bound", bindings, bind("reader"), 201, json!({"subjects": [{"name": "ann"}]})),
        get("the right", MAPS, 200, json!({"kind": "ConfigMapList"})).by("ann").soon(),
        post("may I now", reviews, access("list"), 201, json!({"status": {"allowed": true}})).by("ann"),
        post("and more", reviews, access("delete"), 201, json!({"status": {"allowed": false}})).by("ann"),
        post("no right to write", MAPS, map("x", "1"), 403, no("create")).by("ann"),
        put("the role of a binding stays", &at(bindings, "b"), bind("other"), 422, json!({"reason": "Invalid", "message": "~cannot change roleRef"})),
        delete("the right goes", &at(bindings, "b"), 200, json!({"status": "Success"})),
        get("no right any more", MAPS, 403, no("list")).by("ann").soon(),
        post("a token", "/api/v1/namespaces/{ns}/serviceaccounts/default/token", json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}), 201, json!({"status": {"token": "*", "expirationTimestamp": "*"}})),
        post("a token that ends too soon", "/api/v1/namespaces/{ns}/serviceaccounts/default/token", json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 5}}), 422, json!({"reason": "Invalid", "message": "~may not specify a duration less than 10 minutes"})),
        get("a service account is a user", MAPS, 403, json!({"reason": "Forbidden", "message": "~User \"system:serviceaccount:default:default\" cannot list resource"})).by("system:serviceaccount:default:default"),
    ]
}

fn security() -> Vec<Row> {
    let limits = object(
        "v1",
        "LimitRange",
        "l",
        json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]}}),
    );
    let privileged = json!({"spec": {"containers": [{"name": "c", "image": "a:1", "securityContext": {"privileged": true}}]}});
    vec![
        merge("a level", "/api/v1/namespaces/{ns}", json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}), 200, Value::Null),
        post("above it", PODS, pod_object("p", privileged.clone()), 403, refusal("Forbidden", "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)")).soon(),
        post("host paths", PODS, pod_object("p", json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}})), 403, json!({"reason": "Forbidden", "message": "~hostPath volumes (volume \"v\")"})),
        post("the host's network", PODS, pod_object("p", json!({"spec": {"hostNetwork": true}})), 403, json!({"reason": "Forbidden", "message": "~host namespaces (hostNetwork=true)"})),
        post("a capability", PODS, pod_object("p", json!({"spec": {"containers": [{"name": "c", "image": "a:1", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}})), 403, json!({"reason": "Forbidden", "message": "~non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)"})),
        post("no seccomp", PODS, pod_object("p", json!({"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}})), 403, json!({"reason": "Forbidden", "message": "~seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")"})),
        post("a template is let in", &format!("{DEPLOYMENTS}?dryRun=All"), deployment("web", json!({"spec": {"template": privileged}})), 201, Value::Null),
        post("limits", "/api/v1/namespaces/{ns}/limitranges", limits, 201, Value::Null),
        post("are filled in", &format!("{PODS}?dryRun=All"), pod_object("p", json!({})), 201, json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}}]}})).soon(),
        post("and held", PODS, pod_object("p", json!({"spec": {"containers": [{"name": "c", "image": "a:1", "resources": {"limits": {"cpu": "2"}}}]}})), 403, json!({"reason": "Forbidden", "message": "~maximum cpu usage per Container is 1, but limit is 2"})),
    ]
}

fn policies() -> Vec<Row> {
    let all = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let policy = |rest: Value| {
        let mut policy = object(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            "{ns}",
            json!({"spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "DELETE"], "resources": ["configmaps"]}],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "{ns}"}}},
                "variables": [{"name": "who", "expression": "request.userInfo.username"}, {"name": "size", "expression": "object == null ? 0 : size(object.?data.orValue({}))"}],
                "validations": [
                    {"expression": "variables.size < 2", "messageExpression": "'at most one entry, not ' + string(variables.size)"},
                    {"expression": "oldObject == null || oldObject.metadata.name != 'kept'", "message": "it is kept", "reason": "Forbidden"},
                    {"expression": "object == null || object.metadata.name != 'broken' || object.nothing"},
                ],
            }}),
        );
        mix(&mut policy, rest);
        policy
    };
    let bind = |actions: Value| {
        object(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            "{ns}",
            json!({"spec": {"policyName": "{ns}", "validationActions": actions}}),
        )
    };
    let broken = |expression: &str| json!({"spec": {"validations": [{"expression": expression}]}});
    let words = |name: &str, message: &str| {
        format!(
            "configmaps \"{name}\" is forbidden: ValidatingAdmissionPolicy '{{ns}}' with binding '{{ns}}' denied request: {message}"
        )
    };
    let two = |name: &str| object("v1", "ConfigMap", name, json!({"data": {"a": "1", "b": "2"}}));
    vec![
        post("a name that there is not", all, policy(broken("objekt.x")), 422, json!({"reason": "Invalid", "message": "~undeclared reference to 'objekt' (in container '')"})),
        post("a field that there is not", all, policy(broken("request.verb == ''")), 422, json!({"reason": "Invalid", "message": "~undefined field 'verb'"})),
        post("no truth", all, policy(broken("'a'")), 422, json!({"reason": "Invalid", "message": "~must evaluate to bool"})),
        post("no reason", all, policy(json!({"spec": {"validations": [{"expression": "true", "reason": "Because"}]}})), 422, json!({"reason": "Invalid", "message": "~spec.validations[0].reason: Unsupported value: \"Because\""})),
        post("a policy", all, policy(json!({})), 201, json!({"spec": {"failurePolicy": "Fail", "matchConstraints": {"matchPolicy": "Equivalent", "objectSelector": {}}}})),
        post("no action", bindings, bind(json!([])), 422, json!({"reason": "Invalid", "message": "~spec.validationActions: Required value"})),
        post("two ways to say it", bindings, bind(json!(["Deny", "Warn"])), 422, json!({"reason": "Invalid", "message": "~must not contain both Deny and Warn"})),
        post("unbound it does nothing", MAPS, two("kept"), 201, Value::Null),
        post("bound", bindings, bind(json!(["Deny"])), 201, Value::Null),
        post("it denies", &format!("{MAPS}?dryRun=All"), two("x"), 422, {
            let mut status = refusal("Invalid", &words("x", "at most one entry, not 2"));
            status["details"] = json!({"name": "x", "kind": "configmaps", "causes": [{"message": "~denied request: at most one entry, not 2"}]});
            status
        }).soon(),
        post("and lets in", MAPS, map("fine", "1"), 201, Value::Null),
        delete("a delete too", &at(MAPS, "kept"), 403, refusal("Forbidden", &words("kept", "it is kept"))),
        merge("but not what it does not name", &at(MAPS, "kept"), json!({"data": {"c": "3"}}), 200, Value::Null),
        apply("an apply is a create", &format!("{MAPS}/y?fieldManager=m"), two("y"), 422, refusal("Invalid", &words("y", "at most one entry, not 2"))),
        post("an error denies", MAPS, map("broken", "1"), 422, json!({"reason": "Invalid", "message": "~resulted in error: no such key: nothing"})),
        post("elsewhere it is silent", "/api/v1/namespaces/default/configmaps?dryRun=All", two("x"), 201, Value::Null),
        delete("unbind", &at(bindings, "{ns}"), 200, json!({"status": "Success"})),
        delete("take it back", &at(all, "{ns}"), 200, json!({"status": "Success"})),
        delete("then all is as before", &at(MAPS, "kept"), 200, json!({"status": "Success"})).soon(),
    ]
}

fn others() -> Vec<Row> {
    let leases = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases";
    let one = "/apis/autoscaling/v1/namespaces/{ns}/horizontalpodautoscalers";
    let two = "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers";
    let hpa = object(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        "h",
        json!({"spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}}}),
    );
    let events = "/api/v1/namespaces/{ns}/events";
    let event = object(
        "v1",
        "Event",
        "e",
        json!({"involvedObject": {"kind": "ConfigMap", "namespace": "{ns}", "name": "x"}, "reason": "Test", "message": "hello", "type": "Normal"}),
    );
    let claims = "/api/v1/namespaces/{ns}/persistentvolumeclaims";
    let claim = object(
        "v1",
        "PersistentVolumeClaim",
        "c",
        json!({"spec": {"storageClassName": "none-{ns}", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    vec![
        put(
            "a Lease can be made by PUT",
            &at(leases, "l"),
            object(
                "coordination.k8s.io/v1",
                "Lease",
                "l",
                json!({"spec": {"holderIdentity": "me"}}),
            ),
            201,
            json!({"spec": {"holderIdentity": "me"}}),
        ),
        post(
            "an HPA of v1",
            one,
            hpa,
            201,
            json!({"apiVersion": "autoscaling/v1", "spec": {"minReplicas": 1, "targetCPUUtilizationPercentage": 80}}),
        ),
        get(
            "is one of v2",
            &at(two, "h"),
            200,
            json!({"apiVersion": "autoscaling/v2", "spec": {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
        ),
        post("an Event", events, event, 201, json!({"reason": "Test"})),
        get(
            "is one of the new group",
            "/apis/events.k8s.io/v1/namespaces/{ns}/events/e",
            200,
            json!({"apiVersion": "events.k8s.io/v1", "note": "hello", "regarding": {"name": "x"}}),
        ),
        get(
            "is found by its object",
            &format!("{events}?fieldSelector=involvedObject.name%3Dx"),
            200,
            json!({"items": [{"metadata": {"name": "e"}}]}),
        ),
        post(
            "a claim",
            claims,
            claim,
            201,
            json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        ),
        merge(
            "a claim's spec stays",
            &at(claims, "c"),
            json!({"spec": {"storageClassName": "other"}}),
            422,
            json!({"reason": "Invalid", "message": "~spec is immutable after creation"}),
        ),
        post(
            "an account",
            "/api/v1/namespaces/{ns}/serviceaccounts",
            object("v1", "ServiceAccount", "a", json!({"automountServiceAccountToken": false})),
            201,
            json!({"automountServiceAccountToken": false}),
        ),
        post(
            "a budget",
            "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
            object(
                "policy/v1",
                "PodDisruptionBudget",
                "b",
                json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
            ),
            201,
            json!({"spec": {"minAvailable": 1}}),
        ),
        post(
            "a network policy",
            "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
            object(
                "networking.k8s.io/v1",
                "NetworkPolicy",
                "n",
                json!({"spec": {"podSelector": {}}}),
            ),
            201,
            json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}),
        ),
    ]
}

/// The table: scenarios of rows that build on one another.
fn table() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("discovery", discovery()),
        ("objects", objects()),
        ("finalizers", finalizers()),
        ("lists", lists()),
        ("applying", applying()),
        ("namespaces", namespaces()),
        ("secrets", secrets()),
        ("pods", pods()),
        ("workloads", workloads()),
        ("services", services()),
        ("definitions", definitions()),
        ("rights", rights()),
        ("security", security()),
        ("policies", policies()),
        ("others", others()),
    ]
}

/// What is wrong with an answer; where, in the words of a JSON pointer.
fn difference(place: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::String(text), found) if text == "*" => {
            found.is_null().then(|| format!("{place} is not there"))
        }
        (Value::String(text), found) if text.starts_with('~') => {
            let shown = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            let fine = !found.is_null() && shown.contains(&text[1..]);
            (!fine).then(|| format!("{place} is {shown:?} and holds no {:?}", &text[1..]))
        }
        (Value::Object(all), found) => all.iter().find_map(|(key, expected)| {
            difference(&format!("{place}/{key}"), expected, found.get(key).unwrap_or(&Value::Null))
        }),
        (Value::Array(all), Value::Array(items)) => {
            if all.len() != items.len() {
                return Some(format!("{place} has {} items and not {}", items.len(), all.len()));
            }
            let pairs = all.iter().zip(items).enumerate();
            pairs.into_iter().find_map(|(index, (expected, found))| {
                difference(&format!("{place}/{index}"), expected, found)
            })
        }
        (expected, found) => {
            (expected != found).then(|| format!("{place} is {found} and not {expected}"))
        }
    }
}

/// One run of the table against one server.
struct Run {
    client: Client,
    /// In process nothing comes late, and nobody makes accounts.
    embedded: bool,
}

impl Run {
    async fn send(&self, row: &Row, words: &BTreeMap<String, String>) -> (u16, Value) {
        let fill = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (name, word)| {
                text.replace(&format!("{{{name}}}"), word)
            })
        };
        let body = if row.body.is_null() { String::new() } else { fill(&row.body.to_string()) };
        let mut request = Request::builder()
            .method(row.method)
            .uri(fill(&row.path))
            .header(header::CONTENT_TYPE, row.content)
            .header(header::ACCEPT, row.accept);
        if !row.user.is_empty() {
            request = request.header("Impersonate-User", row.user);
        }
        let request = request.body(Body::from(body.into_bytes())).expect("a request");
        let response = self.client.send(request).await.expect("an answer");
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("whole").to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Makes the scenario's namespace, with the account that pods run as.
    async fn prepare(&self, namespace: &str) {
        let none = BTreeMap::new();
        let body = object("v1", "Namespace", namespace, json!({}));
        let (code, answer) =
            self.send(&post("", "/api/v1/namespaces", body, 201, Value::Null), &none).await;
        assert_eq!(code, 201, "{answer}");
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        if self.embedded {
            let account = object("v1", "ServiceAccount", "default", json!({}));
            let (code, answer) =
                self.send(&post("", &accounts, account, 201, Value::Null), &none).await;
            assert_eq!(code, 201, "{answer}");
        }
        let account = get("", &at(&accounts, "default"), 200, Value::Null);
        for _ in 0..100 {
            if self.send(&account, &none).await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("{namespace} has no account after ten seconds");
    }

    /// Plays a row; what is wrong with the answer.
    async fn play(&self, row: &Row, words: &mut BTreeMap<String, String>) -> Option<String> {
        let tries = if row.soon { 100 } else { 1 };
        let mut wrong = None;
        for turn in 0..tries {
            if turn > 0 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let (code, answer) = self.send(row, words).await;
            let expected = words.iter().fold(row.fields.to_string(), |text, (name, word)| {
                text.replace(&format!("{{{name}}}"), word)
            });
            let expected: Value = serde_json::from_str(&expected).expect("JSON stays JSON");
            let fields = if expected.is_null() { None } else { difference("", &expected, &answer) };
            wrong = if code == row.code {
                fields
            } else {
                Some(format!("{code} and not {}: {}", row.code, answer["message"]))
            };
            if wrong.is_none() {
                if let Some((name, pointer)) = row.save {
                    let value = answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                    words.insert(name.to_owned(), value.to_owned());
                }
                return None;
            }
        }
        wrong
    }
}

/// Plays the whole table and gives what differs.
async fn differences(run: &Run, suffix: &str) -> String {
    let mut all = String::new();
    for (scenario, rows) in table() {
        let namespace = format!("conformance-{scenario}-{suffix}");
        run.prepare(&namespace).await;
        let mut words = BTreeMap::from([("ns".to_owned(), namespace.clone())]);
        for row in &rows {
            if let Some(wrong) = run.play(row, &mut words).await {
                let Row { title, method, path, .. } = row;
                writeln!(all, "{scenario}: {title} ({method} {path}): {wrong}").expect("a text");
            }
        }
        let away = delete("", &format!("/api/v1/namespaces/{namespace}"), 200, Value::Null);
        run.send(&away, &BTreeMap::new()).await;
    }
    all
}

fn embedded() -> Run {
    let start = "2026-03-02T09:00:00Z".parse().expect("a time");
    let server = ApiServer::new(Clock::simulated(start), &Rng::seeded(1), Options::default());
    let token = SecretString::from(server.admin_token());
    Run { client: client_over_with_token(server.transport(), &token), embedded: true }
}

#[test]
fn the_table_has_a_hundred_and_fifty_rows() {
    let rows: usize = table().iter().map(|(_, rows)| rows.len()).sum();
    assert!(rows >= 150, "{rows}");
}

#[tokio::test(start_paused = true)]
async fn the_embedded_server_answers_as_documented() {
    let wrong = differences(&embedded(), "x").await;
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not the program's settings")]
async fn a_real_server_answers_as_documented() {
    let Ok(file) = std::env::var("BIVOUAC_TEST_KUBECONFIG") else {
        // Without a cluster there is nothing to compare.
        return;
    };
    let kubeconfig = kube::config::Kubeconfig::read_from(file).expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
    let client = Client::try_from(config.await.expect("a configuration")).expect("a client");
    let suffix = std::process::id().to_string();
    let wrong = differences(&Run { client, embedded: false }, &suffix).await;
    assert!(wrong.is_empty(), "{wrong}");
}

/// The comparison itself can fail.
#[test]
fn a_difference_is_found_where_it_is() {
    let found = json!({"a": {"b": [1, {"c": "text"}]}, "d": null});
    for (expected, place) in [
        (json!({"a": {"b": [1, {"c": "~ex"}]}}), None),
        (json!({"a": "*", "d": null, "e": null}), None),
        (json!({"a": {"b": [1]}}), Some("/a/b has 2 items and not 1")),
        (json!({"a": {"b": [1, {"c": "~y"}]}}), Some("/a/b/1/c is \"text\" and holds no \"y\"")),
        (json!({"d": "*"}), Some("/d is not there")),
        (json!({"a": null}), Some("/a is {\"b\":[1,{\"c\":\"text\"}]} and not null")),
    ] {
        assert_eq!(difference("", &expected, &found).as_deref(), place);
    }
}
