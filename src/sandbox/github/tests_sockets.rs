//! Tests of the sandbox GitHub over real sockets: octocrab as a client, and the real `git`.

#[cfg(test)]
use std::path::Path;

use octocrab::Octocrab;
use octocrab::params::State as Which;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::*;

/// A sandbox that listens, with `acme/shop` and pull request 1 from `blue`.
struct Served {
    github: GitHub,
    server: JoinHandle<std::io::Result<()>>,
    dir: TempDir,
}

impl Served {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let github = GitHub::new(dir.path().join("git"), &url, clock, Rng::seeded(1));
        github.create_user("olga").unwrap();
        github.create_user("mallory").unwrap();
        github.create_repo("olga/shop").unwrap();
        let files = Content::from([("deploy/app.yaml", "kind: Pod\n")]);
        github.commit("olga/shop", "main", &files, "Start\n", "olga").unwrap();
        let files = Content::from([("deploy/app.yaml", "kind: Service\n")]);
        github.commit("olga/shop", "blue", &files, "Go blue\n", "olga").unwrap();
        let new = NewPull {
            head: "blue".into(),
            base: "main".into(),
            title: "Go blue".into(),
            ..NewPull::default()
        };
        github.open_pull_request("olga/shop", &new, "olga").unwrap();
        let server = tokio::spawn({
            let github = github.clone();
            async move { github.serve(listener).await }
        });
        Self { github, server, dir }
    }

    fn client(&self, login: &str) -> Octocrab {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Octocrab::builder()
            .base_uri(format!("{}/api/v3", self.github.url()))
            .unwrap()
            .personal_token(self.github.token_for(login).unwrap())
            .build()
            .unwrap()
    }

    async fn end(self) {
        self.github.stop();
        self.server.await.unwrap().unwrap();
    }

    /// Runs git in `folder`; its output, or its error output.
    async fn git(&self, folder: &Path, args: &[&str]) -> Result<String, String> {
        let output = Command::new("git")
            .args(["-c", "user.name=olga", "-c", "user.email=olga@example.com"])
            .args(args)
            .current_dir(folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .await
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Address with the token of `login` in it, as git sends it.
    fn clone_url(&self, login: &str) -> String {
        let token = self.github.token_for(login).unwrap();
        let place = self.github.url().replace("http://", "");
        format!("http://x-access-token:{token}@{place}/olga/shop.git")
    }
}

#[tokio::test]
async fn octocrab_understands_every_answer_that_we_need() {
    let served = Served::new().await;
    let olga = served.client("olga");
    let repo = olga.repos("olga", "shop").get().await.unwrap();
    assert_eq!(repo.full_name.as_deref(), Some("olga/shop"));
    assert!(repo.permissions.unwrap().admin);
    let by_id: octocrab::models::Repository =
        olga.get(format!("/repositories/{}", repo.id), None::<&()>).await.unwrap();
    assert_eq!(by_id.id, repo.id);

    let pulls = olga.pulls("olga", "shop");
    let pull = pulls.get(1).await.unwrap();
    assert_eq!((pull.changed_files, pull.commits, pull.mergeable), (Some(1), Some(1), Some(true)));
    assert_eq!(pull.user.as_ref().unwrap().login, "olga");
    let page = pulls.list().state(Which::All).per_page(1).send().await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    let files = pulls.list_files(1).await.unwrap();
    assert_eq!(files.items[0].filename, "deploy/app.yaml");

    let issues = olga.issues("olga", "shop");
    let mut ids = Vec::new();
    for n in 0..3 {
        let comment = issues.create_comment(1, format!("comment {n}")).await.unwrap();
        ids.push(comment.id);
    }
    let first = issues.list_comments(1).per_page(2).send().await.unwrap();
    let second: octocrab::Page<octocrab::models::issues::Comment> =
        olga.get_page(&first.next).await.unwrap().unwrap();
    assert_eq!((first.items.len(), second.items.len()), (2, 1));
    let edited = issues.update_comment(ids[0], "edited").await.unwrap();
    assert_eq!(edited.body.as_deref(), Some("edited"));
    issues.delete_comment(ids[1]).await.unwrap();
    let gone = issues.get_comment(ids[1]).await.unwrap_err();
    let octocrab::Error::GitHub { source, .. } = gone else { panic!("{gone}") };
    assert_eq!((source.message.as_str(), source.status_code.as_u16()), ("Not Found", 404));
    let eyes = octocrab::models::reactions::ReactionContent::Eyes;
    let reaction = issues.create_comment_reaction(ids[0], eyes.clone()).await.unwrap();
    assert_eq!(reaction.content, eyes);
    let labels = issues.add_labels(1, &["preview".to_owned()]).await.unwrap();
    assert_eq!(labels[0].name, "preview");
    assert_eq!(issues.remove_label(1, "preview").await.unwrap().len(), 0);
    let issue = issues.get(1).await.unwrap();
    assert!(issue.pull_request.is_some());

    let me = olga.current().user().await.unwrap();
    assert_eq!(me.login, "olga");
    let limits = olga.ratelimit().get().await.unwrap();
    assert_eq!(limits.rate.limit, 5000);
    let branches = olga.repos("olga", "shop").list_branches().send().await.unwrap();
    assert_eq!(
        branches.items.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(),
        ["blue", "main"]
    );
    let commit = olga.commits("olga", "shop").get("blue").await.unwrap();
    assert_eq!(commit.sha, pull.head.sha);
    let created = pulls.create("Back", "main", "blue").send().await;
    assert!(created.is_ok(), "{created:?}");
    let closed =
        pulls.update(1).state(octocrab::params::pulls::State::Closed).send().await.unwrap();
    assert_eq!(closed.state, Some(octocrab::models::IssueState::Closed));
    served.github.rename_repository("olga/shop", "store", "olga").unwrap();
    let renamed = olga.repos("olga", "shop").get().await.unwrap();
    assert_eq!(renamed.full_name.as_deref(), Some("olga/store"), "redirects are followed");
    served.end().await;
}

#[tokio::test]
async fn git_clones_fetches_by_hash_and_pushes_with_rights_only() {
    let served = Served::new().await;
    let (github, root) = (&served.github, served.dir.path());
    let url = format!("{}/olga/shop.git", github.url());
    served.git(root, &["clone", "-q", &url, "work"]).await.unwrap();
    let work = root.join("work");
    assert_eq!(std::fs::read_to_string(work.join("deploy/app.yaml")).unwrap(), "kind: Pod\n");
    let head = github.pull_request("olga/shop", 1).unwrap().head;
    served.git(root, &["init", "-q", "--bare", "cache"]).await.unwrap();
    let cache = root.join("cache");
    served.git(&cache, &["fetch", "-q", "--depth", "1", &url, &head]).await.unwrap();
    assert_eq!(served.git(&cache, &["rev-parse", "FETCH_HEAD"]).await.unwrap(), head);
    served.git(&cache, &["fetch", "-q", &url, "refs/pull/1/head"]).await.unwrap();
    assert_eq!(served.git(&cache, &["rev-parse", "FETCH_HEAD"]).await.unwrap(), head);
    served.git(&cache, &["fsck", "--strict"]).await.unwrap();
    let gone = served.git(&cache, &["fetch", "-q", &url, &"1".repeat(40)]).await;
    assert!(gone.unwrap_err().contains("not our ref"));

    served.git(&work, &["checkout", "-q", "blue"]).await.unwrap();
    std::fs::write(work.join("new"), "new\n").unwrap();
    served.git(&work, &["add", "."]).await.unwrap();
    served.git(&work, &["commit", "-qm", "More"]).await.unwrap();
    let pushed = served.git(&work, &["rev-parse", "HEAD"]).await.unwrap();
    for (url, words) in [
        (url.clone(), "Authentication"),
        (served.clone_url("mallory"), "403"),
        (url.replace("http://", "http://x-access-token:ghp_wrong@"), "Authentication failed"),
    ] {
        let refused = served.git(&work, &["push", "-q", &url, "blue"]).await.unwrap_err();
        assert!(
            refused.contains(words) || refused.contains("could not read Username"),
            "{refused}"
        );
    }
    assert_eq!(github.pull_request("olga/shop", 1).unwrap().head, head);
    let mine = served.clone_url("olga");
    served.git(&work, &["push", "-q", &mine, "blue"]).await.unwrap();
    assert_eq!(github.pull_request("olga/shop", 1).unwrap().head, pushed);
    let stolen = served.git(&work, &["push", "-q", &mine, "blue:refs/pull/1/head"]).await;
    assert!(stolen.is_err(), "refs/pull is the forge's");
    let seen = served.git(&cache, &["ls-remote", &url, "refs/pull/1/head"]).await.unwrap();
    assert!(seen.starts_with(&pushed));
    served.git(&work, &["push", "-q", &mine, ":blue"]).await.unwrap();
    assert!(!github.pull_request("olga/shop", 1).unwrap().open, "its branch is gone");
    served.end().await;
}

#[tokio::test]
async fn a_webhook_goes_out_over_a_socket() {
    let served = Served::new().await;
    let (sender, mut inbox) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhook", listener.local_addr().unwrap());
    let router =
        axum::Router::new().fallback(move |headers: http::HeaderMap, raw: bytes::Bytes| {
            let sender = sender.clone();
            async move {
                let right = super::hooks::signature("s3cret", &raw);
                let signed = headers["x-hub-signature-256"] == right.as_str();
                let payload: Value = serde_json::from_slice(&raw).unwrap();
                sender.send((headers["x-github-event"].clone(), signed, payload)).unwrap();
                http::StatusCode::ACCEPTED
            }
        });
    let receiver = tokio::spawn(async move { axum::serve(listener, router).await });
    let config = HookConfig {
        url,
        transport: None,
        secret: "s3cret".into(),
        events: vec!["issue_comment".into(), "ping".into()],
    };
    let hook = served.github.add_hook("olga/shop", config).unwrap();
    served.github.close("olga/shop", 1, "olga").unwrap();
    served.github.comment("olga/shop", 1, "/bivouac help", "mallory").unwrap();
    let (event, signed, _) = inbox.recv().await.unwrap();
    assert_eq!((event.to_str().unwrap(), signed), ("ping", true));
    let (event, signed, payload) = inbox.recv().await.unwrap();
    assert_eq!(
        (event.to_str().unwrap(), signed),
        ("issue_comment", true),
        "closed was not asked for"
    );
    assert_eq!(payload["comment"]["body"], "/bivouac help");
    assert_eq!(
        payload["issue"]["pull_request"]["url"],
        json!(format!("{}/api/v3/repos/olga/shop/pulls/1", served.github.url()))
    );
    receiver.abort();
    assert_eq!(served.github.deliveries(hook).len(), 2);
    served.end().await;
}
