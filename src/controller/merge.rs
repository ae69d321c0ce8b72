//! The test merge of a head into its base, for Repositories with `source.at: Merge`: what the forge says of it, and when
//! it is asked again. No I/O.
//!
//! The record follows the head; only what is fetched and rendered is the merge. A forge that has not tried the merge yet
//! is asked again after one second, two, four …; while nothing is known of a new merge of the same head, the known one
//! counts.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Context;
use super::record::Record;
use super::retry::Next;
use crate::crd::{HeadStatus, SourcePhase};
use crate::domain::id::Revision;
use crate::domain::policy::At;
use crate::domain::pull_request::TestMerge;

/// The first pause before the forge is asked again, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// What is to be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rendered {
    /// The head itself.
    Head,
    /// The test merge.
    Merge(Revision),
    /// Nothing new: they contradict each other. A sentence.
    Conflict(String),
    /// Nothing yet: the forge has not said.
    Awaited,
}

/// What is to be rendered of a record.
pub(super) fn rendered(record: &Record, at: At) -> Rendered {
    let Some(head) = record.status.head.as_ref().filter(|_| at == At::Merge) else {
        return Rendered::Head;
    };
    if let Some(why) = conflict(head) {
        return Rendered::Conflict(why);
    }
    let merge = head.merge.as_deref().and_then(|merge| Revision::parse(merge).ok());
    merge.map_or(Rendered::Awaited, Rendered::Merge)
}

/// The conflict as a sentence.
pub(super) fn conflict(head: &HeadStatus) -> Option<String> {
    head.conflict
        .then(|| format!("it conflicts with {}; resolve the conflicts and push", head.base_branch))
}

/// Notes what the forge said of the merge of `head`.
pub(super) fn note(
    head: &mut HeadStatus,
    before: Option<&HeadStatus>,
    said: &TestMerge,
    now: DateTime<Utc>,
) {
    let before = before.filter(|before| {
        before.revision == head.revision && before.base_branch == head.base_branch
    });
    match said {
        TestMerge::Clean(merge) => {
            let merge = merge.as_str().to_owned();
            head.merged_with = before
                .filter(|before| before.merge.as_ref() == Some(&merge))
                .and_then(|before| before.merged_with.clone());
            head.merge = Some(merge);
        }
        TestMerge::Conflict => head.conflict = true,
        TestMerge::Unknown => {
            if let Some(before) = before {
                head.merge.clone_from(&before.merge);
                head.merged_with.clone_from(&before.merged_with);
                head.conflict = before.conflict;
            }
            head.merge_awaited =
                before.and_then(|before| before.merge_awaited).or(Some(now.into()));
            head.merge_asked = Some(now.into());
        }
    }
}

/// Nothing of a merge is said of a record whose head is rendered.
pub(super) fn clear(record: &mut Record) {
    forget(record);
    if let Some(head) = &mut record.status.head {
        head.conflict = false;
    }
}

/// The known merge is none any more: the next run asks for it anew.
pub(super) fn forget(record: &mut Record) {
    if let Some(head) = &mut record.status.head {
        (head.merge, head.merged_with) = (None, None);
        (head.merge_awaited, head.merge_asked) = (None, None);
    }
}

/// Notes the commit of the base branch that the merge was made with.
pub(super) fn note_base(record: &mut Record, base: Option<Revision>) {
    if let Some(head) = &mut record.status.head {
        head.merged_with = base.map(|base| base.as_str().to_owned());
    }
}

/// Whether the forge is to be asked for the merge now, though no hint came.
pub(super) fn is_due(record: &Record, at: At, now: DateTime<Utc>) -> bool {
    let Some(head) = record.status.head.as_ref() else { return false };
    if at == At::Head || head.state == SourcePhase::Closed {
        return false;
    }
    match left(head, now) {
        Some(left) => left.is_zero(),
        None => head.merge.is_none() && !head.conflict,
    }
}

/// The time until the forge is asked again; `None` when nothing is awaited.
fn left(head: &HeadStatus, now: DateTime<Utc>) -> Option<Duration> {
    let (since, asked) = (head.merge_awaited?.0, head.merge_asked?.0);
    let pause = (asked - since).to_std().unwrap_or_default().clamp(FIRST, LONGEST);
    let gone = (now - asked).to_std().unwrap_or_default();
    Some(pause.saturating_sub(gone))
}

