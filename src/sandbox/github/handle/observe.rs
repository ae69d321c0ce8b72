//! Handle: faults, and what an observer wants to know.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Census;
use crate::sandbox::github::hooks::Outcome;
use crate::sandbox::github::model::Actor;
use crate::sandbox::github::{DeliveryFaults, Exchange, Fault, GitHub, Refusal, RequestRecord};

/// Faults, and what an observer wants to know.
impl GitHub {
    /// The next `times` requests of `method` (`*` is any; `GIT` and `FETCH` are git's) whose path fits `pattern`
    /// (`*` stands for any text; without one it may be anywhere) are answered `status` and do nothing.
    pub fn fail_next(&self, method: &str, pattern: &str, status: u16, times: u32) {
        self.fault_next(method, pattern, Fault::Status(status), times);
    }

    /// As [`fail_next`](Self::fail_next), for every way in which a request can go wrong.
    pub fn fault_next(&self, method: &str, pattern: &str, fault: Fault, times: u32) {
        self.state().faults.fail(method, pattern, fault, times);
    }

    /// A pull request or a comment that was made less than this ago is answered 404, as by a replica that lags behind.
    pub fn set_birth_lag(&self, lag: Duration) {
        self.state().faults.birth = lag;
    }

    /// No page of a list has more rows than this, whatever was asked for.
    pub fn set_page_rows(&self, rows: Option<usize>) {
        self.state().faults.rows = rows;
    }

    /// While a client goes from one page to the next, so many rows before it go away: it never sees as many. Negative: so
    /// many come, and it sees as many twice.
    pub fn set_moving_rows(&self, rows: isize) {
        self.state().faults.moving = rows;
    }

    /// Somebody else makes so many requests with the token of `login` in this hour.
    pub fn spend_points(&self, login: &str, points: u64) -> Result<(), Refusal> {
        let mut state = self.state();
        let (account, now) = (state.need_account(login)?, state.now());
        state.limits.current(Actor::User(account), now).used += points;
        Ok(())
    }

    /// Writes of content in a minute and in an hour, for every identity; `None` is GitHub's own limit.
    pub fn set_content_limits(&self, limits: Option<(usize, usize)>) {
        self.state().limits.content = limits;
    }

    /// From now on every request to the API is kept with its answer. Without this the first 256 are.
    pub fn keep_exchanges(&self) {
        self.state().exchanges.keep_all();
    }

    /// Requests to the API with their answers, word for word, since the last call.
    #[must_use]
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.take()
    }

    /// Ends all that [`fail_next`](Self::fail_next) began.
    pub fn fail_no_more(&self) {
        self.state().faults.fail_no_more();
    }

    /// While on, everything is answered 503.
    pub fn set_outage(&self, on: bool) {
        self.state().faults.outage = on;
    }

    /// While on, lists of pull requests are answered empty, as by a stale index; each one alone is answered as it is.
    pub fn set_empty_lists(&self, on: bool) {
        self.state().faults.empty_lists = on;
    }

    /// Every answer takes up to this long.
    pub fn set_latency(&self, most: Duration) {
        self.state().faults.latency = most;
    }

    /// From now on `mergeable` is null for so long after head or base of a pull request moved.
    pub fn set_merge_delay(&self, delay: Duration) {
        self.state().faults.merge_delay = delay;
    }

    /// How deliveries go wrong from now on.
    pub fn set_delivery_faults(&self, faults: DeliveryFaults) {
        self.state().faults.delivery = faults;
    }

    /// Requests an hour for every identity; `None` is GitHub's own limit.
    pub fn set_rate_limit(&self, limit: Option<u64>) {
        self.state().limits.limit = limit;
    }

    /// The last 100,000 requests that were answered, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state().requests.iter().cloned().collect()
    }

    /// Everything that is still open.
    #[must_use]
    pub fn census(&self) -> Census {
        let state = self.state();
        let mut census = Census {
            deliveries: state.deliveries.values().filter(|d| d.outcome == Outcome::Queued).count(),
            ..Census::default()
        };
        for repo in state.repos.values() {
            let name = state.full_name(repo);
            let open = repo.issues.values().filter(|issue| issue.open && issue.pull.is_some());
            census.pulls.extend(open.map(|issue| format!("{name}#{}", issue.number)));
            let runs = repo.check_runs.values().filter(|run| run.status != "completed");
            census.check_runs.extend(runs.map(|r| format!("{name}@{} {}", r.head_sha, r.name)));
            let active = repo
                .deployments
                .values()
                .filter(|d| !matches!(d.state(), "inactive" | "error" | "failure"));
            let active = active.map(|d| format!("{name} {} ({})", d.task, d.state()));
            census.deployments.extend(active);
            let mut latest = BTreeMap::new();
            for status in &repo.statuses {
                latest.insert((&status.sha, &status.context), &status.state);
            }
            let pending = latest.into_iter().filter(|(_, state)| *state == "pending");
            census.statuses.extend(pending.map(|((sha, c), _)| format!("{name}@{sha} {c}")));
            census.environments.extend(repo.environments.keys().map(|e| format!("{name} {e}")));
        }
        census
    }
}
