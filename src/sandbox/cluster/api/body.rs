//! (content type, bytes) → JSON value: JSON, YAML or protobuf in. Pure, no I/O.

use serde_json::Value;

use super::protobuf;
use super::status::ApiError;

/// The most that a body may hold, as on a real server.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;

const ACCEPTED: [&str; 3] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// How a PATCH says its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// The media type without its parameters.
pub(crate) fn media(content_type: Option<&str>) -> &str {
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// The kind of patch that the media type names.
pub(crate) fn patch_kind(content_type: Option<&str>) -> Result<PatchKind, ApiError> {
    match media(content_type) {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
        ])),
    }
}

/// Reads an object. No content type counts as JSON.
pub(crate) fn object(content_type: Option<&str>, bytes: &[u8]) -> Result<Value, ApiError> {
    match media(content_type) {
        "" | "application/json" | "*/*" => json(bytes),
        "application/yaml" => yaml(bytes),
        "application/vnd.kubernetes.protobuf" => protobuf::decode(bytes),
        _ => Err(ApiError::unsupported_media_type(&ACCEPTED)),
    }
}

/// Reads JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("error decoding the body as json: {error}")))
}

/// Reads YAML; JSON is YAML too and is tried first, as most clients send that.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::bad_request("error decoding YAML: the body is not UTF-8"))?;
    // The parser's own text quotes the source, which may be a Secret.
    serde_saphyr::from_str(text)
        .map_err(|_| ApiError::bad_request("error decoding YAML: the body cannot be parsed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_read_by_their_media_type() {
        let wanted = json!({"kind": "ConfigMap", "data": {"a": "b"}});
        let yaml = b"kind: ConfigMap\ndata:\n  a: b\n";
        assert_eq!(object(Some("application/yaml"), yaml).expect("yaml"), wanted);
        let json = br#"{"kind":"ConfigMap","data":{"a":"b"}}"#;
        assert_eq!(object(Some("application/json; charset=utf-8"), json).expect("json"), wanted);
        assert_eq!(object(None, b"{").expect_err("broken").code, 400);
        assert_eq!(object(Some("text/html"), json).expect_err("unknown").code, 415);
        assert_eq!(patch_kind(Some("application/json")).expect_err("no patch").code, 415);
    }
}
