//! PURE · the templates of the guardrails, and what the platform team puts in their place.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext};
use serde_json::Value;

/// The templates that ship with the service, in the order in which their objects may be written.
const SHIPPED: [(&str, &str); 6] = [
    ("namespace.yaml.hbs", include_str!("../../../templates/guardrails/namespace.yaml.hbs")),
    (
        "role-bindings.yaml.hbs",
        include_str!("../../../templates/guardrails/role-bindings.yaml.hbs"),
    ),
    (
        "service-accounts.yaml.hbs",
        include_str!("../../../templates/guardrails/service-accounts.yaml.hbs"),
    ),
    (
        "resource-quota.yaml.hbs",
        include_str!("../../../templates/guardrails/resource-quota.yaml.hbs"),
    ),
    ("limit-range.yaml.hbs", include_str!("../../../templates/guardrails/limit-range.yaml.hbs")),
    (
        "network-policy.yaml.hbs",
        include_str!("../../../templates/guardrails/network-policy.yaml.hbs"),
    ),
];
/// Templates of the platform team that stand for none of ours end like this.
const ENDING: &str = ".yaml.hbs";
/// The most bytes of one template, filled or not.
const MOST_BYTES: usize = 64 << 10;
/// The most guardrails of a camp.
const MOST_OBJECTS: usize = 40;

/// Templates of the platform team, by the name of the file they replace. One with another name is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Where they come from, for messages: `ConfigMap bivouac-guardrails`.
    pub source: String,
    /// The texts.
    pub templates: BTreeMap<String, String>,
}

/// A template of the platform team that makes no guardrails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{template} in {overrides} can't be used: {why}")]
pub struct UnusableOverride {
    /// Where it comes from.
    pub overrides: String,
    /// Its name.
    pub template: String,
    /// What is wrong with it.
    pub why: String,
}

static ENGINE: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine.register_helper("json", Box::new(json));
    engine
});

/// `{{json value}}`: the value as JSON, which is YAML too and holds whatever stands in it.
fn json(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = helper.param(0).map_or(&Value::Null, |param| param.value());
    out.write(&value.to_string())?;
    Ok(())
}

/// The objects of all templates.
pub(super) fn fill(context: &Value, overrides: &Overrides) -> Result<Vec<Value>, UnusableOverride> {
    let mut objects = Vec::new();
    for (name, shipped) in SHIPPED {
        let template = overrides.templates.get(name).map_or(shipped, String::as_str);
        objects.extend(overrides.one(name, template, context)?);
    }
    for (name, template) in &overrides.templates {
        if SHIPPED.iter().any(|(shipped, _)| shipped == name) {
            continue;
        }
        if !name.ends_with(ENDING) {
            let why = format!("names of templates end in {ENDING}");
            return Err(overrides.unusable(name, why));
        }
        objects.extend(overrides.one(name, template, context)?);
    }
    if objects.len() > MOST_OBJECTS {
        let why = format!("all templates make more than {MOST_OBJECTS} objects");
        return Err(overrides.unusable("the last template", why));
    }
    Ok(objects)
}

impl Overrides {
    pub(super) fn unusable(&self, template: &str, why: impl Into<String>) -> UnusableOverride {
        UnusableOverride {
            overrides: self.source.clone(),
            template: template.to_owned(),
            why: why.into(),
        }
    }

    /// The objects of one template.
    fn one(
        &self,
        name: &str,
        template: &str,
        context: &Value,
    ) -> Result<Vec<Value>, UnusableOverride> {
        if template.len() > MOST_BYTES {
            return Err(self.unusable(name, format!("it has more than {MOST_BYTES} bytes")));
        }
        let text = ENGINE
            .render_template(template, context)
            .map_err(|error| self.unusable(name, error.to_string()))?;
        if text.len() > MOST_BYTES {
            let why = format!("filled it has more than {MOST_BYTES} bytes");
            return Err(self.unusable(name, why));
        }
        let mut objects = Vec::new();
        for document in text.split("\n---\n") {
            let object: Value = if is_empty(document) {
                Value::Null
            } else {
                serde_saphyr::from_str(document).map_err(|error| {
                    self.unusable(name, format!("it is no YAML when it is filled: {error}"))
                })?
            };
            match object {
                Value::Null => {}
                Value::Object(_) => {
                    self.is_allowed(name, &object)?;
                    objects.push(object);
                }
                _ => return Err(self.unusable(name, "a document in it is no object")),
            }
        }
        Ok(objects)
    }

    /// Only kinds that fence in, under names that no bundle can have.
    fn is_allowed(&self, template: &str, object: &Value) -> Result<(), UnusableOverride> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let allowed = match (text("/apiVersion"), kind) {
            ("v1", "Namespace") => true,
            ("v1", "ServiceAccount") => name == "default" || name == super::DEPLOYER,
            ("v1", "ResourceQuota" | "LimitRange" | "ConfigMap")
            | ("networking.k8s.io/v1", "NetworkPolicy")
            | ("rbac.authorization.k8s.io/v1", "RoleBinding") => name.starts_with("bivouac-"),
            (version, _) => {
                let why = format!(
                    "{kind} of {version} is no guardrail: Namespace, ServiceAccount, ResourceQuota, LimitRange, \
                     ConfigMap, NetworkPolicy and RoleBinding are"
                );
                return Err(self.unusable(template, why));
            }
        };
        if allowed {
            return Ok(());
        }
        let why = match kind {
            "ServiceAccount" => {
                format!("ServiceAccount {name}: a camp has only default and {}", super::DEPLOYER)
            }
            _ => format!(
                "{kind} {name}: names of guardrails begin with bivouac-, which no bundle may use"
            ),
        };
        Err(self.unusable(template, why))
    }
}

/// Nothing but comments.
fn is_empty(document: &str) -> bool {
    document.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    })
}
