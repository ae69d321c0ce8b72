//! Kubernetes quantities (`500m`, `1Gi`, `2e3`) as thousandths, and back. Pure.

use serde_json::Value;

const BINARY: [(&str, i128); 6] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
];
const DECIMAL: [(&str, i128); 6] = [
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// How a quantity was written, and is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Decimal,
}

/// An amount that can be added up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    /// Thousandths.
    milli: i128,
    form: Form,
}

impl Default for Quantity {
    fn default() -> Self {
        Self { milli: 0, form: Form::Decimal }
    }
}

impl Quantity {
    /// A whole number.
    pub(crate) fn count(number: usize) -> Self {
        Self { milli: i128::try_from(number).unwrap_or(0) * 1000, form: Form::Decimal }
    }

    /// Reads a quantity; `None` when it is none.
    pub(crate) fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => parse(&number.to_string()),
            Value::String(text) => parse(text.trim()),
            _ => None,
        }
    }

    /// The sum; it is written as the first that is not nought was.
    pub(crate) fn plus(self, other: Self) -> Self {
        let form = if self.milli == 0 { other.form } else { self.form };
        Self { milli: self.milli.saturating_add(other.milli), form }
    }

    /// Whether it is more than `other`.
    pub(crate) fn exceeds(self, other: Self) -> bool {
        self.milli > other.milli
    }

    /// The greater of the two.
    pub(crate) fn max(self, other: Self) -> Self {
        if other.milli > self.milli { other } else { self }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let whole = self.milli / 1000;
        let (units, least) =
            if self.form == Form::Binary { (&BINARY, 1024) } else { (&DECIMAL, 1000) };
        let fitting = units.iter().rev().find(|(_, size)| whole != 0 && whole % size == 0);
        match fitting {
            Some((suffix, size)) if whole.abs() >= least => write!(f, "{}{suffix}", whole / size),
            _ => write!(f, "{whole}"),
        }
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let at = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(at);
    let (factor, form) = if suffix.is_empty() {
        (1000, Form::Decimal)
    } else if let Some((_, size)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        (size * 1000, Form::Binary)
    } else if let Some((_, size)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        (size * 1000, Form::Decimal)
    } else if suffix == "m" {
        (1, Form::Decimal)
    } else if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        let exponent: u32 = exponent.parse().ok().filter(|e| *e <= 18)?;
        (10_i128.pow(exponent) * 1000, Form::Decimal)
    } else {
        return None;
    };
    scaled(number, factor).map(|milli| Quantity { milli, form })
}

/// `number` (a decimal fraction) times `factor`, rounded up as the API does.
fn scaled(number: &str, factor: i128) -> Option<i128> {
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(12)];
    let unit = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let all: i128 = format!("{whole}{fraction}").parse().ok()?;
    let product = all.checked_mul(factor)?;
    let rounded = product / unit + i128::from(product % unit != 0);
    Some(if negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(value: &str) -> String {
        Quantity::parse(&json!(value)).map_or_else(|| "none".to_owned(), |q| q.to_string())
    }

    #[test]
    fn quantities_are_read_and_written_in_canonical_form() {
        for (given, expected) in [
            ("500m", "500m"),
            ("1000m", "1"),
            ("1.5", "1500m"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("2e3", "2k"),
            ("1000", "1k"),
            ("128974848", "128974848"),
            ("0", "0"),
            ("abc", "none"),
            ("", "none"),
            ("1Zi", "none"),
            ("--1", "none"),
        ] {
            assert_eq!(shown(given), expected, "{given}");
        }
    }

    #[test]
    fn sums_keep_the_form() {
        let sum = ["512Mi", "512Mi"]
            .iter()
            .filter_map(|q| Quantity::parse(&json!(q)))
            .fold(Quantity::default(), Quantity::plus);
        assert_eq!(sum.to_string(), "1Gi");
    }
}
