//! PURE · who gets a camp next, when there is not room for all. Camps that stand and records that wait in, an answer for
//! one of them out.
//!
//! Start-time fair queueing: each author of a repository is a flow, and each record gets a turn when it comes: not before
//! the turn that is served now, and one after the last of its own flow. The lowest turn goes first. So who asks for many
//! camps waits behind everybody who asks for the first one, and nobody waits for more than one camp of each other author.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

/// A record that has a camp or waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name of the record.
    pub name: String,
    /// Its Repository.
    pub repository: String,
    /// Who wrote the pull request.
    pub author: String,
    /// Its turn, when it has one.
    pub turn: Option<i64>,
    /// `None`: its camp stands. Else since when it waits.
    pub waits_since: Option<DateTime<Utc>>,
    /// How its camp is used, when it stands.
    pub usage: Usage,
}

/// How a camp that stands is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// Something is being done with it: it is made, changed, or woken.
    #[default]
    Busy,
    /// It was used last at that time, and may not be put to sleep.
    Pinned(DateTime<Utc>),
    /// It was used last at that time.
    Quiet(DateTime<Utc>),
    /// It sleeps.
    Asleep,
}

/// What bounds the camps of one Repository; `None` bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// All of them.
    pub environments: Option<usize>,
    /// Those of one author.
    pub per_author: Option<usize>,
    /// Where there is no room the camp that was not used for the longest time sleeps, and sleeping ones take no room.
    pub sleeps: bool,
}

/// What bounds camps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// All camps of this installation.
    pub all: Option<usize>,
    /// By Repository.
    pub of: BTreeMap<String, Bounds>,
}

/// The answer for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is room.
    Go(String),
    /// There is none yet.
    Wait {
        /// Which limit is reached.
        reason: String,
        /// Its place in the line.
        place: Place,
    },
}

/// A place in the line, as people are told it: rough enough to stay the same for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nobody is before it.
    Next,
    /// One to four are.
    UpTo5,
    /// Five to nineteen are.
    UpTo20,
    /// More are.
    Beyond,
}

impl Place {
    /// With so many before it.
    #[must_use]
    pub fn behind(ahead: usize) -> Self {
        match ahead {
            0 => Self::Next,
            1..5 => Self::UpTo5,
            5..20 => Self::UpTo20,
            _ => Self::Beyond,
        }
    }

    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::UpTo5 => "2–5",
            Self::UpTo20 => "6–20",
            Self::Beyond => "> 20",
        }
    }
}

/// The turn of a record that comes now.
#[must_use]
pub fn turn(entries: &[Entry], repository: &str, author: &str) -> i64 {
    let turns = |chosen: &dyn Fn(&&Entry) -> bool| {
        entries.iter().filter(chosen).filter_map(|entry| entry.turn).collect::<Vec<_>>()
    };
    let served = turns(&|entry| entry.waits_since.is_none()).into_iter().max().unwrap_or(0);
    let first = turns(&|entry| entry.waits_since.is_some()).into_iter().min().unwrap_or(served);
    let own = turns(&|entry| entry.repository == repository && entry.author == author);
    let after_own = own.into_iter().max().map_or(0, |last| last.saturating_add(1));
    served.max(first).max(after_own)
}

/// Whether the record `name` of `entries`, which waits, may have a camp now.
#[must_use]
pub fn ask(entries: &[Entry], limits: &Limits, name: &str) -> Answer {
    let mut counted = Counted::default();
    for entry in entries.iter().filter(|entry| takes_room(entry, limits)) {
        counted.add(entry);
    }
    let mut before: Vec<&Entry> = Vec::new();
    for entry in line(entries) {
        let full = counted.full(entry, limits);
        if entry.name == name {
            let Some((reason, limit)) = full else {
                return Answer::Go(counted.room(entry, limits));
            };
            let rivals = before.iter().filter(|other| limit.is_shared(entry, other)).count();
            return Answer::Wait { reason, place: Place::behind(rivals) };
        }
        match full {
            // What a limit of its own holds up takes nobody's room.
            Some(_) => before.push(entry),
            None => counted.add(entry),
        }
    }
    Answer::Go("nobody asked for it".into())
}

/// Those that wait, in the order of their turns.
fn line(entries: &[Entry]) -> Vec<&Entry> {
    let mut line: Vec<&Entry> =
        entries.iter().filter(|entry| entry.waits_since.is_some()).collect();
    line.sort_by_key(|entry| (entry.turn.unwrap_or(i64::MAX), entry.waits_since, &entry.name));
    line
}

