//! PURE · what may still be written at a forge: what is left out when a rate gets short, what is only put off, and what
//! the budgets are. No I/O.

use std::time::Duration;

/// Writes of content in a minute.
pub const MOST_IN_A_MINUTE: usize = 80;
/// Writes of content in an hour.
pub const MOST_IN_AN_HOUR: usize = 500;

/// What a write to the forge says. The first five are never left out: somebody waits for them, and nothing else tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    /// Where the preview is.
    Url,
    /// That something went wrong.
    Failure,
    /// That there will be no preview, or not yet, and why.
    Refusal,
    /// That the preview is gone.
    Closing,
    /// The answer to a command.
    Answer,
    /// How far the work has come.
    Progress,
    /// The place in a queue.
    QueueMove,
    /// The status of a deployment.
    DeploymentStatus,
    /// A deployment.
    Deployment,
    /// The reaction that says "seen".
    Eyes,
}

impl WriteKind {
    /// Whether it is left out, and not put off, when the rate is short.
    #[must_use]
    pub fn can_be_left_out(self) -> bool {
        match self {
            Self::Url | Self::Failure | Self::Refusal | Self::Closing | Self::Answer => false,
            Self::Progress
            | Self::QueueMove
            | Self::DeploymentStatus
            | Self::Deployment
            | Self::Eyes => true,
        }
    }
}

/// Whether a write may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Yes.
    Now,
    /// Not at all: it is not worth what is left.
    LeaveOut,
    /// Yes, after this time.
    After(Duration),
}

/// Writes in a span of time that moves along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// So many were made.
    pub used: usize,
    /// So many may be.
    pub most: usize,
    /// When the oldest one no longer counts.
    pub frees_in: Duration,
}

impl Window {
    fn wait(self) -> Duration {
        if self.used >= self.most { self.frees_in } else { Duration::ZERO }
    }

    /// A quarter is left, or less.
    fn is_short(self) -> bool {
        self.used * 4 >= self.most * 3
    }
}

/// Requests of an hour, as the forge counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points {
    /// So many are left.
    pub left: u64,
    /// So many there are in an hour.
    pub limit: u64,
    /// When all are there again.
    pub reset_in: Duration,
}

impl Points {
    fn wait(self) -> Duration {
        if self.left == 0 { self.reset_in } else { Duration::ZERO }
    }

    /// A tenth is left, or less.
    fn is_short(self) -> bool {
        self.left.saturating_mul(10) <= self.limit
    }
}

/// What one token, or one installation of an App, may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The forge asked to wait for so long.
    pub blocked_for: Duration,
    /// Unknown until the forge has answered.
    pub points: Option<Points>,
    /// Content of the last minute.
    pub minute: Window,
    /// Content of the last hour.
    pub hour: Window,
}

impl Budget {
    /// Whether what can be left out is left out.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.wait().is_zero()
            || self.minute.is_short()
            || self.hour.is_short()
            || self.points.is_some_and(Points::is_short)
    }

    fn wait(&self) -> Duration {
        let points = self.points.map_or(Duration::ZERO, Points::wait);
        self.blocked_for.max(points).max(self.minute.wait()).max(self.hour.wait())
    }
}

/// Whether a write of that kind may go out.
#[must_use]
pub fn may(kind: WriteKind, budget: &Budget) -> May {
    if kind.can_be_left_out() {
        return if budget.is_short() { May::LeaveOut } else { May::Now };
    }
    match budget.wait() {
        Duration::ZERO => May::Now,
        wait => May::After(wait),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [WriteKind; 10] = [
        WriteKind::Url,
        WriteKind::Failure,
        WriteKind::Refusal,
        WriteKind::Closing,
        WriteKind::Answer,
        WriteKind::Progress,
        WriteKind::QueueMove,
        WriteKind::DeploymentStatus,
        WriteKind::Deployment,
        WriteKind::Eyes,
    ];

    fn plenty() -> Budget {
        let window = |most| Window { used: 0, most, frees_in: Duration::ZERO };
        Budget {
            blocked_for: Duration::ZERO,
            points: None,
            minute: window(MOST_IN_A_MINUTE),
            hour: window(MOST_IN_AN_HOUR),
        }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn when_a_rate_is_short_some_is_left_out_and_the_rest_goes_until_nothing_is_left() {
        use May::{After, LeaveOut, Now};
        let minute =
            |used| Budget { minute: Window { used, most: 80, frees_in: seconds(40) }, ..plenty() };
        let hour =
            |used| Budget { hour: Window { used, most: 500, frees_in: seconds(1800) }, ..plenty() };
        let points = |left| Budget {
            points: Some(Points { left, limit: 5000, reset_in: seconds(900) }),
            ..plenty()
        };
        let blocked = |wait| Budget { blocked_for: seconds(wait), ..plenty() };
        for (name, budget, progress, url) in [
            ("plenty", plenty(), Now, Now),
            ("59 in a minute", minute(59), Now, Now),
            ("60 in a minute", minute(60), LeaveOut, Now),
            ("79 in a minute", minute(79), LeaveOut, Now),
            ("80 in a minute", minute(80), LeaveOut, After(seconds(40))),
            ("374 in an hour", hour(374), Now, Now),
            ("375 in an hour", hour(375), LeaveOut, Now),
            ("500 in an hour", hour(500), LeaveOut, After(seconds(1800))),
            ("501 points", points(501), Now, Now),
            ("500 points", points(500), LeaveOut, Now),
            ("1 point", points(1), LeaveOut, Now),
            ("no point", points(0), LeaveOut, After(seconds(900))),
            ("asked to wait", blocked(60), LeaveOut, After(seconds(60))),
        ] {
            for kind in ALL {
                let expected = if kind.can_be_left_out() { progress } else { url };
                assert_eq!(may(kind, &budget), expected, "{name}: {kind:?}");
            }
        }
    }

    #[test]
    fn the_longest_of_all_waits_counts() {
        let budget = Budget {
            blocked_for: seconds(10),
            points: Some(Points { left: 0, limit: 60, reset_in: seconds(30) }),
            minute: Window { used: 80, most: 80, frees_in: seconds(20) },
            ..plenty()
        };
        assert_eq!(may(WriteKind::Closing, &budget), May::After(seconds(30)));
    }

    proptest! {
        #[test]
        fn what_people_wait_for_is_never_left_out(
            blocked in 0_u64..9000, left in 0_u64..6000, limit in 0_u64..6000, reset in 0_u64..4000,
            minute in 0_usize..100, hour in 0_usize..600, kind in prop::sample::select(ALL.to_vec()),
        ) {
            let budget = Budget {
                blocked_for: seconds(blocked),
                points: Some(Points { left, limit, reset_in: seconds(reset) }),
                minute: Window { used: minute, most: MOST_IN_A_MINUTE, frees_in: seconds(5) },
                hour: Window { used: hour, most: MOST_IN_AN_HOUR, frees_in: seconds(6) },
            };
            let said = may(kind, &budget);
            if kind.can_be_left_out() {
                prop_assert!(!matches!(said, May::After(_)));
            } else {
                prop_assert!(said != May::LeaveOut);
            }
        }
    }
}