/// `next`, or earlier when the forge is to be asked again before.
pub(super) fn sooner(context: &Context, record: &Record, next: Next) -> Next {
    let head = record.status.head.as_ref();
    let Some(left) = head.and_then(|head| left(head, context.clock.now())) else { return next };
    let left = context.rng.jitter(left.max(FIRST / 10), 10);
    match next {
        Next::After(pause) if pause <= left => next,
        _ => Next::After(left),
    }
}

/// Whether nothing can be rendered before the forge has said.
pub(super) fn is_awaited(record: &Record) -> bool {
    let head = record.status.head.as_ref();
    head.is_some_and(|head| head.merge_awaited.is_some() && head.merge.is_none())
}

/// How long it has been awaited.
pub(super) fn awaited_for(record: &Record, now: DateTime<Utc>) -> Duration {
    let since = record.status.head.as_ref().and_then(|head| head.merge_awaited);
    since.map_or(Duration::ZERO, |since| (now - since.0).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use serde_json::json;

    fn head(revision: &str) -> HeadStatus {
        serde_json::from_value(json!({
            "revision": revision.repeat(40), "base": "b".repeat(40), "state": "Open", "branch": "sparks",
            "baseBranch": "main", "author": "ada", "seenAt": "2026-03-02T09:00:00Z",
        }))
        .expect("a head")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn clean(digit: &str) -> TestMerge {
        TestMerge::Clean(Revision::parse(&digit.repeat(40)).expect("a hash"))
    }

    #[test]
    fn what_is_not_known_of_the_same_head_stays_as_it_was() {
        let mut known = head("a");
        note(&mut known, None, &clean("c"), at(0));
        known.merged_with = Some("b".repeat(40));

        let mut awaited = head("a");
        note(&mut awaited, Some(&known), &TestMerge::Unknown, at(10));
        assert_eq!((&awaited.merge, &awaited.merged_with), (&known.merge, &known.merged_with));
        assert_eq!(left(&awaited, at(10)), Some(FIRST));

        let mut same = head("a");
        note(&mut same, Some(&awaited), &clean("c"), at(11));
        assert_eq!(same, known, "nothing is awaited any more");
        let mut other = head("a");
        note(&mut other, Some(&awaited), &clean("d"), at(11));
        assert_eq!(other.merged_with, None, "which base it has is not known yet");

        let mut pushed = head("e");
        note(&mut pushed, Some(&known), &TestMerge::Unknown, at(10));
        assert_eq!(pushed.merge, None, "a merge of another head is none of this one");
        let mut retargeted = HeadStatus { base_branch: "next".into(), ..head("a") };
        note(&mut retargeted, Some(&known), &TestMerge::Unknown, at(10));
        assert_eq!(retargeted.merge, None, "nor is one into another base");
    }

    #[test]
    fn a_forge_that_does_not_say_is_asked_ever_more_rarely() {
        let (mut now, mut asked) = (0, Vec::new());
        let mut known = head("a");
        note(&mut known, None, &TestMerge::Unknown, at(0));
        for _ in 0..12 {
            now += i64::try_from(left(&known, at(now)).expect("awaited").as_secs()).expect("short");
            let mut next = head("a");
            note(&mut next, Some(&known), &TestMerge::Unknown, at(now));
            known = next;
            asked.push(now);
        }
        assert_eq!(asked, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 812, 1112]);
    }

    #[test]
    fn a_conflict_stays_one_until_the_forge_says_otherwise() {
        let mut conflicting = head("a");
        note(&mut conflicting, None, &TestMerge::Conflict, at(0));
        assert_eq!(
            conflict(&conflicting).as_deref(),
            Some("it conflicts with main; resolve the conflicts and push")
        );
        let mut awaited = head("a");
        note(&mut awaited, Some(&conflicting), &TestMerge::Unknown, at(1));
        assert!(awaited.conflict && awaited.merge_awaited.is_some());
        let mut solved = head("a");
        note(&mut solved, Some(&awaited), &clean("c"), at(2));
        assert!(!solved.conflict && solved.merge_awaited.is_none());
        let mut pushed = head("e");
        note(&mut pushed, Some(&conflicting), &TestMerge::Unknown, at(1));
        assert!(!pushed.conflict, "of another head nothing is known");
    }
}
