//! PURE · times and durations as people write them.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// `2026-11-22 05:06 UTC`. GitHub shows no countdown, so the time is absolute.
pub(in crate::domain) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// The two biggest units: `3 d 4 h`, `5 min 7 s`, `12 s`.
pub(super) fn duration(duration: Duration) -> String {
    let all = duration.as_secs();
    let parts =
        [(all / 86_400, "d"), (all / 3600 % 24, "h"), (all / 60 % 60, "min"), (all % 60, "s")];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let shown: Vec<String> = parts[first..]
        .iter()
        .take(2)
        .filter(|(n, _)| *n > 0 || first == 3)
        .map(|(n, unit)| format!("{n} {unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (72, "1 min 12 s"),
            (3600, "1 h"),
            (3601, "1 h"),
            (11_100, "3 h 5 min"),
            (187_300, "2 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
    }
}
