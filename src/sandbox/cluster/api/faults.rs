//! What goes wrong on purpose: (settings, seeded numbers, request) → delay, refusal, cut. No I/O.

use std::time::Duration;

use crate::seams::Rng;

use super::status::ApiError;

/// How often things go wrong, in requests of a thousand. The default is never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Every answer waits for a time between none and this.
    pub latency: Duration,
    /// Writes that are refused as 409, as if somebody had been faster.
    pub conflicts: u16,
    /// Requests that are refused as 429 with `Retry-After: 1`.
    pub too_many: u16,
    /// Requests that end in 500 (before anything is written) or 503.
    pub server_errors: u16,
    /// Writes that are done and answered 504, as when the answer is lost.
    pub lost_answers: u16,
    /// Watches that end early, after up to ten seconds.
    pub cut_watches: u16,
    /// Requests of these users (say the sandbox's own agents) never fail.
    pub spared_users: Vec<String>,
}

/// How much later some things come true, as in a real cluster. The default is at once.
///
/// Other lags of a real cluster come from the controllers, which are clients of this server: a quota refuses with
/// `status unknown` until its status is there, and pods are refused until their service account exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lags {
    /// A change of roles or bindings takes effect after a time between none and this; real: up to 2 s.
    pub authoriser: Duration,
}

/// What is to happen to one request.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) delay: Duration,
    pub(crate) refusal: Option<ApiError>,
    pub(crate) lost: bool,
    pub(crate) cut_after: Option<Duration>,
}

impl FaultPlan {
    /// Draws the fate of one request. A plan without faults draws nothing, so that it changes no other number.
    pub(crate) fn fate(&self, rng: &Rng, user: &str, verb: &str) -> Fate {
        let mut fate = Fate::default();
        if *self == Self::default() || self.spared_users.iter().any(|spared| spared == user) {
            return fate;
        }
        let hit = |of_thousand: u16| of_thousand > 0 && rng.below(1000) < u64::from(of_thousand);
        if !self.latency.is_zero() {
            let most = u64::try_from(self.latency.as_micros()).unwrap_or(u64::MAX);
            fate.delay = Duration::from_micros(rng.below(most));
        }
        let writes = matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection");
        if hit(self.too_many) {
            fate.refusal =
                Some(ApiError::too_many_requests("too many requests, please try again later", 1));
        } else if hit(self.server_errors) {
            fate.refusal = Some(if rng.below(2) == 0 {
                ApiError::internal("etcdserver: request timed out")
            } else {
                ApiError::new(503, "ServiceUnavailable", "apiserver not ready")
            });
        } else if matches!(verb, "update" | "patch") && hit(self.conflicts) {
            fate.refusal = Some(ApiError::new(
                409,
                "Conflict",
                "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
            ));
        } else if writes && hit(self.lost_answers) {
            fate.lost = true;
        } else if verb == "watch" && hit(self.cut_watches) {
            fate.cut_after = Some(Duration::from_millis(rng.below(10_000)));
        }
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_fates_and_no_plan_draws_no_number() {
        let plan = FaultPlan { too_many: 100, server_errors: 100, ..FaultPlan::default() };
        let draw = || {
            let rng = Rng::seeded(3);
            (0..200)
                .map(|_| plan.fate(&rng, "a", "get").refusal.map_or(0, |e| e.code))
                .collect::<Vec<u16>>()
        };
        let codes = draw();
        assert_eq!(codes, draw());
        assert!(codes.contains(&429) && codes.contains(&0) && codes.iter().any(|c| *c >= 500));
        let (used, fresh) = (Rng::seeded(9), Rng::seeded(9));
        FaultPlan::default().fate(&used, "a", "create");
        assert_eq!(used.u64(), fresh.u64());
    }
}
