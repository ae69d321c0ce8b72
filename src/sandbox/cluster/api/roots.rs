//! Paths that are no resource: version, health, discovery, `OpenAPI`.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::handler::{Answer, Asked, Content};
use super::negotiate::{self, Form};
use super::status::ApiError;
use super::{Shared, discovery, engine};

/// Answers a path below no group and version, or the documents of one.
pub(crate) fn answer(shared: &Shared, asked: &Asked, path: &str) -> Result<Answer, ApiError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let accept = asked.header(http::header::ACCEPT);
    match parts.as_slice() {
        ["version"] => Ok(Answer::json(200, discovery::version())),
        ["healthz" | "livez" | "readyz", ..] => Ok(Answer::text("ok")),
        [] => {
            let paths =
                ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"];
            Ok(Answer::json(200, json!({"paths": paths})))
        }
        ["api" | "apis"] => {
            let state = shared.lock();
            let core = parts == ["api"];
            if negotiate::form(accept, false)? == Form::Discovery {
                let document = discovery::aggregated(&state.kinds, core);
                return Ok(cached(asked, &document, discovery::AGGREGATED));
            }
            Ok(Answer::json(
                200,
                if core {
                    let host = asked.header(http::header::HOST).unwrap_or("localhost");
                    discovery::core_versions(host)
                } else {
                    discovery::group_list(&state.kinds)
                },
            ))
        }
        ["apis", group] => {
            let state = shared.lock();
            discovery::group(&state.kinds, group)
                .map(|value| Answer::json(200, value))
                .ok_or_else(ApiError::no_such_path)
        }
        ["api", version] => resources(shared, "", version),
        ["apis", group, version] => resources(shared, group, version),
        ["openapi", "v3"] => Ok(cached(asked, &openapi_index(shared), "application/json")),
        ["openapi", "v3", "api", version] => openapi(shared, asked, "", version),
        ["openapi", "v3", "apis", group, version] => openapi(shared, asked, group, version),
        ["openapi", "v2"] => Err(ApiError::not_implemented("OpenAPI v2; use /openapi/v3")),
        _ => Err(ApiError::no_such_path()),
    }
}

fn resources(shared: &Shared, group: &str, version: &str) -> Result<Answer, ApiError> {
    let state = shared.lock();
    discovery::resource_list(&state.kinds, group, version)
        .map(|value| Answer::json(200, value))
        .ok_or_else(ApiError::no_such_path)
}

fn hash(text: &str) -> String {
    hex::encode_upper(Sha256::digest(text.as_bytes()))
}

/// With an `ETag`: who has it already gets 304.
fn cached(asked: &Asked, document: &Value, content_type: &'static str) -> Answer {
    let text = document.to_string();
    let tag = format!("\"{}\"", hash(&text));
    if asked.header(http::header::IF_NONE_MATCH) == Some(tag.as_str()) {
        return Answer { code: 304, content: Content::Empty, headers: vec![("etag", tag)] };
    }
    Answer {
        code: 200,
        content: Content::Text(text, content_type),
        headers: vec![("etag", tag), ("vary", "Accept".into())],
    }
}

fn group_paths(shared: &Shared) -> Vec<(String, String, String)> {
    let state = shared.lock();
    let mut paths = Vec::new();
    for (group, versions) in state.kinds.groups() {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            paths.push((path, group.to_owned(), version.to_owned()));
        }
    }
    paths
}

fn openapi_index(shared: &Shared) -> Value {
    let revision = shared.lock().kinds_revision;
    let mut paths = serde_json::Map::new();
    for (path, group, version) in group_paths(shared) {
        // A built-in group is always the same; a custom one changes with its definitions.
        let custom = shared.lock().kinds.of(&group, &version).any(|served| served.custom.is_some());
        let seed = if custom { format!("{path} {revision}") } else { path.clone() };
        let url = format!("/openapi/v3/{path}?hash={}", hash(&seed));
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

fn openapi(shared: &Shared, asked: &Asked, group: &str, version: &str) -> Result<Answer, ApiError> {
    let document = {
        let state = shared.lock();
        let kinds: Vec<_> =
            state.kinds.of(group, version).map(|s| std::sync::Arc::clone(&s.kind)).collect();
        if kinds.is_empty() {
            return Err(ApiError::no_such_path());
        }
        engine::openapi(&kinds)
    };
    Ok(cached(asked, &document, "application/json"))
}
