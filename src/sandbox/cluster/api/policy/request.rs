//! A request as expressions see it: `request`, `namespaceObject`, and the types of both. Pure, no I/O.

use serde_json::{Map, Value, json};

use super::super::auth::rbac::Attributes;
use super::super::cel::PLAIN_NAMES;
use super::super::state::{Call, State};
use super::super::status::GroupResource;
use super::matching::Matched;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A new object, or POST on a subresource.
    Create,
    /// A changed object.
    Update,
    /// An object is to go.
    Delete,
    /// `exec`, `attach`, `portforward`, `proxy`.
    Connect,
}

/// What is to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Review<'r> {
    /// What is done.
    pub(crate) operation: Operation,
    /// The new object; none for a delete.
    pub(crate) object: Option<&'r Value>,
    /// The object as it was; none for a create.
    pub(crate) old: Option<&'r Value>,
    /// The object's name; empty when a collection is deleted.
    pub(crate) name: &'r str,
    /// Group, version and kind of the body of a subresource, where they are not the resource's own.
    pub(crate) body: Option<[&'static str; 3]>,
    /// It is about the object itself, though the path names a subresource.
    pub(crate) whole: bool,
}

impl<'r> Review<'r> {
    /// A new object.
    pub(crate) fn create(object: &'r Value) -> Self {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Self {
            operation: Operation::Create,
            object: Some(object),
            old: None,
            name,
            body: None,
            whole: false,
        }
    }

    /// A changed object.
    pub(crate) fn update(name: &'r str, old: &'r Value, object: &'r Value) -> Self {
        Self {
            operation: Operation::Update,
            object: Some(object),
            old: Some(old),
            name,
            body: None,
            whole: false,
        }
    }

    /// A delete.
    pub(crate) fn delete(name: &'r str, old: &'r Value) -> Self {
        Self {
            operation: Operation::Delete,
            object: None,
            old: Some(old),
            name,
            body: None,
            whole: true,
        }
    }

    /// The subresource that it is about.
    pub(super) fn subresource<'c>(&self, call: &'c Call) -> &'c str {
        if self.whole { "" } else { &call.path.subresource }
    }

    /// The same about a body of another kind, as POST to a subresource has.
    pub(crate) fn of_body(self, body: [&'static str; 3]) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The name by which a denial calls the object.
    pub(super) fn shown_name(&self) -> &'r str {
        match (self.name, self.object) {
            ("", Some(object)) => object["metadata"]["name"].as_str().unwrap_or("Unknown"),
            ("", None) => "Unknown",
            (name, _) => name,
        }
    }
}

fn put(object: &mut Map<String, Value>, key: &str, value: &str) {
    // Empty texts are left out, as Go's encoder does: an expression that wants them asks with `.?`.
    if !value.is_empty() {
        object.insert(key.to_owned(), json!(value));
    }
}

/// The namespace that the request names; that of a namespace is itself.
fn namespace_of<'c>(call: &'c Call, review: &Review<'c>) -> &'c str {
    let kind = &call.served.kind;
    if kind.group.is_empty() && kind.plural == "namespaces" {
        review.name
    } else {
        call.namespace()
    }
}

/// The variable `request`.
pub(super) fn value(call: &Call, review: &Review, matched: &Matched) -> Value {
    let own = &call.served.kind;
    let kind = matched.kind(call);
    let [group, version, name] = review.body.unwrap_or([&kind.group, &kind.version, &kind.kind]);
    let [own_group, own_version, own_name] =
        review.body.unwrap_or([&own.group, &own.version, &own.kind]);
    let mut request = Map::new();
    request.insert("kind".into(), json!({"group": group, "version": version, "kind": name}));
    request.insert(
        "resource".into(),
        json!({"group": kind.group, "version": kind.version, "resource": kind.plural}),
    );
    request.insert(
        "requestKind".into(),
        json!({"group": own_group, "version": own_version, "kind": own_name}),
    );
    request.insert(
        "requestResource".into(),
        json!({"group": own.group, "version": own.version, "resource": own.plural}),
    );
    put(&mut request, "subResource", review.subresource(call));
    put(&mut request, "requestSubResource", review.subresource(call));
    put(&mut request, "name", review.name);
    put(&mut request, "namespace", namespace_of(call, review));
    request.insert("operation".into(), json!(review.operation.word()));
    let mut user = Map::new();
    put(&mut user, "username", &call.user.name);
    put(&mut user, "uid", &call.user.uid);
    if !call.user.groups.is_empty() {
        user.insert("groups".into(), json!(call.user.groups));
    }
    if !call.user.extra.is_empty() {
        user.insert("extra".into(), json!(call.user.extra));
    }
    request.insert("userInfo".into(), Value::Object(user));
    request.insert("dryRun".into(), json!(call.dry_run));
    request.insert("options".into(), options(call, review));
    Value::Object(request)
}

