//! What can be wrong with an object, in Kubernetes' words. In: where and what; out: causes of a `Status`. No I/O.

use std::fmt;

use serde_json::{Value, json};

/// The class of a problem: decides the reason of its cause, and whether a request is bad (400) or its object invalid
/// (422).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The object could not be read as its kind (400).
    Decode,
    /// A field that the schema does not have (400 in strict mode, a warning otherwise).
    UnknownField,
    /// A required field is absent.
    Required,
    /// A value that is not allowed.
    Invalid,
    /// A value of the wrong type.
    TypeInvalid,
    /// A value that is not one of an enumeration.
    NotSupported,
    /// The same key twice.
    Duplicate,
    /// Something that may not be set here.
    Forbidden,
    /// A string that is too long.
    TooLong,
    /// A list or map with too many members.
    TooMany,
    /// The server failed on it, for example a CEL rule that can't be evaluated.
    Internal,
}

impl Class {
    /// The `reason` of a cause in a `Status`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Decode | Self::UnknownField | Self::Invalid => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
        }
    }
}

/// One problem of an object. Its `Display` is Kubernetes' whole sentence: `spec.x: Required value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What sort of problem.
    pub class: Class,
    /// The path of the field, as `spec.rules[0].host`.
    pub field: String,
    /// The sentence without the field.
    pub message: String,
}

impl Problem {
    /// A required field is absent.
    #[must_use]
    pub fn required(field: &str, detail: &str) -> Self {
        let colon = if detail.is_empty() { "" } else { ": " };
        Self {
            class: Class::Required,
            field: field.to_owned(),
            message: format!("Required value{colon}{detail}"),
        }
    }

    /// A value is not allowed.
    #[must_use]
    pub fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        Self {
            class: Class::Invalid,
            field: field.to_owned(),
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// A value is not one of `supported`.
    #[must_use]
    pub fn not_supported(field: &str, value: &Value, supported: &[String]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        Self {
            class: Class::NotSupported,
            field: field.to_owned(),
            message: format!("Unsupported value: {value}: supported values: {}", quoted.join(", ")),
        }
    }

    /// Something may not be done to this field.
    #[must_use]
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self {
            class: Class::Forbidden,
            field: field.to_owned(),
            message: format!("Forbidden: {detail}"),
        }
    }

    /// This problem as a cause of a `Status`.
    #[must_use]
    pub fn cause(&self) -> Value {
        json!({ "reason": self.class.reason(), "message": self.message, "field": self.field })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Class::Decode | Class::UnknownField => out.write_str(&self.message),
            _ if self.field.is_empty() => write!(out, "<nil>: {}", self.message),
            _ => write!(out, "{}: {}", self.field, self.message),
        }
    }
}
