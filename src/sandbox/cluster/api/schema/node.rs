//! One node of a schema: an OpenAPI schema object, read once into fields. In: JSON; out: [`Node`]. No I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What type of JSON value a node describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// true or false.
    Boolean,
    /// A whole number or a string (`x-kubernetes-int-or-string`).
    IntOrString,
    /// Nothing is said about the type.
    Any,
}

impl Type {
    /// The type's name as `OpenAPI` writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
            Self::Any => "any",
        }
    }
}

/// How two appliers' lists are merged (`x-kubernetes-list-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value with one owner.
    #[default]
    Atomic,
    /// Every scalar item has owners of its own.
    Set,
    /// Items are objects, told apart by the values of these keys.
    Map(Vec<String>),
}

/// What a node says about keys that are not in `properties`.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// Nothing: other keys are unknown.
    #[default]
    None,
    /// Any value is allowed.
    Any,
    /// The values have this schema.
    Schema(Box<Node>),
}

/// One rule of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The CEL expression.
    pub rule: String,
    /// What is said when it is false.
    pub message: Option<String>,
    /// A CEL expression that gives the message.
    pub message_expression: Option<String>,
    /// The cause's reason, `FieldValueInvalid` by default.
    pub reason: Option<String>,
    /// The field that the problem is reported at, as a path below the rule's place.
    pub field_path: Option<String>,
    /// `oldSelf` is an optional, and the rule runs at creation too.
    pub optional_old_self: bool,
}

/// Bounds of values.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The allowed values; none given means all.
    pub one_of_values: Vec<Value>,
    /// A regular expression that strings match somewhere.
    pub pattern: Option<String>,
    /// `format`.
    pub format: Option<String>,
    /// `minimum`, and whether it is exclusive.
    pub minimum: Option<(f64, bool)>,
    /// `maximum`, and whether it is exclusive.
    pub maximum: Option<(f64, bool)>,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// `minLength` and `maxLength`, in characters.
    pub length: (Option<u64>, Option<u64>),
    /// `minItems` and `maxItems`.
    pub items: (Option<u64>, Option<u64>),
    /// `minProperties` and `maxProperties`.
    pub properties: (Option<u64>, Option<u64>),
    /// `uniqueItems`.
    pub unique: bool,
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
#[derive(Clone, Debug, Default)]
pub struct Logic {
    /// All must hold.
    pub all_of: Vec<Node>,
    /// One at least must hold.
    pub any_of: Vec<Node>,
    /// One and only one must hold.
    pub one_of: Vec<Node>,
    /// Must not hold.
    pub not: Option<Node>,
}

/// A schema object of `OpenAPI`, parsed.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the schema language")]
pub struct Node {
    /// The definition that stands for this node, when it is a reference.
    pub reference: Option<String>,
    /// The type.
    pub ty: Type,
    /// The named fields.
    pub properties: BTreeMap<String, Node>,
    /// The other fields.
    pub additional: Additional,
    /// The items of an array.
    pub items: Option<Box<Node>>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// How lists merge.
    pub list_type: ListType,
    /// The object is one value with one owner (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// What an absent value is taken for.
    pub default: Option<Value>,
    /// null is allowed.
    pub nullable: bool,
    /// Unknown fields stay.
    pub preserve_unknown: bool,
    /// The value is a whole Kubernetes object.
    pub embedded_resource: bool,
    /// `x-kubernetes-patch-merge-key`.
    pub merge_key: Option<String>,
    /// `x-kubernetes-patch-strategy` has `merge`.
    pub patch_merge: bool,
    /// `x-kubernetes-patch-strategy` has `retainKeys`.
    pub retain_keys: bool,
    /// Bounds, when there are some.
    pub limits: Option<Box<Limits>>,
    /// Logic, when there is some.
    pub logic: Option<Box<Logic>>,
    /// CEL rules.
    pub rules: Vec<Rule>,
}

/// A node that says nothing.
pub static ANYTHING: Node = Node {
    reference: None,
    ty: Type::Any,
    properties: BTreeMap::new(),
    additional: Additional::Any,
    items: None,
    required: Vec::new(),
    list_type: ListType::Atomic,
    atomic: false,
    default: None,
    nullable: true,
    preserve_unknown: true,
    embedded_resource: false,
    merge_key: None,
    patch_merge: false,
    retain_keys: false,
    limits: None,
    logic: None,
    rules: Vec::new(),
};

const DEFINITIONS: &str = "#/components/schemas/";