fn options(call: &Call, review: &Review) -> Value {
    let kind = match review.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = Map::new();
    options.insert("kind".into(), json!(kind));
    options.insert("apiVersion".into(), json!("meta.k8s.io/v1"));
    if call.dry_run {
        options.insert("dryRun".into(), json!(["All"]));
    }
    if review.operation != Operation::Delete {
        put(&mut options, "fieldManager", call.query.get("fieldManager").unwrap_or_default());
        put(&mut options, "fieldValidation", call.query.get("fieldValidation").unwrap_or_default());
    }
    Value::Object(options)
}

const NAMESPACE_META: [&str; 11] = [
    "name",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
];

/// The variable `namespaceObject`: what is shown of the request's namespace, null without one.
pub(super) fn namespace(state: &State, call: &Call) -> Value {
    let namespaces = GroupResource::new("", "namespaces");
    let found = Some(call.namespace())
        .filter(|name| !name.is_empty())
        .and_then(|name| state.store.get(&namespaces, "", name));
    let Some(found) = found else { return Value::Null };
    let mut meta = Map::new();
    for key in NAMESPACE_META {
        if let Some(value) = found["metadata"].get(key).filter(|value| !value.is_null()) {
            meta.insert(key.to_owned(), value.clone());
        }
    }
    json!({"metadata": meta, "spec": found["spec"], "status": found["status"]})
}

/// The question whether the sender may do what the request does, but for the verb.
pub(super) fn attributes(call: &Call, review: &Review) -> Attributes {
    Attributes {
        verb: String::new(),
        group: call.served.kind.group.clone(),
        resource: call.served.kind.plural.clone(),
        subresource: review.subresource(call).to_owned(),
        namespace: namespace_of(call, review).to_owned(),
        name: review.name.to_owned(),
        path: None,
    }
}

fn fields(names: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        names.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, (PLAIN_NAMES): true})
}

/// The type of `request`.
pub(super) fn request_schema() -> Value {
    let string = json!({"type": "string"});
    let kind =
        fields(&[("group", string.clone()), ("version", string.clone()), ("kind", string.clone())]);
    let resource = fields(&[
        ("group", string.clone()),
        ("version", string.clone()),
        ("resource", string.clone()),
    ]);
    let list = json!({"type": "array", "items": string});
    let user = fields(&[
        ("username", string.clone()),
        ("uid", string.clone()),
        ("groups", list.clone()),
        ("extra", json!({"type": "object", "additionalProperties": list})),
    ]);
    fields(&[
        ("kind", kind.clone()),
        ("resource", resource.clone()),
        ("subResource", string.clone()),
        ("requestKind", kind),
        ("requestResource", resource),
        ("requestSubResource", string.clone()),
        ("name", string.clone()),
        ("namespace", string.clone()),
        ("operation", string),
        ("userInfo", user),
        ("dryRun", json!({"type": "boolean"})),
        ("options", json!({})),
    ])
}

/// The type of `namespaceObject`. What it does not have here can't be asked for, on a real server either.
pub(super) fn namespace_schema() -> Value {
    let string = json!({"type": "string"});
    let strings = json!({"type": "object", "additionalProperties": string});
    let list = json!({"type": "array", "items": string});
    let meta = fields(&[
        ("name", string.clone()),
        ("generateName", string.clone()),
        ("namespace", string.clone()),
        ("labels", strings.clone()),
        ("annotations", strings),
        ("UID", string.clone()),
        ("creationTimestamp", string.clone()),
        ("deletionGracePeriodSeconds", json!({"type": "integer"})),
        ("deletionTimestamp", string.clone()),
        ("generation", json!({"type": "integer"})),
        ("resourceVersion", string.clone()),
        ("finalizers", list.clone()),
    ]);
    let condition = fields(&[
        ("status", string.clone()),
        ("type", string.clone()),
        ("lastTransitionTime", string.clone()),
        ("message", string.clone()),
        ("reason", string.clone()),
    ]);
    fields(&[
        ("metadata", meta),
        ("spec", fields(&[("finalizers", list)])),
        (
            "status",
            fields(&[
                ("conditions", json!({"type": "array", "items": condition})),
                ("phase", string),
            ]),
        ),
    ])
}
