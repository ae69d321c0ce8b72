//! PURE · a refusal in GitHub's words and form: status, message, `errors`, `documentation_url`.

use serde_json::{Value, json};

/// Why the sandbox did not do what was asked, as GitHub would answer it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the sandbox GitHub refused ({status}): {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// GitHub's sentence.
    pub message: String,
    /// What exactly is wrong, for a 422.
    pub errors: Vec<Value>,
    /// Where a moved resource is now, for a 301 or 307.
    pub location: Option<String>,
}

impl Refusal {
    /// A refusal with `status` and `message` only.
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new(), location: None }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    pub(super) fn bad_credentials() -> Self {
        Self::new(401, "Bad credentials")
    }

    pub(super) fn login_needed() -> Self {
        Self::new(401, "Requires authentication")
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, message)
    }

    /// A 422 about one field, with GitHub's `code`: `missing_field`, `invalid`, `custom` …
    pub(super) fn invalid(resource: &str, field: &str, code: &str, message: Option<&str>) -> Self {
        let mut error = json!({ "resource": resource, "field": field, "code": code });
        if let Some(message) = message {
            error["message"] = message.into();
        }
        Self { errors: vec![error], ..Self::new(422, "Validation Failed") }
    }

    /// A 422 that is only a sentence.
    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, message)
    }

    pub(super) fn unsupported(method: &str, path: &str) -> Self {
        Self::new(501, format!("the sandbox does not support {method} {path}"))
    }

    /// The sandbox's own disk or git failed; a real forge would say 500.
    pub(super) fn broken(cause: impl std::fmt::Display) -> Self {
        Self::new(500, format!("the sandbox failed: {cause}"))
    }

    /// The JSON body.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "message": self.message,
            "documentation_url": "https://docs.github.com/rest",
            "status": self.status.to_string(),
        });
        if !self.errors.is_empty() {
            body["errors"] = self.errors.clone().into();
        }
        if let Some(location) = &self.location {
            body["url"] = location.clone().into();
        }
        body
    }
}
