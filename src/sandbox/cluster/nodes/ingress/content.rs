//! What a web server in a pod would answer from the ConfigMaps that the pod mounts. Pure over the caches.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::super::controllers::kit::resource::CONFIG_MAPS;
use super::super::super::controllers::kit::{Caches, json};

/// What is found at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file, by its name.
    File(String, Vec<u8>),
    /// A directory that was asked for without its slash.
    Directory,
    /// The server has no content at all; what it would have served from.
    Bare(String),
    /// Nothing; the file that was looked for.
    Nothing(String),
}

/// Where servers of an image family look for their files.
fn document_root(image: &str) -> Option<&'static str> {
    let name = image.split(['@']).next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    let repository = last.split(':').next().unwrap_or(last);
    [
        ("nginx", "/usr/share/nginx/html"),
        ("httpd", "/usr/local/apache2/htdocs"),
        ("apache", "/usr/local/apache2/htdocs"),
        ("caddy", "/usr/share/caddy"),
    ]
    .iter()
    .find(|(family, _)| repository.contains(family))
    .map(|(_, root)| *root)
}

/// The container that listens on `port`, or the first.
fn container(pod: &Value, port: i64) -> &Value {
    let containers = json::list(pod, "/spec/containers");
    containers
        .iter()
        .find(|c| {
            json::list(c, "/ports").iter().any(|p| json::int(p, "/containerPort") == Some(port))
        })
        .or_else(|| containers.first())
        .unwrap_or(&Value::Null)
}

/// Answers a request for `path`, which is decoded and has no `..`.
pub(super) fn find(caches: &Caches, pod: &Value, port: i64, path: &str) -> Found {
    let container = container(pod, port);
    let mounts = json::list(container, "/volumeMounts");
    let is_content = |mount: &&Value| {
        volume(pod, mount).is_some_and(|v| {
            v.get("configMap").is_some()
                || json::list(v, "/projected/sources").iter().any(|s| s.get("configMap").is_some())
        })
    };
    let root = document_root(json::text(container, "/image")).unwrap_or_else(|| {
        mounts.iter().find(is_content).map_or("/", |m| json::text(m, "/mountPath"))
    });
    let root = root.trim_end_matches('/');
    let inside = |m: &&Value| {
        let at = json::text(m, "/mountPath").trim_end_matches('/');
        at == root || at.starts_with(&format!("{root}/")) || root.starts_with(&format!("{at}/"))
    };
    if !mounts.iter().filter(is_content).any(|m| inside(&m)) {
        return Found::Bare(if root.is_empty() { "/".to_owned() } else { root.to_owned() });
    }
    let whole = format!("{root}{path}");
    if whole.ends_with('/') {
        let index = format!("{whole}index.html");
        return match read(caches, pod, mounts, &index) {
            Some(bytes) => Found::File(index, bytes),
            None => Found::Nothing(index),
        };
    }
    match read(caches, pod, mounts, &whole) {
        Some(bytes) => Found::File(whole, bytes),
        None if read(caches, pod, mounts, &format!("{whole}/index.html")).is_some() => {
            Found::Directory
        }
        None => Found::Nothing(whole),
    }
}

fn volume<'a>(pod: &'a Value, mount: &Value) -> Option<&'a Value> {
    let name = json::text(mount, "/name");
    json::list(pod, "/spec/volumes").iter().find(|v| json::text(v, "/name") == name)
}

/// The file at `path` of the container's file system, as far as ConfigMaps make it up.
fn read(caches: &Caches, pod: &Value, mounts: &[Value], path: &str) -> Option<Vec<u8>> {
    let covers = |mount: &&Value| {
        let at = json::text(mount, "/mountPath").trim_end_matches('/');
        path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
    };
    // The innermost mount hides the others.
    let mount = mounts.iter().filter(covers).max_by_key(|m| json::text(m, "/mountPath").len())?;
    let at = json::text(mount, "/mountPath").trim_end_matches('/');
    let rest = path.strip_prefix(at)?.trim_start_matches('/');
    let sub = json::text(mount, "/subPath").trim_matches('/');
    let file = match (sub, rest) {
        ("", rest) => rest.to_owned(),
        (sub, "") => sub.to_owned(),
        (sub, rest) => format!("{sub}/{rest}"),
    };
    let volume = volume(pod, mount)?;
    let namespace = json::namespace(pod);
    if let Some(source) = volume.get("configMap") {
        return from_map(caches, namespace, source, &file);
    }
    // Of sources that hold the same file, the last has it.
    json::list(volume, "/projected/sources")
        .iter()
        .rev()
        .filter_map(|s| s.get("configMap"))
        .find_map(|source| from_map(caches, namespace, source, &file))
}

fn from_map(caches: &Caches, namespace: &str, source: &Value, file: &str) -> Option<Vec<u8>> {
    let map = caches.get(&CONFIG_MAPS, namespace, json::text(source, "/name"))?;
    let items = json::list(source, "/items");
    let key = if items.is_empty() {
        file
    } else {
        let item = items.iter().find(|i| json::text(i, "/path").trim_matches('/') == file)?;
        json::text(item, "/key")
    };
    if let Some(text) = map.get("data").and_then(|d| d.get(key)).and_then(Value::as_str) {
        return Some(text.as_bytes().to_vec());
    }
    let encoded = map.get("binaryData").and_then(|d| d.get(key)).and_then(Value::as_str)?;
    STANDARD.decode(encoded).ok()
}

/// The content type of a file, by its extension.
pub(super) fn content_type(file: &str) -> &'static str {
    let extension = file.rsplit('/').next().unwrap_or(file).rsplit_once('.').map_or("", |(_, e)| e);
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "txt" | "md" | "log" => "text/plain; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "yaml" | "yml" => "application/yaml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}
