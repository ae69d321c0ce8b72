//! Quantities: `500m`, `1Gi`, `3` ↔ thousandths. Pure, no I/O.

use std::fmt;

use serde_json::Value;

/// An amount in thousandths, which is as fine as cpu is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    milli: i128,
    /// Printed with binary suffixes.
    binary: bool,
}

const BINARY: [(&str, u32); 6] =
    [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
const DECIMAL: [(&str, u32); 6] = [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3)];

impl Amount {
    /// Reads a quantity; `None` when it is none.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    pub(crate) fn whole(count: i64) -> Self {
        Self { milli: i128::from(count) * 1000, binary: false }
    }

    fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (binary, factor): (bool, i128) = match suffix {
            "" => (false, 1000),
            "m" => (false, 1),
            other => {
                if let Some((_, shift)) = BINARY.iter().find(|(s, _)| *s == other) {
                    (true, 1000_i128 << shift)
                } else if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == other) {
                    (false, 1000 * 10_i128.pow(*power))
                } else {
                    let power: u32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
                    (false, 1000_i128.checked_mul(10_i128.checked_pow(power)?)?)
                }
            }
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let negative = whole.starts_with('-');
        let whole: i128 = if matches!(whole, "" | "-" | "+") { 0 } else { whole.parse().ok()? };
        let mut milli = whole.checked_mul(factor)?;
        if !part.is_empty() {
            let digits = part.get(..part.len().min(18))?;
            let scale = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
            let more = digits.parse::<i128>().ok()?.checked_mul(factor)?;
            // Rounded up, as Kubernetes does.
            let more = (more + scale - 1) / scale;
            milli += if negative { -more } else { more };
        }
        Some(Self { milli, binary })
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { milli: self.milli.saturating_add(other.milli), binary: self.binary || other.binary }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        if other.milli > self.milli { other } else { self }
    }

    pub(crate) fn at_most(self, limit: Self) -> bool {
        self.milli <= limit.milli
    }

    pub(crate) fn is_zero(self) -> bool {
        self.milli == 0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let whole = self.milli / 1000;
        if whole == 0 {
            return f.write_str("0");
        }
        if self.binary {
            if let Some((suffix, shift)) =
                BINARY.iter().find(|(_, shift)| whole % (1_i128 << shift) == 0)
            {
                return write!(f, "{}{suffix}", whole >> shift);
            }
        } else if let Some((suffix, power)) =
            DECIMAL.iter().find(|(_, power)| whole % 10_i128.pow(*power) == 0)
        {
            return write!(f, "{}{suffix}", whole / 10_i128.pow(*power));
        }
        write!(f, "{whole}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_added_and_printed() {
        for (text, printed) in [
            ("500m", "500m"),
            ("1", "1"),
            ("1.5", "1500m"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1500M", "1500M"),
            ("2e3", "2k"),
            ("0", "0"),
        ] {
            assert_eq!(Amount::of(&json!(text)).expect(text).to_string(), printed, "{text}");
        }
        let sum = Amount::of(&json!("500m")).expect("fine").plus(Amount::whole(1));
        assert_eq!(sum.to_string(), "1500m");
        for bad in ["", "x", "1.x", "1Qi", "1e999"] {
            let read = Amount::of(&json!(bad));
            assert!(read.is_none() || bad.is_empty(), "{bad}: {read:?}");
        }
    }
}
