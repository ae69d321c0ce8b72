//! PURE · one entry of `apps`: document node → what to render and how, with the place of each value.

use serde_json::Value;

use super::keys::{self, list, mapping, string, text};
use super::{Checked, wrong};
use crate::domain::dns::is_dns_label;
use crate::domain::document::{Node, NodeValue, Position};

/// One part of a camp.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// DNS label of at most 30 characters.
    pub name: String,
    /// File or directory in the repository: relative, without `.` and `..`; or `.` for the root.
    pub path: String,
    /// Where the path is written.
    pub position: Position,
    /// Values files for Helm, later ones win.
    pub values: Vec<ValuesFile>,
    /// Single values for Helm.
    pub set: Vec<SetValue>,
    /// Images that are replaced.
    pub images: Vec<ImageRule>,
    /// The route to it.
    pub expose: Option<Expose>,
}

impl App {
    /// An app that is nothing but a path.
    #[must_use]
    pub fn at(name: &str, path: &str, position: Position) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            position,
            values: Vec::new(),
            set: Vec::new(),
            images: Vec::new(),
            expose: None,
        }
    }
}

/// A values file for Helm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuesFile {
    /// Path in the repository, in normal form.
    pub path: String,
    /// Where it is written.
    pub position: Position,
}

/// One value for Helm.
#[derive(Clone, Debug, PartialEq)]
pub struct SetValue {
    /// Path by Helm's syntax: `image.tag`, `list[0].name`.
    pub key: String,
    /// Never a list or a mapping. A string is a template.
    pub value: Value,
    /// Where it is written.
    pub position: Position,
}

/// An image that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRule {
    /// Name of the image without tag and digest.
    pub name: String,
    /// A template; what comes out is a tag, a digest or another image.
    pub to: String,
    /// Where it is written.
    pub position: Position,
}

/// A route from the app's host to a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose {
    /// Name of the Service.
    pub service: String,
    /// Port of the Service; `None`: its only one.
    pub port: Option<Port>,
    /// Beginning of the paths that are passed on.
    pub path: String,
    /// Headers that each request gets.
    pub headers: Vec<Header>,
    /// Where `expose` is written.
    pub position: Position,
    /// Where the Service's name is written.
    pub service_position: Position,
    /// Where the port is written, or the Service's name.
    pub port_position: Position,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// By its number.
    Number(u16),
    /// By its name.
    Name(String),
}

/// A header that each request gets on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// A template.
    pub value: String,
    /// Where it is written.
    pub position: Position,
}

/// Headers that belong to the connection or to the proxy, by their names in lower case.
const NOT_SETTABLE: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn app(node: &Node, index: usize) -> Checked<App> {
    let at = format!("apps[{index}]");
    keys::object(node, &at, keys::APP)?;
    // The label's own rule says its length too.
    let (name, name_at) = string(node, &at, "name", usize::MAX)?;
    if !is_dns_label(name, keys::MAX_APP_NAME) {
        let most = keys::MAX_APP_NAME;
        let rule = format!(
            "{at}.name must be lower-case letters, digits and -, begin and end with a letter or digit, and have at \
             most {most} characters"
        );
        return wrong(name_at, rule);
    }
    let (path, position) = string(node, &at, "path", keys::MAX_PATH)?;
    let path = match clean_path(path) {
        Ok(path) => path,
        Err(rule) => return wrong(position, format!("{at}.path {rule}")),
    };
    Ok(App {
        name: name.to_owned(),
        values: node.get("values").map_or(Ok(Vec::new()), |node| values(node, &at, &path))?,
        path,
        position,
        set: node.get("set").map_or(Ok(Vec::new()), |node| set(node, &at))?,
        images: node.get("images").map_or(Ok(Vec::new()), |node| images(node, &at))?,
        expose: node.get("expose").map(|node| expose(node, &at)).transpose()?,
    })
}

fn values(node: &Node, at: &str, app_path: &str) -> Checked<Vec<ValuesFile>> {
    let at = format!("{at}.values");
    let mut found = Vec::new();
    for (index, element) in list(node, &at, 0, keys::MAX_VALUES)?.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let written = text(element, &at, keys::MAX_PATH)?;
        // Helm's own: relative to the chart. A leading slash is the root of the repository.
        let joined = match written.strip_prefix('/') {
            Some(from_root) => from_root.to_owned(),
            None => format!("{app_path}/{written}"),
        };
        match resolved_path(&joined) {
            Ok(path) if path != "." => {
                found.push(ValuesFile { path, position: element.position });
            }
            Ok(_) => return wrong(element.position, format!("{at} must name a file")),
            Err(rule) => return wrong(element.position, format!("{at} {rule}")),
        }
    }
    Ok(found)
}

fn set(node: &Node, at: &str) -> Checked<Vec<SetValue>> {
    let at = format!("{at}.set");
    let members = mapping(node, &at)?;
    keys::bounded(members.len(), keys::MAX_SET, &at, node.position)?;
    let mut found = Vec::new();
    for (key, value) in members {
        let name = key.name.as_str();
        let plain = !name.is_empty()
            && name.chars().count() <= keys::MAX_SET_KEY
            && !name.contains("{{")
            && !name.contains('=')
            && !name.chars().any(char::is_control);
        if !plain {
            let message = format!(
                "{at}: a key must be a path of Helm like image.tag or list[0].name, without templates and ="
            );
            return wrong(key.position, message);
        }
        let NodeValue::Scalar(scalar) = &value.value else {
            let found = value.type_name();
            let message = format!(
                "{at}[{name:?}] must be a string, a number or a truth value, not {found}; write a values file for \
                 more"
            );
            return wrong(value.position, message);
        };
        found.push(SetValue {
            key: name.to_owned(),
            value: scalar.clone(),
            position: value.position,
        });
    }
    Ok(found)
}

