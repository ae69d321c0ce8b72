//! I/O (reading) with the sandbox · the promises that must hold once all is calm: (what people see at the forge and in the
//! cluster) → what is broken.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use super::act::World;
use super::lives::{Content, Life};
use crate::app::stage::{BOT, REPOSITORY};
use crate::crd::{Environment, EnvironmentSpec, Phase, Want};
use crate::sandbox::github::PullView;
use crate::seams::BoxError;

/// A promise that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

/// How a pull request may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Closed,
    /// No camp, and a comment with this heading.
    Away(&'static str),
    /// Not selected: no camp, and a comment only when there was one before.
    Unselected,
    /// Its page shows the head.
    Ready,
    /// Its head can't be run; what ran before may go on.
    Refused,
}

const ONE: &str = "exactly one comment by us on each pull request";
const TRUE: &str = "the comment says the truth about the last state";
const ENDED: &str = "no deployment is left active for a closed pull request";
const GONE: &str = "no environment is left for what should have none";
const THERE: &str = "no environment is missing for an eligible pull request";
const UNTRUSTED: &str = "nothing of an unapproved commit is fetched";
const OTHERS: &str = "comments of others are left as they are";
const FORGED: &str = "a forged delivery is refused";
/// Checked last: see [`World::at_rest`].
pub(super) const REST: &str = "what stands costs no writes";

/// Checked last: see [`World::too_many`].
const FEW: &str = "requests are few";

/// Most requests to the cluster, leases apart, and to the forge: so many, and so many more for each pull request.
struct Most {
    cluster: [usize; 2],
    forge: [usize; 2],
}

/// In the last quarter of an hour: sweeps and watches that are opened again. What looped would ask thousands of times.
const AT_REST: Most = Most { cluster: [160, 60], forge: [30, 15] };
/// In any hour, whatever happens in it.
const EVER: Most = Most { cluster: [2_000, 2_000], forge: [300, 300] };

struct Judge<'a> {
    world: &'a World,
    broken: Vec<Broken>,
}

impl Judge<'_> {
    fn says(&mut self, promise: &'static str, seen: impl Into<String>) {
        self.broken.push(Broken { promise, seen: seen.into() });
    }
}

impl World {
    /// Everything that is not as promised now.
    pub(super) async fn broken(&self) -> Result<Vec<Broken>, BoxError> {
        let mut judge = Judge { world: self, broken: Vec::new() };
        let mut namespaces: BTreeSet<String> = self.stage.camps().await?.into_iter().collect();
        for life in self.lives.all() {
            judge.life(life, &mut namespaces).await?;
        }
        for stray in namespaces {
            judge.says(GONE, format!("the namespace {stray} is of no pull request"));
        }
        judge.unapproved();
        for seen in &self.lives.taken_in {
            judge.says(FORGED, seen);
        }
        Ok(judge.broken)
    }

    /// Whether a camp is so old that its end, or the warning of it, may come at any moment.
    pub(super) fn ends_soon(&self) -> bool {
        let now = self.stage.clock.now();
        self.lives.all().iter().any(|life| now - life.pushed > Duration::minutes(75))
    }

    /// Where the service asked more than what happened can explain: since `rest`, and in each hour of the run.
    pub(super) fn too_many(&self, start: DateTime<Utc>, rest: DateTime<Utc>) -> Vec<Broken> {
        let cluster: Vec<DateTime<Utc>> = self
            .stage
            .cluster
            .audit()
            .into_iter()
            .filter(|event| {
                event.user.starts_with("system:serviceaccount:bivouac-system:")
                    && event.resource != "leases"
            })
            .map(|event| event.at)
            .collect();
        let forge: Vec<DateTime<Utc>> =
            self.stage.github.requests().into_iter().map(|request| request.at).collect();
        let lives = self.lives.count();
        let mut broken = Vec::new();
        for (whom, asked, at_rest, ever) in [
            ("cluster", cluster, AT_REST.cluster, EVER.cluster),
            ("forge", forge, AT_REST.forge, EVER.forge),
        ] {
            let most = |[base, each]: [usize; 2]| base + each * lives;
            let count = asked.iter().filter(|at| **at >= rest).count();
            if count > most(at_rest) {
                let seen = format!("at rest the {whom} was asked {count} times in 15 minutes");
                broken.push(Broken { promise: FEW, seen });
            }
            let mut hours: BTreeMap<i64, usize> = BTreeMap::new();
            for at in asked {
                *hours.entry((at - start).num_hours()).or_default() += 1;
            }
            for (hour, count) in hours.into_iter().filter(|(_, count)| *count > most(ever)) {
                let seen = format!("the {whom} was asked {count} times in hour {hour}");
                broken.push(Broken { promise: FEW, seen });
            }
        }
        broken
    }

