//! Schedules of five fields (minute, hour, day of month, month, day of week), in UTC. Pure.

use chrono::{DateTime, Datelike, Duration, DurationRound, Timelike, Utc};

/// When something is to happen, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of month and of week are alternatives when both are limited.
    either_day: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a schedule; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            text => text,
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.try_into().ok()?;
        let mut of_week = field(weekdays, 0, 7, &WEEKDAYS)?;
        if of_week & (1 << 7) != 0 {
            of_week |= 1;
        }
        Some(Self {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: of_week,
            either_day: !days.starts_with(['*', '?']) && !weekdays.starts_with(['*', '?']),
        })
    }

    /// The first time after `after`; `None` when there is none within five years (31 February).
    pub(super) fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut time = after.duration_trunc(Duration::minutes(1)).ok()? + Duration::minutes(1);
        let end = after + Duration::days(5 * 366);
        while time < end {
            if !has(self.months, time.month()) || !self.day_fits(time) {
                time = time.duration_trunc(Duration::days(1)).ok()? + Duration::days(1);
            } else if !has(self.hours, time.hour()) {
                time = time.duration_trunc(Duration::hours(1)).ok()? + Duration::hours(1);
            } else if has(self.minutes, time.minute()) {
                return Some(time);
            } else {
                time += Duration::minutes(1);
            }
        }
        None
    }

    fn day_fits(&self, time: DateTime<Utc>) -> bool {
        let of_month = has(self.days, time.day());
        let of_week = has(self.weekdays, time.weekday().num_days_from_sunday());
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }
}

fn has(bits: u64, number: u32) -> bool {
    bits & (1 << number) != 0
}

/// One field as a set of bits.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Option<u64> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (from, to) = if matches!(range, "*" | "?") {
            (least, most)
        } else if let Some((from, to)) = range.split_once('-') {
            (number(from, least, names)?, number(to, least, names)?)
        } else {
            let from = number(range, least, names)?;
            (from, if step.is_some() { most } else { from })
        };
        if from < least || to > most || from > to {
            return None;
        }
        for n in (from..=to).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
            bits |= 1 << n;
        }
    }
    Some(bits)
}

fn number(text: &str, least: u32, names: &[&str]) -> Option<u32> {
    if let Some(index) = names.iter().position(|n| n.eq_ignore_ascii_case(text)) {
        return u32::try_from(index).ok().map(|index| index + least);
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> String {
        let after = DateTime::parse_from_rfc3339(after).expect("a time").to_utc();
        let schedule = Schedule::parse(schedule).expect("a schedule");
        schedule.next(after).map_or("never".to_owned(), |t| t.to_rfc3339())
    }

    #[test]
    fn times_follow_the_fields() {
        let now = "2026-11-21T05:04:30Z"; // a Saturday
        for (schedule, expected) in [
            ("* * * * *", "2026-11-21T05:05:00+00:00"),
            ("*/15 * * * *", "2026-11-21T05:15:00+00:00"),
            ("0 3 * * *", "2026-11-22T03:00:00+00:00"),
            ("30 4 * * mon-fri", "2026-11-23T04:30:00+00:00"),
            ("0 0 1 JAN *", "2027-01-01T00:00:00+00:00"),
            ("0 0 * * 7", "2026-11-22T00:00:00+00:00"),
            ("0 0 13 * 5", "2026-11-27T00:00:00+00:00"),
            ("0 0 31 2 *", "never"),
            ("@hourly", "2026-11-21T06:00:00+00:00"),
            ("5/20 * * * *", "2026-11-21T05:05:00+00:00"),
        ] {
            assert_eq!(next(schedule, now), expected, "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "* * * * * *",
        ] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }
}
