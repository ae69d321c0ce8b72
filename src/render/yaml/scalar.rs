//! PURE · one scalar of a YAML text → the JSON value that `sigs.k8s.io/yaml` (goyaml v2) makes of it.

use saphyr_parser::Tag;
use serde_json::{Number, Value};

/// What a scalar means.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar {
    /// A value.
    Value(Value),
    /// An unquoted `<<`: a merge key where a key is expected, else text.
    Merge,
}

/// Resolves `text`; `plain` means it was written without quotes and not as a block.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Scalar, &'static str> {
    let string = || Ok(Scalar::Value(Value::from(text)));
    let Some(tag) = tag else {
        return if plain { implicit(text) } else { string() };
    };
    // `! x` and `!!str x` are text whatever they look like.
    if tag.handle.is_empty() && tag.suffix == "!" {
        return string();
    }
    if !tag.is_yaml_core_schema() {
        return Err("tags other than YAML's own are not allowed");
    }
    let value = match tag.suffix.as_str() {
        "str" => return string(),
        "int" | "float" | "bool" | "null" => implicit(text)?,
        _ => return Err("this tag is not allowed; write the value as plain text"),
    };
    let fits = match (tag.suffix.as_str(), &value) {
        ("int", Scalar::Value(Value::Number(n))) => n.is_i64() || n.is_u64(),
        ("float", Scalar::Value(Value::Number(_)))
        | ("bool", Scalar::Value(Value::Bool(_)))
        | ("null", Scalar::Value(Value::Null)) => true,
        _ => false,
    };
    if fits { Ok(value) } else { Err("this value does not fit its tag") }
}

fn implicit(text: &str) -> Result<Scalar, &'static str> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        "<<" => return Ok(Scalar::Merge),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => {
            return Err(
                "infinity and not-a-number can't be sent to Kubernetes; quote it if it is text",
            );
        }
        _ => number(text).unwrap_or_else(|| Value::from(text)),
    };
    Ok(Scalar::Value(value))
}

fn number(text: &str) -> Option<Value> {
    match text.bytes().next()? {
        // Go tries only a float here, underscores stay.
        b'.' => yaml_float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| yaml_float(&plain))
        }
        _ => None,
    }
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`: 0x, 0o, 0b, and a leading 0 is octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // `from_str_radix` takes a sign of its own, Go takes none after the prefix.
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(size).map(Value::from);
    }
    // `ParseUint` takes no sign: `+` reaches only as far as `ParseInt`.
    (!text.starts_with('+') || i64::try_from(size).is_ok()).then(|| Value::from(size))
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, then `ParseFloat`. What is out of range stays text: the
/// short commit hash `123e4567` is one.
fn yaml_float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", after)) => !after.is_empty() && digits(after),
        Some((before, after)) => digits(before) && digits(after),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !mantissa_fits || !exponent_fits {
        return None;
    }
    let float: f64 = text.parse().ok().filter(|f: &f64| f.is_finite())?;
    // Go writes 1e3 as 1000: a whole number is a whole number in JSON.
    if float.fract() == 0.0 && float.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Some(Value::from(float as i64));
    }
    Number::from_f64(float).map(Value::Number)
}

/// Text here, but something else to YAML 1.1 or 1.2 by the letter: floats out of range (`123e4567`), dates, base 60.
pub(super) fn looks_like_another_type(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exponent = text.strip_prefix(['-', '+']).unwrap_or(text).split_once(['e', 'E']);
    let float = exponent.is_some_and(|(mantissa, exponent)| {
        digits(&mantissa.replacen('.', "", 1))
            && digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))
    });
    let base_60 = text.contains(':') && text.split(':').all(digits);
    let mut parts = text.splitn(3, '-');
    let date = matches!(
        (parts.next(), parts.next(), parts.next()),
        (Some(year), Some(month), Some(day))
            if year.len() == 4 && digits(year) && digits(month) && month.len() <= 2
                && day.get(..1).is_some_and(digits)
    );
    float || base_60 || date
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> Value {
        match resolve(text, true, None) {
            Ok(Scalar::Value(value)) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn scalars_mean_what_go_makes_of_them() {
        let table = [
            ("yes", json!(true)),
            ("no", json!(false)),
            ("on", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("n", json!(false)),
            ("yEs", json!("yEs")),
            ("0755", json!(493)),
            ("0o17", json!(15)),
            ("08", json!(8)),
            ("-010", json!(-8)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("_1", json!("_1")),
            ("123e4567", json!("123e4567")),
            ("1e3", json!(1000)),
            ("1.50", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            (".", json!(".")),
            ("-", json!("-")),
            ("+1", json!(1)),
            ("--1", json!("--1")),
            ("0x-1", json!("0x-1")),
            ("1.2.3", json!("1.2.3")),
            ("12:30:45", json!("12:30:45")),
            ("2001-12-14", json!("2001-12-14")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nil", json!("nil")),
            ("100m", json!("100m")),
            ("inf", json!("inf")),
        ];
        for (text, wanted) in table {
            assert_eq!(plain(text), wanted, "{text}");
            assert_eq!(resolve(text, false, None), Ok(Scalar::Value(json!(text))), "{text} quoted");
        }
        assert_eq!(resolve("<<", true, None), Ok(Scalar::Merge));
        for none in [".inf", "-.Inf", ".NaN"] {
            assert!(resolve(none, true, None).is_err(), "{none}");
        }
    }
}
