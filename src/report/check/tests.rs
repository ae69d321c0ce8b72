//! Check runs against the sandbox's GitHub, which knows nothing of us.
#[cfg(test)]
use super::*;
use crate::domain::check::{CheckView, Level, Remark, Row, Standing, content, external_id, name};
use crate::domain::id::{PrNumber, RepoName};
use crate::forge::{ApiUrl, Apis};
use crate::sandbox::github::{Content, GitHub};
use crate::seams::{Clock, Rng};

struct World {
    github: GitHub,
    forge: Forge,
    head: Revision,
    _dir: tempfile::TempDir,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let root = dir.path().join("git");
    let github = GitHub::new(root, "http://github.test", clock.clone(), Rng::seeded(7));
    github.create_user("olga").unwrap();
    github.create_org("acme", "olga").unwrap();
    github.create_repo("acme/shop").unwrap();
    let head = github.commit("acme/shop", "main", &Content::from([("a", "1")]), "Start", "olga");
    let permissions = [("checks", "write"), ("metadata", "read")];
    let app = github.register_app("camper", "acme", None, &permissions).unwrap();
    let installation = github.install_app(app, "acme", None).unwrap();
    let token = github.installation_token(installation).unwrap();
    let apis = Apis::new(github.transport(), clock);
    let url = ApiUrl::parse("http://github.test/api/v3", true).unwrap();
    let forge =
        apis.api(&url, &token.into()).unwrap().forge(RepoName::parse("acme", "shop").unwrap());
    World { github, forge, head: Revision::parse(&head.unwrap()).unwrap(), _dir: dir }
}

impl World {
    fn plan(&self, remarks: usize, reason: &str, recorded: Option<RecordedCheck>) -> CheckPlan {
        let remarks = (0..remarks).map(|n| Remark {
            level: Level::Failure,
            rule: Some("BV001".into()),
            file: Some("deploy/web.yaml".into()),
            line: u32::try_from(n + 1).ok(),
            message: format!("finding {n}"),
            hint: None,
        });
        let row = Row {
            number: PrNumber(7),
            branch: None,
            standing: Standing::Failed,
            reason: Some(reason.into()),
            apps: Vec::new(),
            expires_at: None,
            remarks: remarks.collect(),
        };
        let view = CheckView { rows: vec![row], buttons: true, ..CheckView::default() };
        CheckPlan {
            revision: self.head.clone(),
            name: name("main"),
            external_id: external_id("main", &self.head),
            content: content(&view),
            recorded,
        }
    }

    async fn post(&self, plan: &CheckPlan) -> RecordedCheck {
        post_check(&self.forge, plan, CheckKind::Run).await.unwrap()
    }

    /// Count of annotations of each run.
    fn runs(&self) -> Vec<usize> {
        let runs = self.github.check_runs("acme/shop").unwrap();
        runs.iter().map(|run| run.annotations.len()).collect()
    }

    fn writes(&self) -> usize {
        self.github.requests().iter().filter(|request| request.method != "GET").count()
    }
}

#[tokio::test(start_paused = true)]
async fn annotations_go_in_batches_and_are_never_told_twice() {
    let world = world();
    let first = world.post(&world.plan(120, "", None)).await;
    assert_eq!((world.runs(), world.writes()), (vec![120], 3), "fifty at most in a request");
    let again = world.post(&world.plan(120, "", Some(first.clone()))).await;
    assert_eq!((again, world.writes()), (first.clone(), 3), "nothing has changed");

    // Another text, and the same annotations.
    let forgotten = RecordedCheck { hash: String::new(), ..first.clone() };
    let other = world.post(&world.plan(120, "", Some(forgotten))).await;
    assert_eq!((world.runs(), world.writes(), other.id), (vec![120], 4, first.id));
    // Nobody knows the run: it is found, and nothing is added to it.
    let found = world.post(&world.plan(120, "", None)).await;
    assert_eq!((world.runs(), found.id), (vec![120], first.id));
    // What was told is not true any more: a new run takes the place.
    let fewer = world.post(&world.plan(2, "", Some(found))).await;
    assert_eq!(world.runs(), [120, 2]);
    assert_ne!(fewer.id, first.id);
    // The newest one is the one that is found.
    assert_eq!(world.post(&world.plan(2, "", None)).await.id, fewer.id);
    assert_eq!(world.runs(), [120, 2]);
}

#[tokio::test(start_paused = true)]
async fn annotations_may_come_later() {
    let world = world();
    let plain = world.post(&world.plan(0, "why", None)).await;
    assert_eq!((world.runs(), plain.annotations.as_str()), (vec![0], ""));
    let more = world.post(&world.plan(60, "why", Some(plain.clone()))).await;
    assert_eq!((world.runs(), more.id), (vec![60], plain.id));
    let lost = RecordedCheck { id: Some(999_999), hash: String::new(), ..more };
    let anew = world.post(&world.plan(60, "why", Some(lost))).await;
    assert_eq!(world.runs(), [60, 60], "a run that is not there is made anew");
    assert_ne!(anew.id, plain.id);
}
