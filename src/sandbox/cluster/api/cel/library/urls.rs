//! URLs: `url('https://a.example/x?y=1')` and its parts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cel::objects::{Key, Map, Opaque};
use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

use super::super::super::path::decode as unescape;
use super::{downcast, failed, functions, methods, no_overload, opaque, string};

/// The parts of an absolute URL or an absolute path.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    /// Name and port, without who logs in.
    host: String,
    path: String,
    query: String,
}

impl Opaque for Url {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.URL"
    }
}

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    functions!(env,
        "url" / 1 => url,
        "isURL" / 1 => is_url,
    );
    methods!(env,
        "getScheme" / 0 => scheme,
        "getHost" / 0 => host,
        "getHostname" / 0 => host_name,
        "getPort" / 0 => port,
        "getEscapedPath" / 0 => path,
        "getQuery" / 0 => query,
    );
    Ok(())
}

fn parse(text: &str) -> Option<Url> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
    };
    if !plain(text) {
        return None;
    }
    let (scheme, rest) = match text.split_once(':') {
        _ if text.starts_with('/') => ("", text),
        Some((scheme, rest))
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) =>
        {
            (scheme, rest)
        }
        _ => return None,
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            (authority.rsplit_once('@').map_or(authority, |(_, host)| host), path)
        }
        None => ("", rest),
    };
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    if let Some((_, port)) = behind.rsplit_once(':')
        && !port.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    Some(Url {
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

fn text(arguments: &[Cel]) -> Result<&str, ExecutionError> {
    match arguments {
        [Cel::String(text)] => Ok(text),
        _ => Err(no_overload(arguments)),
    }
}

fn url(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let text = text(arguments)?;
    parse(text).map(opaque).ok_or_else(|| {
        failed(format!(
            "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
        ))
    })
}

fn is_url(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(parse(text(arguments)?).is_some()))
}

fn this(arguments: &[Cel]) -> Result<&Url, ExecutionError> {
    arguments.first().and_then(downcast::<Url>).ok_or_else(|| no_overload(arguments))
}

fn scheme(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(string(this(arguments)?.scheme.as_str()))
}

fn host(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(string(this(arguments)?.host.as_str()))
}

/// Name and port; the name of `[::1]:80` is `::1`.
fn parts(host: &str) -> (&str, &str) {
    if let Some((inside, behind)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return (inside, behind.strip_prefix(':').unwrap_or_default());
    }
    host.split_once(':').unwrap_or((host, ""))
}

fn host_name(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(string(parts(&this(arguments)?.host).0))
}

fn port(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(string(parts(&this(arguments)?.host).1))
}

fn path(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(string(this(arguments)?.path.as_str()))
}

fn query(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let mut all: BTreeMap<String, Vec<Cel>> = BTreeMap::new();
    for pair in this(arguments)?.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        all.entry(unescape(key, true)).or_default().push(string(unescape(value, true)));
    }
    let map: HashMap<Key, Cel> = all
        .into_iter()
        .map(|(key, values)| (Key::from(key), Cel::List(Arc::new(values))))
        .collect();
    Ok(Cel::Map(Map { map: Arc::new(map) }))
}
