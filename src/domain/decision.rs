//! PURE · (what is asked for, what stands, now) → what is to be done, and why.
//!
//! Whether a camp stands is decided by the first rule that answers; every rule that was asked is kept with its answer,
//! because "why is there no preview?" is the question people ask most.

use chrono::{DateTime, Utc};

use super::policy::Forks;
use super::pull_request::State;

/// Whether a camp is wanted, as somebody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// By the rules.
    Auto,
    /// In any case.
    Up,
    /// In no case.
    Down,
}

/// What an environment is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A pull request.
    PullRequest,
    /// A branch: trusted, and without an end of its own.
    Branch,
}

/// Everything the rules look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Somebody deleted the record: "from scratch".
    pub record_deleted: bool,
    /// Open or closed.
    pub source: State,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// What somebody asked for.
    pub want: Want,
    /// When the time of the camp is up; `None` while none stands: no time runs for a camp that was never made.
    pub expires_at: Option<DateTime<Utc>>,
    /// It was up once, and nothing renewed it since.
    pub expired: bool,
    /// Why the source is untrusted, as a sentence; `None` for a trusted one.
    pub untrusted: Option<String>,
    /// Somebody approved exactly this head and base.
    pub approved: bool,
    /// What the policy says about untrusted sources.
    pub forks: Forks,
    /// The answer of [`select`](super::selection::select).
    pub selected: Result<(), String>,
    /// Why there is nothing to render, as a sentence: head and base contradict each other. A camp that stands goes on
    /// with what it has.
    pub conflict: Option<String>,
    /// Somebody asked for an older commit, as a sentence: whether a camp stands does not depend on it.
    pub pin: Option<String>,
}

/// What stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Camp {
    /// Nothing.
    Absent,
    /// A namespace, whole or half.
    Standing,
    /// A namespace that is going away.
    Ending,
}

/// Why there is no camp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The record is being deleted.
    RecordDeleted,
    /// The pull request is closed.
    SourceClosed,
    /// `want: Down`.
    WantedDown,
    /// Its time was up.
    Expired,
    /// Untrusted, and such sources get no camp here.
    UntrustedDenied,
    /// Untrusted, and nobody approved this head.
    WaitingForApproval,
    /// `select` refuses it.
    NotSelected,
    /// Head and base can't be merged, and the merge is what is to be rendered.
    Conflict,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a camp.
    Raise,
    /// A camp stands and should: make it what the head commit says.
    Keep,
    /// Take the camp down.
    TakeDown,
    /// Wait until what is going away is gone.
    AwaitEnd,
    /// There is no camp and there is to be none.
    Rest,
}

/// One rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Its name.
    pub rule: &'static str,
    /// What it looked at and said.
    pub answer: String,
    /// It decided.
    pub decided: bool,
}

/// What is to be done, with reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub action: Action,
    /// Why there is to be no camp; `None` when there is to be one.
    pub absence: Option<Absence>,
    /// When to look again, whatever happens.
    pub wake_at: Option<DateTime<Utc>>,
    /// The rules in their order, up to the one that decided.
    pub why: Vec<Why>,
}

/// Decides. `now` at or after `expires_at` is expired.
#[must_use]
pub fn decide(situation: &Situation, camp: Camp, now: DateTime<Utc>) -> Decision {
    let (mut absence, mut why) = verdict(situation, now);
    if let (None, Some(conflict)) = (absence, &situation.conflict) {
        for asked in &mut why {
            asked.decided = false;
        }
        let answer = if camp == Camp::Standing {
            format!("{conflict}; what runs goes on")
        } else {
            absence = Some(Absence::Conflict);
            conflict.clone()
        };
        why.push(Why { rule: "merge", answer, decided: true });
    }
    if let (None, Some(answer)) = (absence, &situation.pin) {
        why.push(Why { rule: "pin", answer: answer.clone(), decided: false });
    }
    let action = match (absence, camp) {
        // A dying namespace rejects every write, so even a reopened pull request waits it out.
        (_, Camp::Ending) => Action::AwaitEnd,
        (None, Camp::Absent) => Action::Raise,
        (None, Camp::Standing) => Action::Keep,
        (Some(_), Camp::Standing) => Action::TakeDown,
        (Some(_), Camp::Absent) => Action::Rest,
    };
    let wake_at = situation.expires_at.filter(|_| absence.is_none());
    Decision { action, absence, wake_at, why }
}

