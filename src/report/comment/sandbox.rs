//! The client and the sticky comment against the sandbox's GitHub, which knows nothing of them.
#[cfg(test)]
use super::*;
use crate::domain::comment::{CommentView, Phase, render};
use crate::domain::id::RepoName;
use crate::domain::pull_request::State;
use crate::forge::{ApiUrl, Apis, Permission};
use crate::sandbox::github::{Content, GitHub, NewPull, Role};
use crate::seams::{Clock, Rng};

struct World {
    github: GitHub,
    forge: Forge,
    pr: PrNumber,
    _dir: tempfile::TempDir,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let root = dir.path().join("git");
    let github = GitHub::new(root, "http://github.test", clock.clone(), Rng::seeded(7));
    github.create_user("olga").unwrap();
    github.create_user("bivouac-bot").unwrap();
    github.create_org("acme", "olga").unwrap();
    github.create_repo("acme/shop").unwrap();
    github.add_collaborator("acme/shop", "bivouac-bot", Role::Write).unwrap();
    github.commit("acme/shop", "main", &Content::from([("a", "1")]), "Start", "olga").unwrap();
    github.commit("acme/shop", "blue", &Content::from([("a", "2")]), "Blue", "olga").unwrap();
    let new = NewPull {
        head: "blue".into(),
        base: "main".into(),
        title: "Go blue".into(),
        body: None,
        draft: false,
    };
    let pr = PrNumber(github.open_pull_request("acme/shop", &new, "olga").unwrap());
    let apis = Apis::new(github.transport(), clock);
    let url = ApiUrl::parse("http://github.test/api/v3", true).unwrap();
    let token = github.token_for("bivouac-bot").unwrap();
    let forge =
        apis.api(&url, &token.into()).unwrap().forge(RepoName::parse("acme", "shop").unwrap());
    World { github, forge, pr, _dir: dir }
}

impl World {
    fn plan(&self, stage: &str, recorded: Option<Recorded>) -> CommentPlan {
        let view = CommentView {
            instance: "main".into(),
            namespace: "bivouac".into(),
            environment: "shop-pr-1".into(),
            prefix: "/preview".into(),
            revision: None,
            merged_with: None,
            phase: Phase::Working { stage: stage.into() },
            apps: Vec::new(),
            expires_at: None,
            ending: None,
            took: None,
            rendered_from: Vec::new(),
            changes: None,
            notes: Vec::new(),
            log_of_end: None,
            why: Vec::new(),
        };
        CommentPlan {
            pr: self.pr,
            instance: "main".into(),
            record: "uid-1".into(),
            recorded,
            text: render(&view),
        }
    }

    fn comments(&self) -> Vec<(u64, String)> {
        let comments = self.github.comments("acme/shop", self.pr.0).unwrap();
        comments.into_iter().map(|comment| (comment.id, comment.author)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_is_seen_from_its_opening_to_its_merge() {
    let world = world();
    let (forge, github) = (&world.forge, &world.github);
    let info = forge.repository().await.unwrap();
    assert_eq!(info.id, github.repo_id("acme/shop").unwrap());
    assert_eq!(info.permission, Some(Permission::Write));
    assert_eq!(forge.viewer().await.unwrap().login, "bivouac-bot");
    assert!(forge.permission("olga").await.unwrap() >= Permission::Admin);

    let seen = forge.pull_request(world.pr).await.unwrap();
    assert_eq!(seen.state, State::Open);
    assert_eq!(Some(seen.head.revision.as_str()), github.head("acme/shop", "blue").as_deref());
    assert!(!seen.is_from_fork());
    assert_eq!(forge.open_pull_requests().await.unwrap().len(), 1);

    github.label("acme/shop", world.pr.0, "preview", "olga").unwrap();
    assert_eq!(forge.pull_request(world.pr).await.unwrap().labels, ["preview"]);

    github.rename_repository("acme/shop", "store", "olga").unwrap();
    assert_eq!(forge.repository().await.unwrap().name.name(), "store", "followed to its new name");
    assert_eq!(forge.repository_by_id(info.id).await.unwrap().name.name(), "store");
    github.merge("acme/store", world.pr.0, "olga").unwrap();
    let seen = forge.pull_request(world.pr).await.unwrap();
    assert!(seen.merged && seen.state == State::Closed);
    assert_eq!(forge.open_pull_requests().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn one_comment_through_its_life() {
    let world = world();
    let (forge, github) = (&world.forge, &world.github);
    let first = post(forge, &world.plan("fetching", None)).await.unwrap();
    let copy = github.comments("acme/shop", world.pr.0).unwrap()[0].body.clone();
    let talk = github.comment("acme/shop", world.pr.0, &copy, "olga").unwrap();
    let again = post(forge, &world.plan("fetching", None)).await.unwrap();
    assert_eq!((again.wrote, &again.recorded), (false, &first.recorded));

    github.delete_comment("acme/shop", first.recorded.id, "olga").unwrap();
    let second = post(forge, &world.plan("applying", Some(first.recorded))).await.unwrap();
    let expected = vec![(talk, "olga".to_owned()), (second.recorded.id, "bivouac-bot".to_owned())];
    assert_eq!(world.comments(), expected, "olga's copy of the marker is hers");

    github.fail_next("PATCH", "/repos/acme/shop/issues/comments/*", 502, 1);
    let plan = world.plan("ready", Some(second.recorded));
    let error = post(forge, &plan).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient { not_before: None });
    let third = post(forge, &plan).await.unwrap();
    assert_eq!((third.wrote, third.recorded.sequence), (true, 3));
    assert_eq!(world.comments(), expected);
}
