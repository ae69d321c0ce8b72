//! GitHub's own description of its API judges what the service asks and what the sandbox answers. It is not in this
//! repository: `BIVOUAC_TEST_OPENAPI` names the file `generated/api.github.com.json` of npm's `@octokit/openapi`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};

use bivouac::sandbox::github::{Exchange, GitHub};
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// Where the description is.
const FILE: &str = "BIVOUAC_TEST_OPENAPI";
/// Where the description says something else than GitHub does, and what GitHub does.
const MISTAKES: &[(&str, &str)] = &[
    (
        "/pull-request-simple/properties/labels/items/properties/description/type",
        "a label without a description has null there, as in the description of a single pull request",
    ),
    ("/deployment-status/properties/environment_url/format", EMPTY),
    ("/deployment-status/properties/log_url/format", EMPTY),
    ("/deployment-status/properties/target_url/format", EMPTY),
];
/// Of addresses that were not given.
const EMPTY: &str = "an address that was not given is empty, as the default beside the format says";
/// Violations that are shown of one story.
const MOST_SHOWN: usize = 20;

static JUDGE: LazyLock<Option<Judge>> = LazyLock::new(|| {
    let file = std::env::var_os(FILE)?;
    let text = std::fs::read(&file).expect("the description can be read");
    let description = serde_json::from_slice(&text).expect("the description is JSON");
    Some(Judge::new(description))
});

/// The judge, where there is a description.
#[expect(clippy::print_stderr, reason = "a test that is not run says why")]
pub(crate) fn judge(who: &str) -> Option<&'static Judge> {
    let judge = JUDGE.as_ref();
    if judge.is_none() {
        eprintln!("{who}: not run, because {FILE} is not set");
    }
    judge
}

/// Judges a world's requests when the story ends.
pub(super) struct AtTheEnd(Option<(&'static Judge, GitHub)>);

impl AtTheEnd {
    pub(super) fn of(github: &GitHub) -> Self {
        let judge = JUDGE.as_ref();
        if judge.is_some() {
            github.keep_exchanges();
        }
        Self(judge.map(|judge| (judge, github.clone())))
    }
}

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let Some((judge, github)) = self.0.take() else { return };
        if std::thread::panicking() {
            return;
        }
        let verdict = judge.all(&github.take_exchanges());
        assert!(verdict.violations.is_empty(), "{}", verdict.text());
    }
}

/// What came of many exchanges.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How often each operation was asked for, with each status.
    pub(crate) operations: BTreeMap<String, usize>,
    /// What is not as described, once each.
    pub(crate) violations: BTreeSet<String>,
}

impl Verdict {
    fn text(&self) -> String {
        let shown: Vec<&str> =
            self.violations.iter().take(MOST_SHOWN).map(String::as_str).collect();
        let count = self.violations.len();
        format!("{count} violations of GitHub's description:\n  {}", shown.join("\n  "))
    }
}

/// A description of an API, ready to judge by.
pub(crate) struct Judge {
    description: Value,
    routes: Vec<Route>,
    validators: Mutex<BTreeMap<String, &'static Validator>>,
}

struct Route {
    template: String,
    parts: Vec<String>,
}

impl Judge {
    fn new(mut description: Value) -> Self {
        as_json_schema(&mut description);
        let paths = description["paths"].as_object().expect("paths");
        let routes = paths.keys().map(|template| Route {
            template: template.clone(),
            parts: template.trim_start_matches('/').split('/').map(str::to_owned).collect(),
        });
        let routes = routes.collect();
        Self { description, routes, validators: Mutex::default() }
    }

    /// Judges all of them.
    pub(crate) fn all(&self, exchanges: &[Exchange]) -> Verdict {
        let mut verdict = Verdict::default();
        for exchange in exchanges {
            let (name, found) = self.one(exchange);
            *verdict.operations.entry(format!("{name} {}", exchange.status)).or_default() += 1;
            let status = exchange.status;
            verdict
                .violations
                .extend(found.into_iter().map(|why| format!("{name} {status}: {why}")));
        }
        verdict
    }

    /// The operation's name and what is not as described.
    fn one(&self, exchange: &Exchange) -> (String, Vec<String>) {
        let Exchange { method, path, query, body, status, answer, fault } = exchange;
        // Where a renamed repository leads to: GitHub's own redirects say so, its description does not.
        let path = match path.strip_prefix("/repositories/").map(|rest| rest.split_once('/')) {
            Some(Some((_, rest))) => format!("/repos/by/number/{rest}"),
            Some(None) => "/repos/by/number".to_owned(),
            None => path.clone(),
        };
        let Some((route, values)) = self.route(&path) else {
            return (format!("{method} {path}"), vec!["no such path".to_owned()]);
        };
        let name = format!("{method} {}", route.template);
        let item = &self.description["paths"][&route.template];
        let operation = &item[method.to_ascii_lowercase()];
        if operation.is_null() {
            return (name, vec!["no such method".to_owned()]);
        }
        let mut found = Vec::new();
        self.parameters(item, operation, &values, query, &mut found);
        self.body(&name, operation, body, &mut found);
        // What a fault answers is no answer of the API.
        if !fault {
            self.answer(&name, operation, *status, answer, &mut found);
        }
        (name, found)
    }