fn images(node: &Node, at: &str) -> Checked<Vec<ImageRule>> {
    let at = format!("{at}.images");
    let members = mapping(node, &at)?;
    keys::bounded(members.len(), keys::MAX_IMAGES, &at, node.position)?;
    let mut found = Vec::new();
    for (key, value) in members {
        let name = key.name.as_str();
        if !is_image_name(name) {
            let shown: String = name.chars().take(100).collect();
            let message = format!(
                "{at}: {shown:?} must be the name of an image without tag and digest, like ghcr.io/acme/web"
            );
            return wrong(key.position, message);
        }
        let to = text(value, &format!("{at}[{name:?}]"), keys::MAX_IMAGE)?;
        found.push(ImageRule {
            name: name.to_owned(),
            to: to.to_owned(),
            position: value.position,
        });
    }
    Ok(found)
}

/// A colon is a registry's port when a slash follows, else a tag.
fn is_image_name(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    !name.is_empty()
        && name.len() <= 255
        && !last.contains(':')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c))
        && name.split('/').all(|part| !part.is_empty())
}

fn expose(node: &Node, at: &str) -> Checked<Expose> {
    let at = format!("{at}.expose");
    keys::object(node, &at, keys::EXPOSE)?;
    let (service, service_position) = string(node, &at, "service", usize::MAX)?;
    if !is_dns_label(service, 63) {
        let message = format!("{at}.service is no name of a Service");
        return wrong(service_position, message);
    }
    let (port, port_position) = match node.get("port") {
        None => (None, service_position),
        Some(node) => (Some(port(node, &at)?), node.position),
    };
    let path = match node.get("path") {
        None => "/",
        Some(path) => {
            let text = text(path, &format!("{at}.path"), keys::MAX_URL_PATH)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
            if !text.starts_with('/') || !text.chars().all(plain) {
                let message =
                    format!("{at}.path must begin with / and hold only letters, digits and /._~-");
                return wrong(path.position, message);
            }
            text
        }
    };
    let headers = node.get("headers").map_or(Ok(Vec::new()), |node| headers(node, &at))?;
    Ok(Expose {
        service: service.to_owned(),
        port,
        path: path.to_owned(),
        headers,
        position: node.position,
        service_position,
        port_position,
    })
}

fn port(node: &Node, at: &str) -> Checked<Port> {
    let rule = "must be a number from 1 to 65535, or the name of a port";
    match &node.value {
        NodeValue::Scalar(Value::Number(number)) => {
            match number.as_u64().and_then(|number| u16::try_from(number).ok()) {
                Some(number) if number > 0 => Ok(Port::Number(number)),
                _ => wrong(node.position, format!("{at}.port {rule}")),
            }
        }
        // All digits is no name for a port: somebody put the number in quotes.
        NodeValue::Scalar(Value::String(name))
            if is_dns_label(name, 15) && name.bytes().any(|b| b.is_ascii_lowercase()) =>
        {
            Ok(Port::Name(name.clone()))
        }
        _ => wrong(node.position, format!("{at}.port {rule}")),
    }
}

fn headers(node: &Node, at: &str) -> Checked<Vec<Header>> {
    let at = format!("{at}.headers");
    let members = mapping(node, &at)?;
    keys::bounded(members.len(), keys::MAX_HEADERS, &at, node.position)?;
    let mut found: Vec<Header> = Vec::new();
    for (key, value) in members {
        let name = key.name.as_str();
        let plain = (1..=64).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !plain || NOT_SETTABLE.contains(&name.to_ascii_lowercase().as_str()) {
            let shown: String = name.chars().take(64).collect();
            return wrong(key.position, format!("{at}: {shown:?} is no header that can be set"));
        }
        if found.iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
            return wrong(key.position, format!("{at}: {name:?} comes twice"));
        }
        let text = text(value, &format!("{at}[{name:?}]"), keys::MAX_HEADER)?;
        found.push(Header {
            name: name.to_owned(),
            value: text.to_owned(),
            position: value.position,
        });
    }
    Ok(found)
}

/// A relative path in normal form, or the rule it breaks.
fn clean_path(path: &str) -> Result<String, &'static str> {
    if path.starts_with('/') {
        return Err("must be relative to the root of the repository, with / between its parts");
    }
    if path.split('/').any(|part| part == "..") {
        return Err("may not leave the repository: take out \"..\"");
    }
    resolved_path(path)
}

/// The same, with `..` followed as long as it stays in the repository.
pub(super) fn resolved_path(path: &str) -> Result<String, &'static str> {
    if path.contains("{{") {
        return Err(
            "may not hold a template: what is read must be known before anything is rendered",
        );
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Err("must be relative to the root of the repository, with / between its parts");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            if parts.pop().is_none() {
                return Err("may not leave the repository: take out \"..\"");
            }
        } else {
            parts.push(part);
        }
    }
    if parts.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
        return Err("may not name .git");
    }
    Ok(if parts.is_empty() { ".".into() } else { parts.join("/") })
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
        assert_eq!(resolved_path("chart/../values/a.yaml").as_deref(), Ok("values/a.yaml"));
        for bad in ["chart/../../a.yaml", "..", "a/../.git/config", "a/.GIT"] {
            assert!(resolved_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_name_has_neither_tag_nor_digest() {
        for good in ["nginx", "ghcr.io/acme/web", "localhost:5000/web", "a/b_c.d-e"] {
            assert!(is_image_name(good), "{good}");
        }
        for bad in ["", "nginx:1", "ghcr.io/acme/web:1", "a@sha256:00", "a b", "/a", "a//b", "a/"] {
            assert!(!is_image_name(bad), "{bad}");
        }
    }
}