/// The rules in their order of precedence.
fn verdict(situation: &Situation, now: DateTime<Utc>) -> (Option<Absence>, Vec<Why>) {
    let Situation {
        record_deleted,
        source,
        kind,
        want,
        expires_at,
        expired,
        untrusted,
        approved,
        forks,
        selected,
        // Asked last: it depends on what stands.
        conflict: _,
        pin: _,
    } = situation;
    let mut trace = Trace::default();
    if *record_deleted {
        return trace.ends(
            "record",
            "the record was deleted: everything starts from scratch",
            Some(Absence::RecordDeleted),
        );
    }
    let branch = *kind == SourceKind::Branch;
    match (source, kind) {
        (State::Closed, _) => {
            let answer = if branch { "the branch is gone" } else { "the pull request is closed" };
            return trace.ends("source", answer, Some(Absence::SourceClosed));
        }
        (State::Open, SourceKind::Branch) => trace.goes_on("source", "the branch is there"),
        (State::Open, SourceKind::PullRequest) => {
            trace.goes_on("source", "the pull request is open");
        }
    }
    match want {
        Want::Down => {
            return trace.ends("want", "somebody set want: Down", Some(Absence::WantedDown));
        }
        Want::Auto => trace.goes_on("want", "nobody asked for more or less than the rules say"),
        Want::Up => trace.goes_on("want", "somebody set want: Up"),
    }
    if *expired || expires_at.is_some_and(|end| now >= end) {
        let answer = "its time was up; a push, a reopening or want: Up brings it back";
        return trace.ends("lifetime", answer, Some(Absence::Expired));
    }
    // Without the time itself: it stands beside this trace, and would make the text another one with every renewal.
    let lasting = branch && expires_at.is_none();
    let answer = if lasting { "a branch's has no end" } else { "its time is not up" };
    trace.goes_on("lifetime", answer);
    match (untrusted, forks) {
        (None, _) if branch => trace.goes_on("trust", "it is a branch of the repository itself"),
        (None, _) => trace.goes_on("trust", "the head is in the repository itself"),
        (Some(reason), Forks::Allow) => {
            trace.goes_on("trust", format!("{reason}; the policy allows that (forks: Allow)"));
        }
        (Some(reason), Forks::Deny) => {
            let answer = format!("{reason}; such pull requests get no camp here (forks: Deny)");
            return trace.ends("trust", answer, Some(Absence::UntrustedDenied));
        }
        (Some(reason), Forks::Approve) if *approved => {
            trace.goes_on("trust", format!("{reason}; this head was approved"));
        }
        (Some(reason), Forks::Approve) => {
            let answer = format!("{reason}, and nobody approved this head");
            return trace.ends("trust", answer, Some(Absence::WaitingForApproval));
        }
    }
    if *want == Want::Up {
        return trace.ends("want-up", "want: Up goes before select", None);
    }
    match selected {
        Ok(()) => trace.ends("select", "the policy takes it", None),
        Err(reason) => trace.ends("select", reason.clone(), Some(Absence::NotSelected)),
    }
}

#[derive(Default)]
struct Trace(Vec<Why>);

impl Trace {
    fn goes_on(&mut self, rule: &'static str, answer: impl Into<String>) {
        self.0.push(Why { rule, answer: answer.into(), decided: false });
    }

