//! Who sleeps so that others have room.

use chrono::Duration;
use proptest::prelude::*;

use super::*;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::minutes(minutes)
}

fn camp(name: &str, author: &str, usage: Usage) -> Entry {
    Entry {
        name: name.into(),
        repository: "shop".into(),
        author: author.into(),
        turn: Some(0),
        waits_since: None,
        usage,
    }
}

fn waiting(name: &str, author: &str) -> Entry {
    Entry { waits_since: Some(at(0)), turn: Some(1), ..camp(name, author, Usage::Busy) }
}

fn limits(environments: usize, per_author: Option<usize>) -> Limits {
    let bounds = Bounds { environments: Some(environments), per_author, sleeps: true };
    Limits { all: None, of: BTreeMap::from([("shop".to_owned(), bounds)]) }
}

fn names(entries: &[Entry], limits: &Limits) -> Vec<String> {
    sleepers(entries, limits).into_iter().collect()
}

#[test]
fn the_quietest_one_sleeps_and_never_a_pinned_or_a_busy_one() {
    use Usage::{Asleep, Busy, Pinned, Quiet};
    let full = [
        camp("a", "ada", Pinned(at(1))),
        camp("b", "ada", Quiet(at(3))),
        camp("c", "ada", Quiet(at(2))),
        camp("d", "ada", Busy),
        camp("e", "ada", Asleep),
    ];
    assert_eq!(names(&full, &limits(4, None)), [""; 0], "nobody waits");
    let mut wanted = full.to_vec();
    wanted.push(waiting("f", "bob"));
    assert_eq!(names(&wanted, &limits(5, None)), [""; 0], "who sleeps takes no room");
    assert_eq!(names(&wanted, &limits(4, None)), ["c"]);
    wanted.push(waiting("g", "bob"));
    assert_eq!(names(&wanted, &limits(4, None)), ["b", "c"]);
    wanted.push(waiting("h", "bob"));
    assert_eq!(names(&wanted, &limits(4, None)), ["b", "c"], "the others wait");
    let mut plain = limits(4, None);
    plain
        .of
        .insert("shop".into(), Bounds { environments: Some(4), per_author: None, sleeps: false });
    assert_eq!(names(&wanted, &plain), [""; 0], "the Repository does not ask for it");
}

#[test]
fn nobody_sleeps_in_vain() {
    let quiet = |name: &str, author: &str, used: i64| camp(name, author, Usage::Quiet(at(used)));
    // Of bob's own limit only a camp of bob's makes room, and that is pinned.
    let all = [quiet("a", "ada", 1), camp("b", "bob", Usage::Pinned(at(0))), waiting("c", "bob")];
    assert_eq!(names(&all, &limits(2, Some(1))), [""; 0]);
    let all = [quiet("a", "ada", 1), quiet("b", "bob", 2), waiting("c", "bob")];
    assert_eq!(names(&all, &limits(2, Some(1))), ["b"], "which makes room for both limits");
}

#[test]
fn one_that_wakes_lets_another_sleep_and_stays_awake_itself() {
    let quiet = |name: &str, used: i64| camp(name, "ada", Usage::Quiet(at(used)));
    let woken = [quiet("a", 1), quiet("b", 2), quiet("c", 3)];
    assert_eq!(names(&woken, &limits(2, None)), ["a"]);
    let alone = [
        camp("a", "ada", Usage::Pinned(at(1))),
        camp("b", "ada", Usage::Pinned(at(2))),
        quiet("c", 3),
    ];
    assert_eq!(names(&alone, &limits(2, None)), [""; 0], "it would be woken again");
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let usage = prop_oneof![
        Just(Usage::Busy),
        (0_i64..20).prop_map(|m| Usage::Pinned(at(m))),
        (0_i64..20).prop_map(|m| Usage::Quiet(at(m))),
        Just(Usage::Asleep),
    ];
    let one = (usage, 0_usize..3, 0_usize..2, any::<bool>());
    proptest::collection::vec(one, 0..12).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(nth, (usage, author, repository, waits))| Entry {
                name: format!("e{nth:02}"),
                repository: ["shop", "blog"][repository].into(),
                author: ["ada", "bob", "cem"][author].into(),
                turn: Some(i64::try_from(nth).expect("few")),
                waits_since: waits.then(|| at(0)),
                usage: if waits { Usage::Busy } else { usage },
            })
            .collect()
    })
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let bounds =
        || {
            let most = proptest::option::of(1_usize..5);
            (most.clone(), most, any::<bool>()).prop_map(|(environments, per_author, sleeps)| {
                Bounds { environments, per_author, sleeps }
            })
        };
    (bounds(), bounds(), proptest::option::of(1_usize..6)).prop_map(|(shop, blog, all)| Limits {
        all,
        of: BTreeMap::from([("shop".to_owned(), shop), ("blog".to_owned(), blog)]),
    })
}

fn goes(entries: &[Entry], limits: &Limits) -> usize {
    let waits = entries.iter().filter(|entry| entry.waits_since.is_some());
    waits.filter(|entry| matches!(ask(entries, limits, &entry.name), Answer::Go(_))).count()
}

proptest! {
    #[test]
    fn only_who_may_sleeps_and_nobody_in_vain(entries in entries(), limits in any_limits()) {
        let chosen = sleepers(&entries, &limits);
        let mut after = entries.clone();
        for entry in after.iter_mut().filter(|entry| chosen.contains(&entry.name)) {
            let quiet = matches!(entry.usage, Usage::Quiet(_)) && entry.waits_since.is_none();
            prop_assert!(quiet && limits.bounds(&entry.repository).sleeps, "{:?}", entry);
            entry.usage = Usage::Asleep;
        }
        // Then it is done: nobody else has to sleep for the same.
        prop_assert_eq!(sleepers(&after, &limits), BTreeSet::new());
        let beyond = entries.iter().any(|entry| {
            let mut counted = Counted::default();
            entries.iter().filter(|one| takes_room(one, &limits)).for_each(|one| counted.add(one));
            takes_room(entry, &limits) && counted.beyond(entry, &limits).is_some()
        });
        if !beyond {
            // One more sleeps for each that comes, two for one of whom two limits ask, and each comes who can.
            let more = goes(&after, &limits) - goes(&entries, &limits).min(goes(&after, &limits));
            prop_assert!(chosen.is_empty() || more > 0);
            prop_assert!(chosen.len() <= 3 * more);
        }
        // Of two that stand for the same, the one that was used first.
        for slept in entries.iter().filter(|entry| chosen.contains(&entry.name)) {
            let same = |other: &&Entry| {
                other.repository == slept.repository && other.author == slept.author
            };
            for other in entries.iter().filter(same) {
                let (Usage::Quiet(used), Usage::Quiet(later)) = (slept.usage, other.usage) else { continue };
                prop_assert!(chosen.contains(&other.name) || other.waits_since.is_some() || used <= later);
            }
        }
    }
}
