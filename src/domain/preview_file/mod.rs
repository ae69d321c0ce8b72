//! PURE · the preview file `.bivouac.yaml`: parsed document → what is to be rendered, checked once.

mod app;
mod hooks;
mod keys;
mod parameters;
mod schema;

use std::time::Duration;

pub use self::app::{App, Expose, Header, ImageRule, Port, SetValue, ValuesFile};
pub use self::hooks::HookRule;
pub(crate) use self::keys::nearest;
pub use self::parameters::{
    Parameter, ParameterProblem, ParameterRule, ParameterType, resolve_parameters,
};
pub use self::schema::json_schema;
use super::document::{Node, NodeValue, Position};

/// Its name at the root of a repository.
pub const PREVIEW_FILE: &str = ".bivouac.yaml";

/// Without a preview file these are tried in this order, and the first that is there is taken.
pub const CONVENTIONAL_PATHS: [&str; 5] = ["deploy/preview", "deploy", "k8s", "chart", "charts/*"];

const MIN_TTL: Duration = Duration::from_secs(60);
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

/// Bounds of the preview file, for `docs/limits.md`: what, how many, and how the message goes on.
pub const LIMITS: [(&str, usize, &str); 10] = [
    ("apps", keys::MAX_APPS, "entries"),
    ("apps[].name", keys::MAX_APP_NAME, "characters"),
    ("apps[].values", keys::MAX_VALUES, "entries"),
    ("apps[].set", keys::MAX_SET, "entries"),
    ("apps[].images", keys::MAX_IMAGES, "entries"),
    ("apps[].expose.headers", keys::MAX_HEADERS, "entries"),
    ("hooks.*", keys::MAX_HOOKS, "entries"),
    ("parameters", keys::MAX_PARAMETERS, "entries"),
    ("parameters.*.enum", keys::MAX_ENUM, "entries"),
    ("value of a string parameter", keys::MAX_PARAMETER, "characters"),
];

/// A preview file whose every value was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewFile {
    /// What to render, in the order written; at least one, names differ.
    pub apps: Vec<App>,
    /// What people may choose, in the order written.
    pub parameters: Vec<Parameter>,
    /// How long the camp may stand; can only shorten what the Repository allows.
    pub ttl: Option<Duration>,
    /// Jobs that are hooks, moment by moment in the order written.
    pub hooks: Vec<HookRule>,
    /// Whether claims of storage that leave the commit are deleted at once.
    pub delete_data: bool,
}

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewFileError {
    /// Place in the file.
    pub position: Position,
    /// What is wrong. Names keys, never values of secrets: the file holds none.
    pub message: String,
}

type Checked<T> = Result<T, PreviewFileError>;

fn wrong<T>(position: Position, message: impl Into<String>) -> Checked<T> {
    Err(PreviewFileError { position, message: message.into() })
}

impl PreviewFile {
    /// Checks a parsed document; the first mistake is the answer.
    pub fn from_document(document: &Node) -> Checked<Self> {
        keys::object(document, "", keys::FILE)?;
        let Some(apps) = document.get("apps") else {
            return wrong(document.position, "key \"apps\" is missing; it lists what to render");
        };
        let Some(elements) = apps.elements() else {
            let found = apps.type_name();
            return wrong(apps.position, format!("\"apps\" must be a list, not {found}"));
        };
        if elements.is_empty() {
            return wrong(apps.position, "\"apps\" is empty; name at least one app");
        }
        if elements.len() > keys::MAX_APPS {
            let (count, most) = (elements.len(), keys::MAX_APPS);
            return wrong(apps.position, format!("{count} apps; at most {most} are allowed"));
        }
        let mut checked: Vec<App> = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let app = app::app(element, index)?;
            if checked.iter().any(|other| other.name == app.name) {
                let message = format!("apps[{index}].name: two apps are called {:?}", app.name);
                return wrong(element.position, message);
            }
            checked.push(app);
        }
        let parameters =
            document.get("parameters").map(parameters::parameters).transpose()?.unwrap_or_default();
        let ttl = document.get("lifetime").map(lifetime).transpose()?.flatten();
        let hooks = document.get("hooks").map(|node| hooks::hooks(node, &checked));
        let hooks = hooks.transpose()?.unwrap_or_default();
        let delete_data = document.get("deleteData").map(flag).transpose()?.unwrap_or_default();
        Ok(Self { apps: checked, parameters, ttl, hooks, delete_data })
    }

    /// The apps that get a host of their own, in the order written.
    #[must_use]
    pub fn exposed(&self) -> Vec<&str> {
        exposed(&self.apps)
    }
}

/// Names of the apps of `apps` that get a host of their own, in the order written.
#[must_use]
pub fn exposed(apps: &[App]) -> Vec<&str> {
    apps.iter().filter(|app| app.expose.is_some()).map(|app| app.name.as_str()).collect()
}

fn lifetime(node: &Node) -> Checked<Option<Duration>> {
    keys::object(node, "lifetime", keys::LIFETIME)?;
    if node.get("ttl").is_none() {
        return Ok(None);
    }
    let (text, position) = keys::string(node, "lifetime", "ttl", 32)?;
    match parse_duration(text) {
        Some(ttl) if (MIN_TTL..=MAX_TTL).contains(&ttl) => Ok(Some(ttl)),
        Some(_) => wrong(position, "lifetime.ttl must be between 1m and 366d"),
        None => wrong(position, "lifetime.ttl must be a time like 90m, 24h, 7d or 1d12h"),
    }
}

fn flag(node: &Node) -> Checked<bool> {
    if let NodeValue::Scalar(serde_json::Value::Bool(flag)) = &node.value {
        return Ok(*flag);
    }
    let message = format!("deleteData must be true or false, not {}", node.type_name());
    wrong(node.position, message)
}

/// `1d12h30m10s`, each unit at most once and in this order.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0_u64;
    for (unit, factor) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if rest[digits..].starts_with(unit) {
            let number: u64 = rest[..digits].parse().ok()?;
            seconds = seconds.checked_add(number.checked_mul(factor)?)?;
            rest = &rest[digits + 1..];
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_units_in_falling_order() {
        assert_eq!(parse_duration("1d12h"), Some(Duration::from_secs(36 * 3600)));
        for bad in ["", "12", "h", "1h1d", "1.5h", "1w", "-1h", "99999999999999999999d", "1h "] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
