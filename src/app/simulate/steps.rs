//! PURE · what happens in a run: one step after another, drawn from the seed; a sentence each.

use std::fmt;
use std::time::Duration;

use super::lives::{Content, Lives};
use crate::sandbox::github::{DeliveryFaults, Fault, RetryAfter};
use crate::seams::Rng;

/// Something that somebody does, or that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A pull request is opened.
    Open { content: Content, draft: bool, fork: bool },
    /// One more commit, or one in the place of the last.
    Push { life: usize, content: Content, force: bool },
    /// It is closed.
    Close { life: usize },
    /// It is merged.
    Merge { life: usize },
    /// It is opened again.
    Reopen { life: usize },
    /// The label that the policy refuses is put on or taken off.
    Label { life: usize, on: bool },
    /// It is made a draft, or ready for review.
    Draft { life: usize, on: bool },
    /// It gets another title.
    Retitle { life: usize },
    /// Somebody writes a comment; a mean one begins with our own marker.
    Chat { life: usize, mean: bool },
    /// A maintainer deletes the service's comment.
    DeleteComment { life: usize },
    /// An untrusted head is approved in the record.
    Approve { life: usize },
    /// Somebody sets `want` in the record.
    Want { life: usize, want: &'static str },
    /// Somebody deletes the record: "from scratch".
    DeleteRecord { life: usize },
    /// Somebody deletes the camp's namespace.
    DeleteNamespace { life: usize },
    /// Webhooks are lost, doubled, late from now on.
    Deliveries(DeliveryFaults),
    /// A delivery of before comes once more: the order is not what happened.
    Redeliver { back: u64 },
    /// Somebody who does not know the secret sends a delivery.
    Forge { life: usize, signed: bool },
    /// Requests to the forge go wrong.
    ForgeFails { method: &'static str, fault: Fault, times: u32 },
    /// The forge answers nothing but 503, or again.
    Outage { on: bool },
    /// The forge's lists are empty, or again true.
    EmptyLists { on: bool },
    /// The forge takes up to this long.
    Latency(Duration),
    /// Requests to the API server go wrong, in so many of a thousand; 0: no more.
    ClusterFails { of_thousand: u16 },
    /// A replica is killed.
    Kill { replica: usize },
    /// A replica that was killed is started.
    Start { replica: usize },
    /// A replica stands still, or goes on.
    Pause { replica: usize, paused: bool },
    /// Nothing for a while.
    Wait(Duration),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { content, draft, fork } => {
                let draft = if *draft { "a draft" } else { "a pull request" };
                let from = if *fork { " from a fork" } else { "" };
                write!(f, "{draft} with {content} is opened{from}")
            }
            Self::Push { life, content, force: false } => {
                write!(f, "{content} is pushed to life {life}")
            }
            Self::Push { life, content, force: true } => {
                write!(f, "{content} is force-pushed to life {life}")
            }
            Self::Close { life } => write!(f, "life {life} is closed"),
            Self::Merge { life } => write!(f, "life {life} is merged"),
            Self::Reopen { life } => write!(f, "life {life} is opened again"),
            Self::Label { life, on: true } => write!(f, "life {life} gets the label no-preview"),
            Self::Label { life, on: false } => write!(f, "life {life} loses the label no-preview"),
            Self::Draft { life, on: true } => write!(f, "life {life} becomes a draft"),
            Self::Draft { life, on: false } => write!(f, "life {life} is ready for review"),
            Self::Retitle { life } => write!(f, "life {life} gets another title"),
            Self::Chat { life, mean: false } => write!(f, "somebody comments on life {life}"),
            Self::Chat { life, mean: true } => {
                write!(f, "somebody comments on life {life} with the service's marker")
            }
            Self::DeleteComment { life } => {
                write!(f, "the service's comment on life {life} is deleted")
            }
            Self::Approve { life } => write!(f, "the head of life {life} is approved"),
            Self::Want { life, want } => write!(f, "life {life} is set to want: {want}"),
            Self::DeleteRecord { life } => write!(f, "the record of life {life} is deleted"),
            Self::DeleteNamespace { life } => write!(f, "the namespace of life {life} is deleted"),
            Self::Deliveries(DeliveryFaults { lost, doubled, delay }) => write!(
                f,
                "of the deliveries {lost} % are lost, {doubled} % doubled, each up to {delay:?} late"
            ),
            Self::Redeliver { back } => {
                write!(f, "the delivery {back} before the last comes again")
            }
            Self::Forge { life, signed } => {
                let how = if *signed { "with a wrong signature" } else { "without a signature" };
                write!(f, "a forged delivery about life {life} comes {how}")
            }
            Self::ForgeFails { method, fault, times } => {
                write!(f, "the next {times} requests ({method}) to the forge end as {fault:?}")
            }
            Self::Outage { on: true } => f.write_str("the forge is down"),
            Self::Outage { on: false } => f.write_str("the forge is up"),
            Self::EmptyLists { on: true } => f.write_str("the forge's lists are empty"),
            Self::EmptyLists { on: false } => f.write_str("the forge's lists are true"),
            Self::Latency(most) => write!(f, "the forge answers after up to {most:?}"),
            Self::ClusterFails { of_thousand } => {
                write!(f, "of the API server's answers {of_thousand} in a thousand go wrong")
            }
            Self::Kill { replica } => write!(f, "replica {replica} is killed"),
            Self::Start { replica } => write!(f, "replica {replica} is started"),
            Self::Pause { replica, paused: true } => write!(f, "replica {replica} stands still"),
            Self::Pause { replica, paused: false } => write!(f, "replica {replica} goes on"),
            Self::Wait(time) => write!(f, "{time:?} pass"),
        }
    }
}