impl Node {
    /// Reads a schema object. Keywords that it does not know say nothing.
    #[must_use]
    pub fn parse(schema: &Value) -> Self {
        let Some(object) = schema.as_object() else { return ANYTHING.clone() };
        let mut node = Self { nullable: flag(object, "nullable"), ..ANYTHING.clone() };
        node.reference = reference_of(object);
        node.preserve_unknown = flag(object, "x-kubernetes-preserve-unknown-fields");
        node.embedded_resource = flag(object, "x-kubernetes-embedded-resource");
        node.ty = type_of(object);
        node.properties = members(object, "properties");
        node.items = object.get("items").map(|items| Box::new(Self::parse(items)));
        node.required = strings(object, "required");
        node.additional = match object.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(Self::parse(schema))),
            _ => Additional::None,
        };
        node.list_type = match text(object, "x-kubernetes-list-type") {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(strings(object, "x-kubernetes-list-map-keys")),
            _ => ListType::Atomic,
        };
        node.atomic = text(object, "x-kubernetes-map-type") == Some("atomic");
        node.default = object.get("default").cloned();
        node.merge_key = text(object, "x-kubernetes-patch-merge-key").map(str::to_owned);
        let strategy = text(object, "x-kubernetes-patch-strategy").unwrap_or_default();
        node.patch_merge = strategy.split(',').any(|word| word == "merge");
        node.retain_keys = strategy.split(',').any(|word| word == "retainKeys");
        node.limits = limits(object).map(Box::new);
        node.logic = logic(object, node.reference.is_some()).map(Box::new);
        node.rules = rules(object);
        // A type-less object with properties is an object; one that says nothing at all allows anything.
        if node.ty == Type::Any && !node.properties.is_empty() {
            node.ty = Type::Object;
        }
        if node.ty == Type::Any && node.reference.is_none() {
            node.preserve_unknown = true;
            node.nullable = true;
        }
        node
    }

    /// Whether keys that the schema does not name are kept as they are.
    #[must_use]
    pub fn keeps_unknown(&self) -> bool {
        self.preserve_unknown
            || matches!(self.additional, Additional::Any)
            || self.embedded_resource && self.properties.is_empty()
    }
}

fn flag(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    object.get(key).and_then(Value::as_str)
}

fn strings(object: &Map<String, Value>, key: &str) -> Vec<String> {
    object
        .get(key)
        .and_then(Value::as_array)
        .map(|items| items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

fn members(object: &Map<String, Value>, key: &str) -> BTreeMap<String, Node> {
    object
        .get(key)
        .and_then(Value::as_object)
        .map(|members| {
            members.iter().map(|(name, schema)| (name.clone(), Node::parse(schema))).collect()
        })
        .unwrap_or_default()
}

/// `$ref`, or the one `$ref` in `allOf`, which is how a description is put next to a reference.
fn reference_of(object: &Map<String, Value>) -> Option<String> {
    let direct = text(object, "$ref");
    let wrapped = || match object.get("allOf")?.as_array()?.as_slice() {
        [only] => only.as_object().and_then(|only| text(only, "$ref")),
        _ => None,
    };
    direct
        .or_else(wrapped)
        .map(|target| target.strip_prefix(DEFINITIONS).unwrap_or(target).to_owned())
}

fn type_of(object: &Map<String, Value>) -> Type {
    if flag(object, "x-kubernetes-int-or-string") {
        return Type::IntOrString;
    }
    match text(object, "type") {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") if text(object, "format") == Some("int-or-string") => Type::IntOrString,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn limits(object: &Map<String, Value>) -> Option<Limits> {
    let count = |key: &str| object.get(key).and_then(Value::as_u64);
    let number = |key: &str| object.get(key).and_then(Value::as_f64);
    let limits = Limits {
        one_of_values: object.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern: text(object, "pattern").map(str::to_owned),
        format: text(object, "format").map(str::to_owned),
        minimum: number("minimum").map(|bound| (bound, flag(object, "exclusiveMinimum"))),
        maximum: number("maximum").map(|bound| (bound, flag(object, "exclusiveMaximum"))),
        multiple_of: number("multipleOf"),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
        properties: (count("minProperties"), count("maxProperties")),
        unique: flag(object, "uniqueItems"),
    };
    let says_something = !limits.one_of_values.is_empty()
        || limits.pattern.is_some()
        || limits.format.is_some()
        || limits.minimum.is_some()
        || limits.maximum.is_some()
        || limits.multiple_of.is_some()
        || limits.length != (None, None)
        || limits.items != (None, None)
        || limits.properties != (None, None)
        || limits.unique;
    says_something.then_some(limits)
}

fn logic(object: &Map<String, Value>, is_reference: bool) -> Option<Logic> {
    let list = |key: &str| -> Vec<Node> {
        object
            .get(key)
            .and_then(Value::as_array)
            .map(|items| items.iter().map(Node::parse).collect())
            .unwrap_or_default()
    };
    let logic = Logic {
        all_of: if is_reference { Vec::new() } else { list("allOf") },
        any_of: list("anyOf"),
        one_of: list("oneOf"),
        not: object.get("not").map(Node::parse),
    };
    let says_something = !logic.all_of.is_empty()
        || !logic.any_of.is_empty()
        || !logic.one_of.is_empty()
        || logic.not.is_some();
    says_something.then_some(logic)
}

fn rules(object: &Map<String, Value>) -> Vec<Rule> {
    let Some(rules) = object.get("x-kubernetes-validations").and_then(Value::as_array) else {
        return Vec::new();
    };
    let own = |rule: &Map<String, Value>, key: &str| text(rule, key).map(str::to_owned);
    rules
        .iter()
        .filter_map(Value::as_object)
        .map(|rule| Rule {
            rule: own(rule, "rule").unwrap_or_default(),
            message: own(rule, "message"),
            message_expression: own(rule, "messageExpression"),
            reason: own(rule, "reason"),
            field_path: own(rule, "fieldPath"),
            optional_old_self: flag(rule, "optionalOldSelf"),
        })
        .collect()
}
