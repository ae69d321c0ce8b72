//! PURE · the helpers of templates: values in, one value out. None reads anything but what it is given.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Said;
use super::expression::shortened;
use super::text::{self, count, text_of};
use crate::domain::bundle::{canonical_json, sha256_hex};
use crate::domain::naming;
use crate::render::yaml::emit;

/// A DNS label.
const SLUG: usize = 63;

type Made = Result<Value, Said>;

/// A helper.
pub(super) struct Helper {
    pub(super) name: &'static str,
    pub(super) arguments: RangeInclusive<usize>,
    /// How it is written, for people.
    usage: &'static str,
    /// A plain word that goes in comes out as the same word: `quote`, but not `upper`.
    pub(super) keeps_words: bool,
    pub(super) call: fn(&[&Value]) -> Made,
}

impl Helper {
    pub(super) fn usage(&self) -> String {
        format!("{} is written {{{{{}}}}}", self.name, self.usage)
    }
}

const fn helper(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    usage: &'static str,
    call: fn(&[&Value]) -> Made,
) -> Helper {
    Helper { name, arguments, usage, keeps_words: false, call }
}

const fn encoder(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    usage: &'static str,
    call: fn(&[&Value]) -> Made,
) -> Helper {
    Helper { name, arguments, usage, keeps_words: true, call }
}

/// All of them, in the order of the alphabet.
pub(super) static HELPERS: [Helper; 35] = [
    helper("and", 2..=8, "and a b", |given| {
        Ok(Value::Bool(given.iter().all(|value| is_truthy(value, false))))
    }),
    helper("b64enc", 1..=1, "b64enc value", |given| {
        text_argument(given[0]).map(|text| Value::from(STANDARD.encode(text)))
    }),
    helper("concat", 1..=16, "concat a b", text::concat),
    helper("contains", 2..=2, "contains \"part\" value", text::contains),
    helper("default", 2..=2, "default params.x \"value\"", |_| Ok(Value::Null)),
    helper("endsWith", 2..=2, "endsWith \"end\" value", text::ends_with),
    helper("eq", 2..=2, "eq a b", |given| Ok(Value::Bool(equal(given[0], given[1])))),
    helper("gt", 2..=2, "gt a b", |given| compared(given, Ordering::is_gt)),
    helper("gte", 2..=2, "gte a b", |given| compared(given, Ordering::is_ge)),
    encoder("indent", 2..=2, "indent 4 value", text::indent),
    helper("join", 2..=2, "join \",\" list", text::join),
    helper("len", 1..=1, "len value", |given| match given[0] {
        Value::String(text) => Ok(Value::from(text.chars().count())),
        Value::Array(elements) => Ok(Value::from(elements.len())),
        Value::Object(members) => Ok(Value::from(members.len())),
        _ => Err("the value has no length; it is no text, list or group".into()),
    }),
    helper("lower", 1..=1, "lower value", text::lower),
    helper("lt", 2..=2, "lt a b", |given| compared(given, Ordering::is_lt)),
    helper("lte", 2..=2, "lte a b", |given| compared(given, Ordering::is_le)),
    helper("ne", 2..=2, "ne a b", |given| Ok(Value::Bool(!equal(given[0], given[1])))),
    encoder("nindent", 2..=2, "nindent 4 value", text::nindent),
    helper("not", 1..=1, "not value", |given| Ok(Value::Bool(!is_truthy(given[0], false)))),
    helper("or", 2..=8, "or a b", |given| {
        Ok(Value::Bool(given.iter().any(|value| is_truthy(value, false))))
    }),
    encoder("quote", 1..=1, "quote value", |given| {
        text_argument(given[0]).map(|text| Value::from(emit::quoted(&text)))
    }),
    helper("replace", 3..=3, "replace \"old\" \"new\" value", text::replace),
    helper("required", 2..=2, "required \"message\" params.x", |_| Ok(Value::Null)),
    helper("sha256", 1..=1, "sha256 value", |given| {
        text_argument(given[0]).map(|text| Value::from(sha256_hex(text.as_bytes())))
    }),
    helper("slug", 1..=2, "slug value", |given| {
        let most = given.get(1).map_or(Ok(63), |most| count(most, "the length"))?;
        let most = usize::try_from(most).unwrap_or_default().clamp(1, SLUG);
        text_argument(given[0]).map(|text| Value::from(naming::slug(&text, most)))
    }),
    encoder("squote", 1..=1, "squote value", |given| {
        let text = text_argument(given[0])?;
        if text.chars().any(char::is_control) {
            return Err("the value has line breaks or control characters; take quote".into());
        }
        Ok(Value::from(format!("'{}'", text.replace('\'', "''"))))
    }),
    helper("startsWith", 2..=2, "startsWith \"start\" value", text::starts_with),
    helper("ternary", 3..=3, "ternary condition yes no", |_| Ok(Value::Null)),
    encoder("toJson", 1..=1, "toJson value", |given| {
        Ok(Value::from(emit::escaped_json(&canonical_json(given[0]))))
    }),
    helper("toString", 1..=1, "toString value", |given| text_argument(given[0]).map(Value::from)),
    encoder("toYaml", 1..=1, "toYaml value", |given| Ok(Value::from(emit::to_yaml(given[0])))),
    helper("trim", 1..=1, "trim value", text::trim),
    helper("trimPrefix", 2..=2, "trimPrefix \"start\" value", |given| {
        let (start, text) = (text_argument(given[0])?, text_argument(given[1])?);
        Ok(Value::from(text.strip_prefix(&start).unwrap_or(&text)))
    }),
    helper("trimSuffix", 2..=2, "trimSuffix \"end\" value", |given| {
        let (end, text) = (text_argument(given[0])?, text_argument(given[1])?);
        Ok(Value::from(text.strip_suffix(&end).unwrap_or(&text)))
    }),
    helper("trunc", 2..=2, "trunc 5 value", text::trunc),
    helper("upper", 1..=1, "upper value", text::upper),
];

pub(super) fn find(name: &str) -> Option<&'static Helper> {
    HELPERS.iter().find(|helper| helper.name == name)
}

/// The sentence for a name that is none of them.
pub(super) fn unknown(name: &str) -> String {
    let names: Vec<&str> = HELPERS.iter().map(|helper| helper.name).collect();
    let name = shortened(name);
    format!("unknown helper {name:?}; there are if, unless, each, with, {}", names.join(", "))
}

fn text_argument(value: &Value) -> Result<String, Said> {
    text_of(value).map_err(|what| format!("the value {what}").into())
}

/// As Handlebars has it: null, false, 0 and what is empty are not.
pub(super) fn is_truthy(value: &Value, include_zero: bool) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => include_zero || number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // 1 and 1.0 are one number.
        (Value::Number(_), Value::Number(_)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn compared(given: &[&Value], holds: fn(Ordering) -> bool) -> Made {
    let order = match (given[0], given[1]) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().and_then(|a| a.partial_cmp(&b.as_f64()?)),
        },
        _ => None,
    };
    order
        .map(|order| Value::Bool(holds(order)))
        .ok_or_else(|| "only two numbers or two strings can be compared".into())
}