/// The next step; always one that can be taken.
pub(super) fn draw(rng: &Rng, lives: &Lives, most: usize) -> Step {
    loop {
        let drawn = rng.below(100);
        let step = match drawn {
            0..40 => Some(Step::Wait(pause(rng))),
            40..52 if lives.count() < most => Some(Step::Open {
                content: content(rng),
                draft: rng.below(8) == 0,
                fork: rng.below(4) == 0,
            }),
            40..80 => lives.any(rng).and_then(|life| of_life(rng, lives, life)),
            80..88 => Some(forge_trouble(rng)),
            88..94 => Some(deliveries(rng, lives)),
            94..96 => {
                let of_thousand = if rng.below(2) == 0 { 0 } else { 5 + below_u16(rng, 40) };
                Some(Step::ClusterFails { of_thousand })
            }
            _ => Some(replica(rng, lives)),
        };
        if let Some(step) = step {
            return step;
        }
    }
}

fn content(rng: &Rng) -> Content {
    match rng.below(10) {
        0 => Content::Refused,
        1 => Content::Broken,
        _ => Content::Good,
    }
}

/// Mostly moments in which a run is under way; at times a sweep, seldom longer than a camp's lifetime.
fn pause(rng: &Rng) -> Duration {
    match rng.below(120) {
        0..65 => Duration::from_millis(rng.below(2_500)),
        65..105 => Duration::from_millis(rng.below(30_000)),
        105..119 => Duration::from_secs(300 + rng.below(100)),
        _ => Duration::from_secs(3600 * (1 + rng.below(4))),
    }
}

fn of_life(rng: &Rng, lives: &Lives, life: usize) -> Option<Step> {
    let one = lives.get(life)?;
    let step = match rng.below(100) {
        0..30 if one.open => Step::Push { life, content: content(rng), force: rng.below(3) == 0 },
        30..42 if one.open => Step::Close { life },
        42..46 if one.open && one.content == Content::Good && !one.fork && !one.draft => {
            Step::Merge { life }
        }
        0..30 if !one.open && !one.merged => Step::Reopen { life },
        46..54 => Step::Label { life, on: !one.labelled },
        54..58 if one.open => Step::Draft { life, on: !one.draft },
        58..62 => Step::Retitle { life },
        62..70 => Step::Chat { life, mean: rng.below(2) == 0 },
        70..74 => Step::DeleteComment { life },
        74..84 if one.fork && one.open => Step::Approve { life },
        84..90 => Step::Want { life, want: ["Auto", "Up", "Down"][below_usize(rng, 3)] },
        90..94 => Step::DeleteRecord { life },
        94..97 => Step::DeleteNamespace { life },
        97.. => Step::Forge { life, signed: rng.below(2) == 0 },
        _ => return None,
    };
    Some(step)
}

fn forge_trouble(rng: &Rng) -> Step {
    match rng.below(12) {
        0 => Step::Outage { on: rng.below(2) == 0 },
        1 => Step::EmptyLists { on: rng.below(2) == 0 },
        2 => Step::Latency(Duration::from_millis([0, 200, 3_000][below_usize(rng, 3)])),
        _ => Step::ForgeFails {
            method: ["*", "GET", "POST", "PATCH", "FETCH"][below_usize(rng, 5)],
            fault: fault(rng),
            times: 1 + u32::from(below_u16(rng, 4)),
        },
    }
}

fn fault(rng: &Rng) -> Fault {
    match rng.below(12) {
        0 => Fault::Status(404),
        1 => Fault::Status(422),
        2 => Fault::Status(500),
        3 => Fault::Status(401),
        4 => Fault::Mute(403),
        5 => Fault::Page(502),
        6 => Fault::Limited(429, RetryAfter::Seconds(rng.below(120))),
        7 => Fault::Limited(403, RetryAfter::Date(rng.below(120))),
        8 => Fault::Hang,
        9 => Fault::HangAfter,
        10 => Fault::Cut,
        _ => Fault::Short,
    }
}

fn deliveries(rng: &Rng, lives: &Lives) -> Step {
    if lives.count() > 0 && rng.below(2) == 0 {
        return Step::Redeliver { back: rng.below(8) };
    }
    Step::Deliveries(match rng.below(4) {
        0 => DeliveryFaults::default(),
        1 => DeliveryFaults { lost: 100, ..DeliveryFaults::default() },
        _ => DeliveryFaults {
            lost: u8::try_from(rng.below(40)).unwrap_or(0),
            doubled: u8::try_from(rng.below(40)).unwrap_or(0),
            delay: Duration::from_millis(rng.below(20_000)),
        },
    })
}

fn replica(rng: &Rng, lives: &Lives) -> Step {
    let replica = below_usize(rng, 2);
    match lives.replica(replica) {
        None => Step::Start { replica },
        Some(true) => Step::Pause { replica, paused: false },
        Some(false) if rng.below(3) == 0 => Step::Pause { replica, paused: true },
        Some(false) => Step::Kill { replica },
    }
}

fn below_usize(rng: &Rng, bound: u64) -> usize {
    usize::try_from(rng.below(bound)).unwrap_or(0)
}

fn below_u16(rng: &Rng, bound: u64) -> u16 {
    u16::try_from(rng.below(bound)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_steps() {
        let draw_all = |seed| {
            let rng = Rng::seeded(seed);
            let lives = Lives::default();
            (0..100).map(|_| draw(&rng, &lives, 3).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(draw_all(1), draw_all(1));
        assert_ne!(draw_all(1), draw_all(2));
        assert!(draw_all(1).iter().any(|step| step.contains("is opened")));
    }
}