/// Whether a camp stands and counts.
fn takes_room(entry: &Entry, limits: &Limits) -> bool {
    let rests = entry.usage == Usage::Asleep && limits.bounds(&entry.repository).sleeps;
    entry.waits_since.is_none() && !rests
}

impl Limits {
    fn bounds(&self, repository: &str) -> Bounds {
        self.of.get(repository).copied().unwrap_or_default()
    }
}

/// Whose camps are to sleep, so that others have room: those that were not used for the longest time, never a pinned one,
/// and none in vain.
#[must_use]
pub fn sleepers(entries: &[Entry], limits: &Limits) -> BTreeSet<String> {
    let mut entries = entries.to_vec();
    let mut all = BTreeSet::new();
    // The room that is made for one may be the turn of another who stands before him and makes nobody sleep himself.
    loop {
        let chosen = sleep_first(&entries, limits);
        if chosen.is_empty() {
            return all;
        }
        for entry in entries.iter_mut().filter(|entry| chosen.contains(&entry.name)) {
            entry.usage = Usage::Asleep;
        }
        all.extend(chosen);
    }
}

/// Whose camps are to sleep when everybody for whom room is made gets it.
fn sleep_first(entries: &[Entry], limits: &Limits) -> BTreeSet<String> {
    let standing: Vec<&Entry> = entries.iter().filter(|entry| takes_room(entry, limits)).collect();
    let mut counted = Counted::default();
    for entry in &standing {
        counted.add(entry);
    }
    let mut quiet: Vec<(DateTime<Utc>, &Entry)> = standing
        .iter()
        .filter(|entry| limits.bounds(&entry.repository).sleeps)
        .filter_map(|entry| match entry.usage {
            Usage::Quiet(at) => Some((at, *entry)),
            _ => None,
        })
        .collect();
    let order = |one: &(DateTime<Utc>, &Entry), other: &(DateTime<Utc>, &Entry)| {
        (one.0, &one.1.name).cmp(&(other.0, &other.1.name))
    };
    quiet.sort_by(order);
    let mut asleep: Vec<&Entry> = Vec::new();
    // Somebody woke one, or a limit was lowered: there are more than there may be. Who was used last is left alone, since
    // it would be woken again.
    while let Some(nth) = quiet.iter().position(|(at, one)| {
        let later = |other: &&&Entry, limit: Limit| {
            other.name != one.name
                && limit.is_shared(one, other)
                && !asleep.iter().any(|slept| slept.name == other.name)
                && match other.usage {
                    Usage::Busy => true,
                    Usage::Pinned(used) | Usage::Quiet(used) => {
                        (used, &other.name) > (*at, &one.name)
                    }
                    Usage::Asleep => false,
                }
        };
        counted
            .beyond(one, limits)
            .is_some_and(|limit| standing.iter().any(|other| later(&other, limit)))
    }) {
        let (_, one) = quiet.remove(nth);
        counted.take(one);
        asleep.push(one);
    }
    for entry in line(entries) {
        let mut taken: Vec<(DateTime<Utc>, &Entry)> = Vec::new();
        let sleeps = limits.bounds(&entry.repository).sleeps;
        loop {
            let Some((_, limit)) = counted.full(entry, limits) else {
                counted.add(entry);
                asleep.extend(taken.iter().map(|(_, one)| *one));
                break;
            };
            let shares = |(_, one): &(DateTime<Utc>, &Entry)| limit.is_shared(entry, one);
            let Some(nth) = quiet.iter().position(shares).filter(|_| sleeps) else {
                // In vain: they stay as they are.
                for one in taken {
                    counted.add(one.1);
                    quiet.push(one);
                }
                quiet.sort_by(order);
                break;
            };
            let one = quiet.remove(nth);
            counted.take(one.1);
            taken.push(one);
        }
    }
    asleep.into_iter().map(|entry| entry.name.clone()).collect()
}

/// Which limit holds somebody up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Author,
    Repository,
    All,
}

impl Limit {
    /// Whether two wait for the same room.
    fn is_shared(self, one: &Entry, other: &Entry) -> bool {
        let repository = one.repository == other.repository;
        match self {
            Self::Author => repository && one.author == other.author,
            Self::Repository => repository,
            Self::All => true,
        }
    }
}

