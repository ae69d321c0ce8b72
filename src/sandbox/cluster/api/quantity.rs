//! Quantities as `500m` or `1Gi`: parsed, compared, added, printed. In and out: text. No I/O.

use std::fmt;

const NANO: i128 = 1_000_000_000;
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
const SMALL: [(&str, i128); 3] = [("m", 1_000_000), ("u", 1_000), ("n", 1)];

/// An amount of a resource, exact to a billionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    nano: i128,
    binary: bool,
}

impl Quantity {
    /// Reads a quantity; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let end =
            text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (negative, digits) = match number.as_bytes().first()? {
            b'-' => (true, &number[1..]),
            b'+' => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return None;
        }
        let mut binary = false;
        let factor = if suffix.is_empty() {
            NANO
        } else if let Some((_, factor)) = BINARY.iter().find(|(name, _)| *name == suffix) {
            binary = true;
            factor * NANO
        } else if let Some((_, factor)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
            factor * NANO
        } else if let Some((_, factor)) = SMALL.iter().find(|(name, _)| *name == suffix) {
            *factor
        } else {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(u32::try_from(exponent.abs()).ok()?.min(18))?;
            if exponent < 0 { (NANO / power).max(1) } else { NANO.checked_mul(power)? }
        };
        let mut nano = whole.trim_start_matches('0').get(..).map_or(Some(0), |whole| {
            if whole.is_empty() { Some(0) } else { whole.parse::<i128>().ok()?.checked_mul(factor) }
        })?;
        let mut unit = factor;
        let mut rest = 0_i128;
        for digit in fraction.bytes() {
            let digit = i128::from(digit - b'0');
            // What does not divide is rounded up once, at the end.
            rest += i128::from((digit * unit) % 10 != 0);
            unit = digit_unit(unit);
            nano = nano.checked_add(digit * unit)?;
        }
        if rest > 0 && unit == 0 {
            nano = nano.checked_add(1)?;
        }
        Some(Self { nano: if negative { -nano } else { nano }, binary })
    }

    /// The amount in thousandths, rounded up.
    #[must_use]
    pub fn milli(self) -> i128 {
        (self.nano + 999_999).div_euclid(1_000_000)
    }

    /// The amount in whole units, rounded up.
    #[must_use]
    pub fn value(self) -> i128 {
        (self.nano + NANO - 1).div_euclid(NANO)
    }

    /// Whether it is a number of whole units.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// The amount as a number with a point; very large and very fine ones lose digits.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an approximation is what is asked for")]
    pub fn approximate(self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// The sum; stays at the largest amount when it would be too large.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let binary = if self.nano == 0 { other.binary } else { self.binary };
        Self { nano: self.nano.saturating_add(other.nano), binary }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { nano: self.nano.saturating_sub(other.nano), binary: self.binary }
    }
}

fn digit_unit(unit: i128) -> i128 {
    unit / 10
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.nano.cmp(&other.nano))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.nano % NANO == 0;
        if self.nano == 0 {
            return out.write_str("0");
        }
        if whole {
            let value = self.nano / NANO;
            let units = if self.binary { &BINARY } else { &DECIMAL };
            let best = units.iter().rev().find(|(_, factor)| value % factor == 0);
            return match best {
                Some((name, factor)) => write!(out, "{}{name}", value / factor),
                None => write!(out, "{value}"),
            };
        }
        match SMALL.iter().find(|(_, factor)| self.nano % factor == 0) {
            Some((name, factor)) => write!(out, "{}{name}", self.nano / factor),
            None => write!(out, "{}n", self.nano),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn quantities_print_in_their_canonical_form() {
        for (given, printed) in [
            ("0", "0"),
            ("1", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Ki", "1Mi"),
            ("1000", "1k"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("-2", "-2"),
            ("1e3", "1k"),
            ("128Mi", "128Mi"),
        ] {
            assert_eq!(Quantity::parse(given).unwrap().to_string(), printed, "{given}");
        }
        for wrong in ["", "m", "1x", "1.2.3", "--1", "1 Gi"] {
            assert!(Quantity::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn quantities_compare_and_add_across_units() {
        let of = |text: &str| Quantity::parse(text).unwrap();
        assert!(of("1Gi") > of("1G"));
        assert_eq!(of("500m").plus(of("0.5")).to_string(), "1");
        assert_eq!(of("1Gi").minus(of("512Mi")).to_string(), "512Mi");
    }
}
