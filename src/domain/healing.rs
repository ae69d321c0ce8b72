//! PURE · which failed deliveries of a webhook are asked for again: each once, and of those about one source the newest.
//!
//! In: rows of the forge's log. Out: what to look at, then what to ask for. A delivery is a hint and no news: the newest
//! about a pull request makes the older ones needless.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::event::{Delivery, Event};

/// A row of the forge's log of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Number of this attempt.
    pub id: u64,
    /// The delivery's own id; each attempt has the same.
    pub guid: String,
    /// When it was sent.
    pub at: DateTime<Utc>,
    /// Somebody asked for it again.
    pub again: bool,
    /// HTTP status of the answer; 0 or one of the forge's own when there was none.
    pub code: u16,
    /// What the forge says of it, as `OK` or `timed out`.
    pub status: String,
    /// Name of the event.
    pub event: String,
    /// The event's action, when it has one.
    pub action: Option<String>,
    /// Number of the repository that it is about.
    pub repository: Option<u64>,
}

impl Logged {
    /// It was answered with 2xx.
    #[must_use]
    pub fn arrived(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// For people: event and action.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.action {
            Some(action) => format!("{}.{action}", self.event),
            None => self.event.clone(),
        }
    }
}

/// What is to be looked at of a log of failures, newest first: one row for each delivery that concerns one of `served`,
/// was not asked for before, and is not among `settled`.
#[must_use]
pub fn candidates(
    failures: &[Logged],
    settled: &BTreeSet<String>,
    served: &BTreeSet<u64>,
) -> Vec<Logged> {
    // GitHub keeps the row of an attempt: who asked before a restart is seen there.
    let asked: BTreeSet<&str> =
        failures.iter().filter(|row| row.again).map(|row| row.guid.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut rows: Vec<&Logged> = failures
        .iter()
        .filter(|row| !row.arrived() && !asked.contains(row.guid.as_str()))
        .filter(|row| !settled.contains(&row.guid))
        .filter(|row| row.repository.is_none_or(|id| served.contains(&id)))
        .filter(|row| seen.insert(row.guid.as_str()))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.at, row.id)));
    rows.into_iter().cloned().collect()
}

/// What a delivery is about: of two with the same source the newer one says it all. `None`: nobody here listens to it.
#[must_use]
pub fn source(row: &Logged, read: &Delivery) -> Option<String> {
    let repository = row.repository.unwrap_or_default();
    if let Event::PullRequest { number, .. } = &read.event {
        return Some(format!("{repository}#{number}"));
    }
    if let Event::Branch { name, .. } = &read.event {
        return Some(format!("{repository}@{name}"));
    }
    // Whole repositories are looked at, whatever happened to them.
    if matches!(read.event, Event::Repository) {
        return Some(format!("{repository}"));
    }
    // Each of the others says something of its own.
    let heard = !matches!(read.event, Event::Ping | Event::Ignored { .. });
    heard.then(|| row.guid.clone())
}

/// When the newest delivery about a source, that was asked for, was first sent, and its number: by source.
pub type Asked = BTreeMap<String, (DateTime<Utc>, u64)>;

/// Notes that `row` was asked for.
pub fn note(asked: &mut Asked, source: String, row: &Logged) {
    let now = (row.at, row.id);
    let known = asked.entry(source).or_insert(now);
    *known = now.max(*known);
}

/// What came of looking.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Asked for again, oldest first; each with its source.
    pub ask: Vec<(Logged, String)>,
    /// Left alone: ids of deliveries.
    pub pass_over: Vec<String>,
}