/// Camps that stand, or are about to.
#[derive(Default)]
struct Counted<'a> {
    all: usize,
    of: BTreeMap<&'a str, usize>,
    by: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Counted<'a> {
    fn add(&mut self, entry: &'a Entry) {
        self.all += 1;
        *self.of.entry(&entry.repository).or_default() += 1;
        *self.by.entry((&entry.repository, &entry.author)).or_default() += 1;
    }

    fn take(&mut self, entry: &'a Entry) {
        self.all = self.all.saturating_sub(1);
        let of = self.of.entry(&entry.repository).or_default();
        *of = of.saturating_sub(1);
        let by = self.by.entry((&entry.repository, &entry.author)).or_default();
        *by = by.saturating_sub(1);
    }

    /// Which limit those that stand are above, of one of them.
    fn beyond(&self, entry: &Entry, limits: &Limits) -> Option<Limit> {
        let bounds = limits.bounds(&entry.repository);
        if bounds.per_author.is_some_and(|most| self.by(entry) > most) {
            Some(Limit::Author)
        } else if bounds.environments.is_some_and(|most| self.of(entry) > most) {
            Some(Limit::Repository)
        } else {
            limits.all.is_some_and(|most| self.all > most).then_some(Limit::All)
        }
    }

    fn of(&self, entry: &Entry) -> usize {
        self.of.get(entry.repository.as_str()).copied().unwrap_or_default()
    }

    fn by(&self, entry: &Entry) -> usize {
        let key = (entry.repository.as_str(), entry.author.as_str());
        self.by.get(&key).copied().unwrap_or_default()
    }

    fn full(&self, entry: &Entry, limits: &Limits) -> Option<(String, Limit)> {
        let bounds = limits.bounds(&entry.repository);
        let (by, of, all) = (self.by(entry), self.of(entry), self.all);
        if let Some(most) = bounds.per_author.filter(|most| by >= *most) {
            let text =
                format!("{} has {by} of {most} environments (limits.perAuthor)", entry.author);
            return Some((text, Limit::Author));
        }
        if let Some(most) = bounds.environments.filter(|most| of >= *most) {
            let text = format!(
                "{of} of {most} environments of this repository stand (limits.environments)"
            );
            return Some((text, Limit::Repository));
        }
        let most = limits.all.filter(|most| all >= *most)?;
        let text =
            format!("{all} of {most} environments of this installation stand (--max-environments)");
        Some((text, Limit::All))
    }

    fn room(&self, entry: &Entry, limits: &Limits) -> String {
        let bounds = limits.bounds(&entry.repository);
        let mut parts = Vec::new();
        if let Some(most) = bounds.per_author {
            parts.push(format!("{} has {} of {most} environments", entry.author, self.by(entry)));
        }
        if let Some(most) = bounds.environments {
            parts.push(format!("{} of {most} of this repository stand", self.of(entry)));
        }
        if let Some(most) = limits.all {
            parts.push(format!("{} of {most} of this installation stand", self.all));
        }
        format!("there is room: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod sleep_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;
    use proptest::prelude::*;

    fn limits(
        environments: Option<usize>,
        per_author: Option<usize>,
        all: Option<usize>,
    ) -> Limits {
        let of = BTreeMap::from([(
            "shop".to_owned(),
            Bounds { environments, per_author, sleeps: false },
        )]);
        Limits { all, of }
    }

    /// A world in which records come and go, one at a time.
    #[derive(Default)]
    struct World {
        entries: Vec<Entry>,
        made: usize,
        /// Author of each camp, in the order in which they were made.
        served: Vec<String>,
    }

    impl World {
        fn come(&mut self, author: &str) -> String {
            self.made += 1;
            let name = format!("{author}-{}", self.made);
            let turn = turn(&self.entries, "shop", author);
            let minutes = i64::try_from(self.made).expect("few");
            self.entries.push(Entry {
                name: name.clone(),
                repository: "shop".into(),
                author: author.into(),
                turn: Some(turn),
                waits_since: Some(DateTime::UNIX_EPOCH + Duration::minutes(minutes)),
                usage: Usage::Busy,
            });
            name
        }

        /// Everybody who may have a camp gets one.
        fn settle(&mut self, limits: &Limits) {
            loop {
                let waiting = self.entries.iter().filter(|entry| entry.waits_since.is_some());
                let goes = waiting
                    .map(|entry| entry.name.clone())
                    .find(|name| matches!(ask(&self.entries, limits, name), Answer::Go(_)));
                let Some(name) = goes else { return };
                let entry = self.entries.iter_mut().find(|entry| entry.name == name);
                let entry = entry.expect("it is there");
                entry.waits_since = None;
                self.served.push(entry.author.clone());
            }
        }

        fn stands(&self, name: &str) -> bool {
            self.entries.iter().any(|entry| entry.name == name && entry.waits_since.is_none())
        }

        /// The camp that stands longest goes.
        fn leave(&mut self, nth: usize) {
            let standing: Vec<usize> = (0..self.entries.len())
                .filter(|at| self.entries[*at].waits_since.is_none())
                .collect();
            if !standing.is_empty() {
                self.entries.remove(standing[nth % standing.len()]);
            }
        }
    }

    #[test]
    fn who_has_many_waits_behind_who_has_none() {
        let limits = limits(Some(2), None, None);
        let mut world = World::default();
        let ada: Vec<String> = (0..4).map(|_| world.come("ada")).collect();
        world.settle(&limits);
        let bob = world.come("bob");
        assert!(world.stands(&ada[1]) && !world.stands(&ada[2]));
        let answer = ask(&world.entries, &limits, &bob);
        let Answer::Wait { reason, place } = answer else { panic!("there is no room") };
        assert_eq!(reason, "2 of 2 environments of this repository stand (limits.environments)");
        assert!(place <= Place::UpTo5);
        world.leave(0);
        world.settle(&limits);
        world.leave(0);
        world.settle(&limits);
        assert!(world.stands(&bob), "one of ada's at most goes before: {:?}", world.served);
    }

    #[test]
    fn a_limit_of_an_author_keeps_nobody_else_waiting() {
        let limits = limits(Some(3), Some(1), None);
        let mut world = World::default();
        let ada: Vec<String> = (0..3).map(|_| world.come("ada")).collect();
        let bob = world.come("bob");
        world.settle(&limits);
        assert!(world.stands(&ada[0]) && world.stands(&bob) && !world.stands(&ada[1]));
        let Answer::Wait { reason, place } = ask(&world.entries, &limits, &ada[1]) else {
            panic!("a limit is reached")
        };
        assert_eq!(reason, "ada has 1 of 1 environments (limits.perAuthor)");
        assert_eq!(place, Place::Next);
        let Answer::Wait { place, .. } = ask(&world.entries, &limits, &ada[2]) else {
            panic!("a limit is reached")
        };
        assert_eq!(place, Place::UpTo5);
    }

    #[test]
    fn the_whole_installation_has_a_limit_too() {
        let limits = limits(None, None, Some(1));
        let mut world = World::default();
        world.come("ada");
        let bob = world.come("bob");
        world.settle(&limits);
        let Answer::Wait { reason, .. } = ask(&world.entries, &limits, &bob) else {
            panic!("the limit is reached")
        };
        assert_eq!(reason, "1 of 1 environments of this installation stand (--max-environments)");
    }

    #[test]
    fn places_are_rough() {
        let words: Vec<_> = [0, 1, 4, 5, 19, 20].map(|n| Place::behind(n).word()).into();
        assert_eq!(words, ["next", "2–5", "2–5", "6–20", "6–20", "> 20"]);
    }

    proptest! {
        #[test]
        fn nobody_waits_for_more_than_one_camp_of_each_other_author(
            most in 1_usize..4,
            steps in proptest::collection::vec((0_usize..5, 0_usize..4), 1..80),
        ) {
            let limits = limits(Some(most), None, None);
            let authors = ["ada", "bob", "cem", "dee"];
            let mut world = World::default();
            // Who came with nothing, and how many had been served then.
            let mut watched: Vec<(String, String, usize)> = Vec::new();
            for (step, who) in steps {
                let author = authors[who];
                if step == 0 {
                    world.leave(who);
                } else {
                    let first = !world.entries.iter().any(|entry| entry.author == author);
                    let name = world.come(author);
                    if first {
                        watched.push((name, author.to_owned(), world.served.len()));
                    }
                }
                world.settle(&limits);
                let standing = world.entries.iter().filter(|entry| entry.waits_since.is_none()).count();
                prop_assert!(standing <= most);
                prop_assert!(standing == most || world.entries.iter().all(|e| e.waits_since.is_none()), "room is left to nobody");
                watched.retain(|(name, author, then)| {
                    let since = world.served.get(*then..).unwrap_or_default();
                    for other in authors.iter().filter(|other| *other != author) {
                        let before = since.iter().take_while(|served| *served != author);
                        let theirs = before.filter(|served| served == other).count();
                        assert!(theirs <= 1, "{name} waited for {theirs} of {other}: {since:?}");
                    }
                    !world.stands(name)
                });
            }
            // All have their turn in the end.
            for _ in 0..100 {
                world.leave(0);
                world.settle(&limits);
            }
            prop_assert!(world.entries.is_empty());
        }
    }
}
