//! A websocket through the gate while the service is rolled out, over real sockets and in real time: it lives on, what is
//! new goes to the new replica, and the old one ends as soon as nothing goes through it.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAME, NAMESPACE, REPOSITORY, Stage, Wiring};
use bivouac::crd::Repository;
use bivouac::sandbox::github::NewPull;
use bivouac::seams::{Clock, Rng};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

#[path = "it/support/socket.rs"]
mod socket;

use socket::Socket;

/// How long the websocket is used after the old replica was asked to end; a minute where somebody has the time.
fn long() -> Duration {
    let minute = std::env::var_os("BIVOUAC_TEST_LONG").is_some();
    Duration::from_secs(if minute { 60 } else { 8 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_lives_through_a_rollout() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, rng) = (Clock::system(), Rng::system());
    let stage = Stage::build(folder.path(), Wiring::Sockets, clock, rng).await;
    let mut stage = stage.expect("a world");
    let repositories: Api<Repository> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    let policy = Patch::Merge(json!({"spec": {"url": {"noindex": true}}}));
    repositories.patch(NAME, &PatchParams::default(), &policy).await.expect("a policy");
    let files = BTreeMap::from([("CHANGES.md", "sparks")]);
    stage
        .github
        .commit(REPOSITORY, "sparks", &files, "Add sparks\n", MAINTAINER)
        .expect("a commit");
    let pull = NewPull {
        head: "sparks".into(),
        base: "main".into(),
        title: "Add sparks".into(),
        body: None,
        draft: false,
    };
    let number =
        stage.github.open_pull_request(REPOSITORY, &pull, MAINTAINER).expect("a pull request");
    let host = stage
        .until("the preview is ready, and its ways are known", async || {
            let status = stage.environment(number).await?.status?;
            let there = status.holds("Ready") && !status.routes.is_empty();
            status.hosts.first().cloned().filter(|_| there)
        })
        .await
        .expect("a preview");

    let old = stage.gate_of(FIRST).expect("the gate listens");
    let stream = TcpStream::connect(old).await.expect("a connection");
    let mut socket = Socket::open(stream, &host).await.expect("a websocket");
    assert_eq!(socket.echo("before").await.expect("an echo"), "before");

    stage.start_replica(1).expect("started");
    stage
        .until("the new replica has read everything", async || {
            stage.replica_is_ready(1).await.then_some(())
        })
        .await
        .expect("ready");
    let new = stage.gate_of(1).expect("the gate listens");
    let began = Instant::now();
    let used = async {
        let mut count = 0;
        while began.elapsed() < long() {
            let text = format!("number {count}");
            assert_eq!(socket.echo(&text).await.expect("an echo"), text);
            count += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(TcpStream::connect(old).await.is_err(), "the old one takes nobody any more");
        let stream = TcpStream::connect(new).await.expect("a connection");
        let mut other = Socket::open(stream, &host).await.expect("a websocket");
        assert_eq!(other.echo("after").await.expect("an echo"), "after");
        drop(socket);
        Instant::now()
    };
    let (closed, ()) = tokio::join!(used, stage.stop_replica(FIRST));
    assert!(closed.elapsed() < Duration::from_secs(5), "the old one waits for nothing more");
    stage.end().await;
}