    /// What the service wrote since `since`, beside its Lease.
    pub(super) fn writes_since(&self, since: DateTime<Utc>) -> Vec<Broken> {
        let in_cluster = self.stage.cluster.audit().into_iter().filter(|event| {
            event.at >= since
                && event.user.starts_with("system:serviceaccount:bivouac-system:")
                && !matches!(event.verb.as_str(), "get" | "list" | "watch")
                && event.resource != "leases"
                // The time of the last sweep is written once in a while.
                && event.resource != "repositories"
        });
        let in_cluster =
            in_cluster.map(|event| format!("{} {} {}", event.at, event.verb, event.uri));
        let at_forge = self.stage.github.requests().into_iter().filter(|request| {
            request.at >= since
                && !matches!(request.method.as_str(), "GET" | "HEAD" | "FETCH" | "GIT")
        });
        let at_forge = at_forge.map(|r| format!("{} {} {} {}", r.at, r.method, r.path, r.status));
        in_cluster.chain(at_forge).map(|seen| Broken { promise: REST, seen }).collect()
    }
}

impl Judge<'_> {
    async fn life(
        &mut self,
        life: &Life,
        namespaces: &mut BTreeSet<String>,
    ) -> Result<(), BoxError> {
        let stage = &self.world.stage;
        let number = life.number;
        let pull = stage.github.pull_request(REPOSITORY, number)?;
        let record = stage.environment(number).await;
        let namespace = namespaces.take(&stage.namespace_of(number));
        let spec = record.as_ref().map(|record| &record.spec);
        let due = due(life, &pull, spec, stage.clock.now());
        if pull.open && record.is_none() {
            self.says(THERE, format!("#{number} is open and has no record"));
            return Ok(());
        }
        self.deployments(life, &due)?;
        self.comments(life, &pull, &due)?;
        let camp_allowed = due.iter().any(|due| matches!(due, Due::Ready | Due::Refused));
        if let Some(namespace) = namespace.filter(|_| !camp_allowed) {
            self.says(GONE, format!("#{number} is {due:?} and {namespace} stands"));
        }
        if due == [Due::Ready] {
            self.page(&pull, record.as_ref()).await;
        }
        if due == [Due::Closed]
            && let Some(status) = record.and_then(|record| record.status)
            && status.phase != Some(Phase::Closed)
        {
            self.says(GONE, format!("#{number} is closed and its record is {:?}", status.phase));
        }
        Ok(())
    }

    async fn page(&mut self, pull: &PullView, record: Option<&Environment>) {
        let PullView { number, head, .. } = pull;
        let status = record.and_then(|record| record.status.clone()).unwrap_or_default();
        if !status.holds("Ready") || status.revision.as_ref() != Some(head) {
            let (phase, revision) = (status.phase, status.revision);
            let seen = format!("#{number} at {head} is {phase:?} with {revision:?}");
            self.says(THERE, seen);
            return;
        }
        let url = status.urls.first().map(|entry| entry.url.clone()).unwrap_or_default();
        match self.world.stage.browse(&url).await {
            Ok((200, page)) if page.contains(head) => {}
            Ok((code, _)) => {
                self.says(THERE, format!("#{number}: {url} answers {code} and not {head}"));
            }
            Err(error) => self.says(THERE, format!("#{number}: {url} does not answer: {error}")),
        }
    }

    fn comments(&mut self, life: &Life, pull: &PullView, due: &[Due]) -> Result<(), BoxError> {
        let number = life.number;
        let comments = self.world.stage.github.comments(REPOSITORY, number)?;
        for (id, text) in &life.chats {
            let kept = comments.iter().any(|comment| comment.id == *id && comment.body == *text);
            if !kept {
                self.says(OTHERS, format!("#{number}: comment {id} is not as it was"));
            }
        }
        let ours: Vec<_> = comments.iter().filter(|comment| comment.author == BOT).collect();
        let [only] = ours.as_slice() else {
            let optional = due.iter().any(|due| matches!(due, Due::Closed | Due::Unselected));
            if !ours.is_empty() || !(optional || life.comment_deleted) {
                self.says(ONE, format!("#{number} is {due:?} and has {} comments", ours.len()));
            }
            return Ok(());
        };
        let unknown =
            life.forgotten && due.iter().any(|d| matches!(d, Due::Closed | Due::Unselected));
        let true_to = |due: &Due| says(&only.body, *due, &pull.head);
        if !due.iter().any(true_to) && !life.comment_deleted && !unknown {
            let heading = only.body.lines().find(|line| line.starts_with("###"));
            let heading = heading.unwrap_or_default();
            let head = &pull.head;
            self.says(TRUE, format!("#{number} at {head} is {due:?} and it says {heading:?}"));
        }
        Ok(())
    }

    fn deployments(&mut self, life: &Life, due: &[Due]) -> Result<(), BoxError> {
        let task = format!("bivouac:demo:pr-{}", life.number);
        let all = self.world.stage.github.deployments(REPOSITORY)?;
        let active = all.iter().filter(|deployment| {
            deployment.task == task
                && !deployment
                    .states
                    .last()
                    .is_some_and(|s| matches!(s.as_str(), "inactive" | "error" | "failure"))
        });
        let active: Vec<&str> = active.map(|deployment| deployment.sha.as_str()).collect();
        let allowed = due.iter().any(|due| matches!(due, Due::Ready | Due::Refused));
        if life.forgotten && !allowed {
            return Ok(());
        }
        if active.len() > 1 || (!allowed && !active.is_empty()) {
            let number = life.number;
            self.says(ENDED, format!("#{number} is {due:?}, deployments are active of {active:?}"));
        }
        Ok(())
    }

    fn unapproved(&mut self) {
        let lives = self.world.lives.all();
        let unapproved: BTreeSet<&str> = lives
            .iter()
            .filter(|life| life.fork)
            .flat_map(|life| life.heads.iter().filter(|head| !life.approved.contains(*head)))
            .map(String::as_str)
            .collect();
        for request in self.world.stage.github.requests() {
            let commit = request.path.rsplit('@').next().unwrap_or_default();
            if request.method == "FETCH" && unapproved.contains(commit) {
                self.says(UNTRUSTED, format!("{} was fetched at {}", commit, request.at));
            }
        }
    }
}