    fn ends(
        mut self,
        rule: &'static str,
        answer: impl Into<String>,
        absence: Option<Absence>,
    ) -> (Option<Absence>, Vec<Why>) {
        self.0.push(Why { rule, answer: answer.into(), decided: true });
        (absence, self.0)
    }
}

impl Decision {
    /// The answer of the rule that decided: one sentence for `kubectl get` and the comment.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.why.iter().rev().find(|why| why.decided).map_or("", |why| &why.answer)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::hours(hours)
    }

    fn fine() -> Situation {
        Situation {
            record_deleted: false,
            source: State::Open,
            kind: SourceKind::PullRequest,
            want: Want::Auto,
            expires_at: Some(at(72)),
            expired: false,
            untrusted: None,
            approved: false,
            forks: Forks::Approve,
            selected: Ok(()),
            conflict: None,
            pin: None,
        }
    }

    fn fork() -> Situation {
        Situation { untrusted: Some("the head is in a fork".into()), ..fine() }
    }

    fn conflict() -> String {
        "it conflicts with main".into()
    }

    fn refused() -> Result<(), String> {
        Err("it is a draft".into())
    }

    #[test]
    fn the_first_rule_that_answers_decides() {
        use Absence::{
            Conflict, Expired, NotSelected, RecordDeleted, SourceClosed, UntrustedDenied,
            WaitingForApproval, WantedDown,
        };
        for (name, situation, expected) in [
            ("all is well", fine(), None),
            (
                "a deleted record goes first",
                Situation { record_deleted: true, ..fine() },
                Some(RecordDeleted),
            ),
            (
                "closed beats up",
                Situation { source: State::Closed, want: Want::Up, ..fine() },
                Some(SourceClosed),
            ),
            (
                "down beats expired",
                Situation { want: Want::Down, expired: true, ..fine() },
                Some(WantedDown),
            ),
            ("expired beats fork", Situation { expired: true, ..fork() }, Some(Expired)),
            (
                "expired stays down although want is still up",
                Situation { expired: true, want: Want::Up, ..fine() },
                Some(Expired),
            ),
            ("a fork waits", fork(), Some(WaitingForApproval)),
            (
                "up does not replace the approval",
                Situation { want: Want::Up, ..fork() },
                Some(WaitingForApproval),
            ),
            ("an approved fork is taken", Situation { approved: true, ..fork() }, None),
            (
                "approval is nothing where forks are denied",
                Situation { approved: true, forks: Forks::Deny, ..fork() },
                Some(UntrustedDenied),
            ),
            ("forks may be allowed", Situation { forks: Forks::Allow, ..fork() }, None),
            ("select refuses", Situation { selected: refused(), ..fine() }, Some(NotSelected)),
            (
                "up goes before select",
                Situation { selected: refused(), want: Want::Up, ..fine() },
                None,
            ),
            (
                "a conflict leaves nothing to render",
                Situation { conflict: Some(conflict()), want: Want::Up, ..fine() },
                Some(Conflict),
            ),
            (
                "an untrusted one is not asked for conflicts",
                Situation { conflict: Some(conflict()), ..fork() },
                Some(WaitingForApproval),
            ),
        ] {
            let decision = decide(&situation, Camp::Absent, at(0));
            assert_eq!(decision.absence, expected, "{name}");
            assert_eq!(decision.why.iter().filter(|why| why.decided).count(), 1, "{name}");
            assert!(!decision.reason().is_empty(), "{name}");
        }
    }

    #[test]
    fn a_conflict_makes_no_camp_and_takes_none_down() {
        let situation = Situation { conflict: Some(conflict()), ..fine() };
        for (camp, action, absence) in [
            (Camp::Absent, Action::Rest, Some(Absence::Conflict)),
            (Camp::Standing, Action::Keep, None),
            (Camp::Ending, Action::AwaitEnd, Some(Absence::Conflict)),
        ] {
            let decision = decide(&situation, camp, at(0));
            assert_eq!((decision.action, decision.absence), (action, absence));
            assert!(decision.reason().starts_with("it conflicts with main"));
        }
        let closed = Situation { source: State::Closed, ..situation };
        assert_eq!(decide(&closed, Camp::Standing, at(0)).action, Action::TakeDown);
    }

    #[test]
    fn it_expires_exactly_then() {
        assert_eq!(
            decide(&fine(), Camp::Standing, at(72) - Duration::seconds(1)).action,
            Action::Keep
        );
        assert_eq!(decide(&fine(), Camp::Standing, at(72)).absence, Some(Absence::Expired));
        assert_eq!(decide(&fine(), Camp::Standing, at(0)).wake_at, Some(at(72)));
    }

    #[test]
    fn the_reasons_read_well() {
        let text = |situation: &Situation| {
            let why = decide(situation, Camp::Absent, at(0)).why;
            why.iter().map(|w| format!("{}: {}", w.rule, w.answer)).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(text(&fork()), @r"
        source: the pull request is open
        want: nobody asked for more or less than the rules say
        lifetime: its time is not up
        trust: the head is in a fork, and nobody approved this head
        ");
    }

    fn situations() -> impl Strategy<Value = Situation> {
        let want = prop_oneof![Just(Want::Auto), Just(Want::Up), Just(Want::Down)];
        let forks = prop_oneof![Just(Forks::Deny), Just(Forks::Approve), Just(Forks::Allow)];
        (any::<[bool; 8]>(), want, forks, 0_i64..100).prop_map(|(b, want, forks, hours)| {
            Situation {
                record_deleted: b[0],
                source: if b[1] { State::Open } else { State::Closed },
                kind: if b[7] { SourceKind::Branch } else { SourceKind::PullRequest },
                want,
                expires_at: b[6].then(|| at(hours)),
                expired: b[2],
                untrusted: b[3].then(|| "a fork".into()),
                approved: b[4],
                forks,
                selected: if b[5] { Ok(()) } else { refused() },
                conflict: b[7].then(|| "it conflicts with main".into()),
                pin: b[7].then(|| "mia went back".into()),
            }
        })
    }

    /// The world one step after `action` was carried out: this test's executor.
    fn after(action: Action, camp: Camp) -> Camp {
        match (action, camp) {
            (Action::Raise | Action::Keep, _) => Camp::Standing,
            (Action::TakeDown, _) => Camp::Ending,
            (Action::AwaitEnd, _) => Camp::Absent,
            (Action::Rest, unchanged) => unchanged,
        }
    }

    /// The goal in words of its own, so that it can disagree with `decide`.
    fn should_stand(s: &Situation, now: DateTime<Utc>) -> bool {
        let alive = !s.record_deleted
            && s.source == State::Open
            && s.want != Want::Down
            && !s.expired
            && s.expires_at.is_none_or(|end| end > now);
        let trusted = s.untrusted.is_none()
            || s.forks == Forks::Allow
            || (s.forks == Forks::Approve && s.approved);
        alive && trusted && (s.want == Want::Up || s.selected.is_ok())
    }

    proptest! {
        #[test]
        fn every_world_reaches_the_goal_and_stays_there(situation in situations(), now in 0_i64..100) {
            for start in [Camp::Absent, Camp::Standing, Camp::Ending] {
                let mut camp = start;
                for _ in 0..4 {
                    camp = after(decide(&situation, camp, at(now)).action, camp);
                }
                // What stands is no worse for a conflict; what does not is not made.
                let held = situation.conflict.is_some() && start != Camp::Standing;
                let stands = should_stand(&situation, at(now)) && !held;
                let goal = if stands { Camp::Standing } else { Camp::Absent };
                prop_assert_eq!(camp, goal, "starting from {:?}", start);
                let settled = decide(&situation, camp, at(now)).action;
                prop_assert!(matches!(settled, Action::Keep | Action::Rest), "{:?}", settled);
            }
        }
    }
}
