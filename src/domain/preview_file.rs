//! PURE · the preview file `.bivouac.yaml`: parsed document → what is to be rendered, checked once.

use std::time::Duration;

use super::dns::is_dns_label;
use super::document::{Key, Node, Position};

/// Its name at the root of a repository.
pub const PREVIEW_FILE: &str = ".bivouac.yaml";

/// Without a preview file these are tried in this order, and the first that is there is taken.
pub const CONVENTIONAL_PATHS: [&str; 5] = ["deploy/preview", "deploy", "k8s", "chart", "charts/*"];

/// One camp with more parts than this is somebody's mistake; each part costs a host name.
const MAX_APPS: usize = 20;
/// With `<environment>-` before it an app's name must still leave room in a DNS label.
const MAX_APP_NAME: usize = 30;
const MIN_TTL: Duration = Duration::from_secs(60);
const MAX_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

/// A preview file whose every value was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewFile {
    /// What to render, in the order written; at least one, names differ.
    pub apps: Vec<App>,
    /// How long the camp may stand; can only shorten what the Repository allows.
    pub ttl: Option<Duration>,
}

/// One part of a camp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// DNS label of at most 30 characters.
    pub name: String,
    /// File or directory in the repository: relative, without `.` and `..`; or `.` for the root.
    pub path: String,
    /// Where the path is written.
    pub position: Position,
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
        let members = mapping(document, "the preview file")?;
        known_keys(members, "", &["apps", "lifetime"], &["parameters", "hooks"])?;
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
        if elements.len() > MAX_APPS {
            let count = elements.len();
            return wrong(apps.position, format!("{count} apps; at most {MAX_APPS} are allowed"));
        }
        let mut checked: Vec<App> = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let app = app(element, index)?;
            if checked.iter().any(|other| other.name == app.name) {
                let message = format!("apps[{index}].name: two apps are called {:?}", app.name);
                return wrong(element.position, message);
            }
            checked.push(app);
        }
        let ttl = document.get("lifetime").map(lifetime).transpose()?.flatten();
        Ok(Self { apps: checked, ttl })
    }
}

fn app(node: &Node, index: usize) -> Checked<App> {
    let at = format!("apps[{index}]");
    let members = mapping(node, &at)?;
    let later = ["values", "set", "images", "expose"];
    known_keys(members, &format!("{at}."), &["name", "path"], &later)?;
    let (name, name_at) = string(node, &at, "name")?;
    if !is_dns_label(name, MAX_APP_NAME) {
        let rule = format!(
            "{at}.name must be lower-case letters, digits and -, begin and end with a letter or digit, and have at \
             most {MAX_APP_NAME} characters"
        );
        return wrong(name_at, rule);
    }
    let (path, position) = string(node, &at, "path")?;
    match clean_path(path) {
        Ok(path) => Ok(App { name: name.to_owned(), path, position }),
        Err(rule) => wrong(position, format!("{at}.path {rule}")),
    }
}

/// A relative path in normal form, or the rule it breaks.
fn clean_path(path: &str) -> Result<String, &'static str> {
    if path.contains("{{") {
        return Err(
            "may not hold a template: what is read must be known before anything is rendered",
        );
    }
    if path.starts_with('/') || path.contains('\\') || path.chars().any(char::is_control) {
        return Err("must be relative to the root of the repository, with / between its parts");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("may not leave the repository: take out \"..\"");
    }
    if parts.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
        return Err("may not name .git");
    }
    Ok(if parts.is_empty() { ".".into() } else { parts.join("/") })
}

fn lifetime(node: &Node) -> Checked<Option<Duration>> {
    let members = mapping(node, "lifetime")?;
    known_keys(members, "lifetime.", &["ttl"], &[])?;
    if node.get("ttl").is_none() {
        return Ok(None);
    }
    let (text, position) = string(node, "lifetime", "ttl")?;
    match parse_duration(text) {
        Some(ttl) if (MIN_TTL..=MAX_TTL).contains(&ttl) => Ok(Some(ttl)),
        Some(_) => wrong(position, "lifetime.ttl must be between 1m and 366d"),
        None => wrong(position, "lifetime.ttl must be a time like 90m, 24h, 7d or 1d12h"),
    }
}

/// `1d12h30m10s`, each unit at most once and in this order.
fn parse_duration(text: &str) -> Option<Duration> {
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

fn mapping<'a>(node: &'a Node, what: &str) -> Checked<&'a [(Key, Node)]> {
    match node.members() {
        Some(members) => Ok(members),
        None => wrong(node.position, format!("{what} must be a mapping, not {}", node.type_name())),
    }
}

fn string<'a>(node: &'a Node, at: &str, key: &str) -> Checked<(&'a str, Position)> {
    let Some(value) = node.get(key) else {
        return wrong(node.position, format!("{at}: key {key:?} is missing"));
    };
    match value.text() {
        Some("") => wrong(value.position, format!("{at}.{key} is empty")),
        Some(text) => Ok((text, value.position)),
        None => {
            let hint = if value.is_null() { "" } else { "; put it in quotes" };
            let found = value.type_name();
            wrong(value.position, format!("{at}.{key} must be a string, not {found}{hint}"))
        }
    }
}

fn known_keys(members: &[(Key, Node)], at: &str, known: &[&str], later: &[&str]) -> Checked<()> {
    for (key, _) in members {
        let name = key.name.as_str();
        if known.contains(&name) {
            continue;
        }
        if later.contains(&name) {
            let message = format!("{at}{name} is not supported by this version yet; take it out");
            return wrong(key.position, message);
        }
        let all = || known.iter().chain(later).copied();
        let hint = match all().min_by_key(|k| distance(k, name)).filter(|k| distance(k, name) <= 2)
        {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known keys are {}", known.join(", ")),
        };
        let name: String = name.chars().take(60).collect();
        return wrong(key.position, format!("unknown key {:?}; {hint}", format!("{at}{name}")));
    }
    Ok(())
}

/// Edits between two words (Levenshtein); words over 64 characters count as far away.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_the_repository() {
        assert_eq!(clean_path("./deploy//preview/").as_deref(), Ok("deploy/preview"));
        assert_eq!(clean_path("./").as_deref(), Ok("."));
        for bad in ["/etc", "..", "a/../../b", "a/..", "a\\b", "a\0b", ".git/config", "{{x}}"] {
            assert!(clean_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_units_in_falling_order() {
        assert_eq!(parse_duration("1d12h"), Some(Duration::from_secs(36 * 3600)));
        for bad in ["", "12", "h", "1h1d", "1.5h", "1w", "-1h", "99999999999999999999d", "1h "] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