/// Whether the comment is what `due` asks for.
fn says(comment: &str, due: Due, head: &str) -> bool {
    let heading = |wanted: &str| comment.lines().any(|line| line.trim_end() == wanted);
    match due {
        Due::Closed => heading("### Preview is gone"),
        Due::Away(wanted) => heading(wanted),
        Due::Unselected => heading("### No preview"),
        Due::Ready => heading("### Preview is ready") && comment.contains(head),
        Due::Refused => heading("### Preview is refused") && comment.contains(head),
    }
}

/// What may be shown now: one thing, or two around the end of a lifetime.
fn due(
    life: &Life,
    pull: &PullView,
    spec: Option<&EnvironmentSpec>,
    now: DateTime<Utc>,
) -> Vec<Due> {
    if !pull.open {
        return vec![Due::Closed];
    }
    let want = spec.map(|spec| spec.want).unwrap_or_default();
    if want == Want::Down {
        return vec![Due::Away("### Preview is switched off")];
    }
    let (alive, expired) = (alive(life, pull, spec), Due::Away("### Preview has expired"));
    // No time runs for a camp that was never made.
    let runs = alive == Due::Ready;
    match () {
        () if runs && now - life.touched > Duration::minutes(300) => vec![expired],
        () if now - life.pushed > Duration::minutes(230) => vec![alive, expired],
        () => vec![alive],
    }
}

fn alive(life: &Life, pull: &PullView, spec: Option<&EnvironmentSpec>) -> Due {
    let approved = spec.and_then(|spec| spec.approved.as_ref());
    let approved = approved.is_some_and(|a| a.revision == pull.head && a.base == pull.base);
    if life.fork && !approved {
        return Due::Away("### Preview waits for approval");
    }
    let want = spec.map(|spec| spec.want).unwrap_or_default();
    if want != Want::Up && pull.labels.iter().any(|label| label == super::act::LABEL) {
        return Due::Unselected;
    }
    match life.content {
        Content::Good => Due::Ready,
        Content::Refused | Content::Broken => Due::Refused,
    }
}