/// Of rows with their sources, in whatever order: the newest of each source is asked for, when it is newer than what was
/// asked for before.
#[must_use]
pub fn plan(rows: Vec<(Logged, Option<String>)>, asked: &Asked) -> Plan {
    let mut plan = Plan::default();
    let mut newest: BTreeMap<String, Logged> = BTreeMap::new();
    for (row, source) in rows {
        let newer =
            |source: &String| asked.get(source).is_none_or(|known| *known < (row.at, row.id));
        let Some(source) = source.filter(newer) else {
            plan.pass_over.push(row.guid);
            continue;
        };
        let older = match newest.get(&source) {
            Some(known) if (known.at, known.id) >= (row.at, row.id) => Some(row),
            _ => newest.insert(source, row),
        };
        plan.pass_over.extend(older.map(|row| row.guid));
    }
    plan.ask = newest.into_iter().map(|(source, row)| (row, source)).collect();
    plan.ask.sort_by_key(|(row, _)| (row.at, row.id));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Action;
    use crate::domain::id::PrNumber;

    fn row(id: u64, guid: &str, code: u16) -> Logged {
        Logged {
            id,
            guid: guid.into(),
            at: DateTime::from_timestamp(i64::try_from(id).unwrap() * 10, 0).unwrap(),
            again: false,
            code,
            status: "x".into(),
            event: "pull_request".into(),
            action: Some("opened".into()),
            repository: Some(7),
        }
    }

    fn guids(rows: &[Logged]) -> Vec<&str> {
        rows.iter().map(|row| row.guid.as_str()).collect()
    }

    #[test]
    fn what_was_asked_for_arrived_or_is_about_others_is_no_candidate() {
        let again = Logged { again: true, ..row(9, "asked", 503) };
        let foreign = Logged { repository: Some(8), ..row(4, "foreign", 503) };
        let installation = Logged { repository: None, ..row(6, "installation", 502) };
        let rows = [
            row(1, "old", 503),
            again,
            row(2, "asked", 503),
            row(3, "arrived", 202),
            foreign,
            row(5, "settled", 503),
            installation,
            row(7, "doubled", 503),
            row(8, "doubled", 503),
        ];
        let settled = BTreeSet::from(["settled".to_owned()]);
        let found = candidates(&rows, &settled, &BTreeSet::from([7]));
        assert_eq!(guids(&found), ["doubled", "installation", "old"], "newest first, each once");
    }

    #[test]
    fn of_one_source_the_newest_is_asked_for_and_what_nobody_hears_is_not() {
        let read = |event| Delivery { repository: None, event };
        let pull =
            |number| read(Event::PullRequest { action: Action::Opened, number: PrNumber(number) });
        let with = |row: Logged, read: &Delivery| {
            let source = source(&row, read);
            (row, source)
        };
        let account = Event::Installation { account: "acme".into(), repositories: Vec::new() };
        let rows = vec![
            with(row(1, "a", 503), &pull(1)),
            with(row(5, "b", 503), &pull(1)),
            with(row(3, "c", 503), &pull(1)),
            with(row(4, "d", 503), &pull(2)),
            with(row(6, "e", 503), &read(Event::Ignored { reason: "" })),
            with(row(7, "f", 503), &read(Event::Branch { name: "main".into(), gone: false })),
            with(row(8, "g", 503), &read(Event::Repository)),
            with(row(9, "h", 503), &read(account.clone())),
            with(row(10, "i", 503), &read(account)),
        ];
        let mut asked = Asked::new();
        let found = plan(rows.clone(), &asked);
        let of = |plan: &Plan| plan.ask.iter().map(|(row, _)| row.guid.clone()).collect::<Vec<_>>();
        assert_eq!(of(&found), ["d", "b", "f", "g", "h", "i"], "oldest first");
        assert_eq!(found.pass_over, ["a", "c", "e"]);
        // In a later round what is older than that is passed over, too.
        note(&mut asked, "7#1".into(), &row(5, "b", 503));
        note(&mut asked, "7#1".into(), &row(3, "c", 503));
        let later = plan(rows.into_iter().take(4).collect(), &asked);
        assert_eq!((of(&later), later.pass_over.len()), (vec!["d".to_owned()], 3));
    }
}