    /// The most literal route that fits, with the values of its parameters.
    fn route(&self, path: &str) -> Option<(&Route, BTreeMap<String, String>)> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let fitting = self.routes.iter().filter_map(|route| {
            let mut values = BTreeMap::new();
            let mut literal = 0;
            for (index, part) in route.parts.iter().enumerate() {
                let Some(parameter) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'))
                else {
                    literal += 1;
                    if parts.get(index) != Some(&part.as_str()) {
                        return None;
                    }
                    continue;
                };
                let last = index + 1 == route.parts.len();
                // A reference may have slashes.
                let value = if last && matches!(parameter, "ref" | "path") {
                    parts.get(index..)?.join("/")
                } else if last && parts.len() != route.parts.len() {
                    return None;
                } else {
                    (*parts.get(index)?).to_owned()
                };
                values.insert(parameter.to_owned(), value);
            }
            let ends = parts.len() == route.parts.len() || values.contains_key("ref");
            ends.then_some((literal, route, values))
        });
        fitting.max_by_key(|(literal, _, _)| *literal).map(|(_, route, values)| (route, values))
    }

    fn parameters(
        &self,
        item: &Value,
        operation: &Value,
        values: &BTreeMap<String, String>,
        query: &str,
        found: &mut Vec<String>,
    ) {
        let lists = [&item["parameters"], &operation["parameters"]];
        let declared = lists.iter().filter_map(|list| list.as_array()).flatten();
        let declared: Vec<&Value> = declared.map(|one| self.resolved(one)).collect();
        let known = |place: &str, name: &str| {
            declared.iter().copied().find(|one| one["in"] == place && one["name"] == name)
        };
        let sent = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            ("query", name.to_owned(), plain(value))
        });
        let in_path = values.iter().map(|(name, value)| ("path", name.clone(), plain(value)));
        for (place, name, value) in in_path.chain(sent) {
            let Some(parameter) = known(place, &name) else {
                found.push(format!("no {place} parameter {name}"));
                continue;
            };
            let schema = &parameter["schema"];
            let kind = self.resolved(schema)["type"].clone();
            let read = match kind.as_str() {
                Some("integer" | "number" | "boolean") => {
                    serde_json::from_str(&value).unwrap_or(Value::String(value))
                }
                _ => Value::String(value),
            };
            let key = format!("parameter {schema}");
            self.validate(&key, schema, &read, &format!("{place} parameter {name}"), found);
        }
        for parameter in
            declared.iter().filter(|one| one["in"] == "query" && one["required"] == true)
        {
            let name = parameter["name"].as_str().unwrap_or_default();
            if !query.split('&').any(|pair| pair.split('=').next() == Some(name)) {
                found.push(format!("the query parameter {name} is missing"));
            }
        }
    }

    fn body(&self, name: &str, operation: &Value, body: &[u8], found: &mut Vec<String>) {
        let described = self.resolved(&operation["requestBody"]);
        if body.is_empty() {
            if described["required"] == true {
                found.push("a body is missing".to_owned());
            }
            return;
        }
        let Ok(sent) = serde_json::from_slice::<Value>(body) else {
            found.push("the body is no JSON".to_owned());
            return;
        };
        let Some(schema) = json_of(&described["content"]) else {
            found.push("a body where none is described".to_owned());
            return;
        };
        self.validate(&format!("{name} body"), schema, &sent, "body", found);
        // GitHub takes no notice of what it does not know; whoever sends it means something.
        let mut known = BTreeSet::new();
        let open = self.properties(schema, &mut known);
        let unknown = sent.as_object().into_iter().flat_map(Map::keys);
        for field in unknown.filter(|field| !open && !known.contains(*field)) {
            found.push(format!("body: no field {field}"));
        }
    }

    /// Collects the fields of a schema; `true`: it takes any.
    fn properties(&self, schema: &Value, known: &mut BTreeSet<String>) -> bool {
        let schema = self.resolved(schema);
        known.extend(schema["properties"].as_object().into_iter().flat_map(Map::keys).cloned());
        let mut open = schema["additionalProperties"].is_object();
        for many in ["allOf", "anyOf", "oneOf"] {
            for part in schema[many].as_array().into_iter().flatten() {
                open |= self.properties(part, known);
            }
        }
        open
    }

    fn answer(
        &self,
        name: &str,
        operation: &Value,
        status: u16,
        answer: &[u8],
        found: &mut Vec<String>,
    ) {
        let described = &operation["responses"][status.to_string()];
        let error = &self.description["components"]["schemas"]["basic-error"];
        let schema = if described.is_null() {
            if !matches!(status, 301 | 304 | 307 | 401 | 403 | 404 | 422 | 429) {
                found.push("no such status".to_owned());
                return;
            }
            // Every operation may be refused, whether its description says so or not.
            (status != 304).then_some(error)
        } else {
            // A refusal has words also where its description has none.
            let refusal = (status >= 400).then_some(error);
            json_of(&self.resolved(described)["content"]).or(refusal)
        };
        match (schema, answer.is_empty()) {
            (None, true) => {}
            (None, false) => found.push("an answer where none is described".to_owned()),
            (Some(_), true) => found.push("an answer is missing".to_owned()),
            (Some(schema), false) => {
                let Ok(answer) = serde_json::from_slice(answer) else {
                    found.push("the answer is no JSON".to_owned());
                    return;
                };
                self.validate(&format!("{name} {status}"), schema, &answer, "answer", found);
            }
        }
    }

    fn validate(
        &self,
        key: &str,
        schema: &Value,
        value: &Value,
        what: &str,
        found: &mut Vec<String>,
    ) {
        let validator = self.validator(key, schema);
        let known = |place: &str| MISTAKES.iter().any(|(mistaken, _)| place.ends_with(mistaken));
        let errors = validator.iter_errors(value);
        for error in errors.filter(|error| !known(&error.schema_path().to_string())).take(8) {
            let mut text = error.to_string();
            if text.len() > 300 {
                // Alternatives are shown whole, with the value.
                text = text.chars().take(120).collect::<String>()
                    + " … "
                    + &text
                        .chars()
                        .rev()
                        .take(160)
                        .collect::<Vec<_>>()
                        .iter()
                        .rev()
                        .collect::<String>();
            }
            found.push(format!(
                "{what} at {:?} by {}: {text}",
                error.instance_path().to_string(),
                error.schema_path()
            ));
        }
    }

    /// One of each kind, made when it is needed.
    fn validator(&self, key: &str, schema: &Value) -> &'static Validator {
        let mut validators = self.validators.lock().expect("nobody panics with it");
        if let Some(found) = validators.get(key) {
            return found;
        }
        let mut needed = BTreeMap::new();
        self.needed(schema, &mut needed);
        let mut whole = json!({"components": {"schemas": needed}});
        whole["allOf"] = json!([schema]);
        let made = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .build(&whole)
            .expect("GitHub's schemas are schemas");
        let made: &'static Validator = Box::leak(Box::new(made));
        validators.insert(key.to_owned(), made);
        made
    }

    /// All components that a schema leads to.
    fn needed<'a>(&'a self, schema: &'a Value, into: &mut BTreeMap<&'a str, &'a Value>) {
        match schema {
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str);
                let name = name.and_then(|name| name.strip_prefix("#/components/schemas/"));
                if let Some(name) = name {
                    let component = &self.description["components"]["schemas"][name];
                    if into.insert(name, component).is_none() {
                        self.needed(component, into);
                    }
                }
                for value in fields.values() {
                    self.needed(value, into);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.needed(value, into)),
            _ => {}
        }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let name = value["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        name.and_then(|name| self.description.pointer(name)).unwrap_or(value)
    }
}

/// The schema of what is said as JSON.
fn json_of(content: &Value) -> Option<&Value> {
    let kinds = content.as_object()?;
    kinds.get("application/json").map(|kind| &kind["schema"]).filter(|schema| !schema.is_null())
}

/// `OpenAPI` 3.0's `nullable` in the words of JSON Schema; examples are thrown away.
fn as_json_schema(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let example = matches!(name.as_str(), "example" | "examples") && !is_schema(value);
                !example && !name.starts_with("x-")
            });
            fields.values_mut().for_each(as_json_schema);
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
                if let Some(Value::Array(values)) = fields.get_mut("enum") {
                    values.push(Value::Null);
                }
                if let Some(kind @ Value::String(_)) = fields.get("type").cloned() {
                    fields.insert("type".to_owned(), json!([kind, "null"]));
                } else {
                    let whole = std::mem::take(fields);
                    fields.insert("anyOf".to_owned(), json!([whole, {"type": "null"}]));
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(as_json_schema),
        _ => {}
    }
}

/// A field that is called `example` has a schema, as every field.
fn is_schema(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| {
        ["type", "$ref", "allOf", "anyOf", "oneOf"].iter().any(|word| fields.contains_key(*word))
    })
}

fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        if let Some(byte) = hex {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
