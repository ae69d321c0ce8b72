//! PURE · quantities as Kubernetes writes them (`500m`, `1Gi`, `3`), to be added and compared.

use std::fmt;

/// A quantity in thousandths, which is as fine as cpu is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    milli: i128,
    binary: bool,
}

const BINARY: [(&str, u32); 6] =
    [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
const DECIMAL: [(&str, u32); 6] = [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3)];

impl Amount {
    /// Reads a quantity; `None` when it is none, or none that anybody means.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 32 {
            return None;
        }
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (binary, factor) = factor(suffix)?;
        let (negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut milli = whole.checked_mul(factor)?;
        if !part.is_empty() {
            let part = part.get(..part.len().min(18))?;
            let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
            let more = part.parse::<i128>().ok()?.checked_mul(factor)?;
            // Rounded up, as Kubernetes does.
            milli = milli.checked_add((more + scale - 1) / scale)?;
        }
        Some(Self { milli: if negative { -milli } else { milli }, binary })
    }

    /// A number of things.
    #[must_use]
    pub fn whole(count: u64) -> Self {
        Self { milli: i128::from(count) * 1000, binary: false }
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { milli: self.milli.saturating_add(other.milli), binary: self.binary || other.binary }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { milli: self.milli.saturating_mul(i128::from(count)), binary: self.binary }
    }

    /// The larger of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.milli > self.milli { other } else { self }
    }

    /// Whether it is not more than `limit`.
    #[must_use]
    pub fn at_most(self, limit: Self) -> bool {
        self.milli <= limit.milli
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.milli == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.milli < 0
    }
}

impl PartialEq for Amount {
    /// `1` and `1000m` are the same amount.
    fn eq(&self, other: &Self) -> bool {
        self.milli == other.milli
    }
}

impl Eq for Amount {}

fn factor(suffix: &str) -> Option<(bool, i128)> {
    match suffix {
        "" => Some((false, 1000)),
        "m" => Some((false, 1)),
        other => {
            if let Some((_, shift)) = BINARY.iter().find(|(s, _)| *s == other) {
                return Some((true, 1000_i128 << shift));
            }
            if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == other) {
                return Some((false, 1000 * 10_i128.pow(*power)));
            }
            let power: u32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((false, 10_i128.checked_pow(power)?.checked_mul(1000)?))
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let whole = self.milli / 1000;
        let (suffix, unit) = if self.binary && whole != 0 {
            let found = BINARY.iter().find(|(_, shift)| whole % (1_i128 << shift) == 0);
            found.map_or(("", 1), |(suffix, shift)| (*suffix, 1_i128 << shift))
        } else {
            ("", 1)
        };
        write!(f, "{}{suffix}", whole / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_added_and_printed() {
        for (text, printed) in [
            ("500m", "500m"),
            ("1", "1"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("2k", "2000"),
            ("1e3", "1000"),
            ("0", "0"),
            (".5", "500m"),
            ("-1", "-1"),
        ] {
            assert_eq!(
                Amount::parse(text).map(|a| a.to_string()).as_deref(),
                Some(printed),
                "{text}"
            );
        }
        for bad in [
            "",
            ".",
            "1x",
            "Gi",
            "1 Gi",
            "--1",
            "1.2.3",
            "1e999",
            "99999999999999999999999999999999999",
        ] {
            assert_eq!(Amount::parse(bad), None, "{bad}");
        }
        let sum = Amount::parse("512Mi").expect("read").times(3).plus(Amount::default());
        assert_eq!(sum.to_string(), "1536Mi");
        assert_eq!(Amount::parse("1Gi"), Amount::parse("1024Mi"));
        assert!(Amount::parse("999m").expect("read").at_most(Amount::whole(1)));
    }
}
