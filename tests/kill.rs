//! `bivouac serve` as child processes, really killed (SIGKILL) at fifty points of the life of pull requests, with a second
//! replica beside it: whatever the point, all ends in the right state.
//!
//! A point is a number of requests that the service has sent to the API server since something happened at the forge
//! (a pull request opened, pushed to, closed, reopened): it does not depend on the speed of the machine. Embedded
//! Kubernetes and GitHub run in the test's process, over sockets. Several worlds run side by side, because a take-over
//! takes the ten seconds of the Lease.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY, Stage};
use bivouac::crd::Phase;
use bivouac::sandbox::github::NewPull;
use bivouac::seams::{Clock, Rng};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::ListParams;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The service's account at the API server.
const SERVICE: &str = "system:serviceaccount:bivouac-system:bivouac";
/// Kills in one world.
const KILLS: usize = 7;
/// Worlds side by side: 8 · 7 = 56 points.
const WORLDS: usize = 8;
/// Requests from the webhook to the last word, about: of an opening, a push, a closing, a reopening.
const REQUESTS: [usize; 4] = [90, 60, 20, 90];
/// The longest wait for a state. A take-over takes 15 seconds at most; the rest is for a machine so busy that a replica
/// loses its Lease now and then.
const LONGEST: Duration = Duration::from_secs(300);

/// A child process that does not outlive the test. Dropping it is SIGKILL.
struct Process {
    child: Child,
    name: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where webhooks go: to whichever replica takes the connection, as a Service of Kubernetes does.
#[derive(Clone, Default)]
struct Front(Arc<Mutex<Vec<std::net::SocketAddr>>>);

impl Front {
    fn set(&self, doors: Vec<std::net::SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doors;
    }

    async fn run(self, listener: TcpListener) {
        let mut next = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            next = (next + 1) % doors.len().max(1);
            doors.rotate_left(next);
            tokio::spawn(async move {
                for door in doors {
                    if let Ok(mut replica) = TcpStream::connect(door).await {
                        // What is cut in the middle is lost, as it is with a killed pod.
                        let _ = copy_bidirectional(&mut client, &mut replica).await;
                        return;
                    }
                }
            });
        }
    }
}

struct World {
    stage: Stage,
    folder: TempDir,
    front: Front,
    replicas: Vec<(Process, std::net::SocketAddr)>,
    started: usize,
    /// Number, branch, head and whether it is open, of each pull request.
    pulls: BTreeMap<u64, (String, String, bool)>,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let stage = Stage::without_service(folder.path(), Clock::system(), Rng::system()).await;
        let stage = stage.expect("a world");
        let address = stage.addresses.as_ref().expect("sockets").service;
        let listener =
            TcpListener::bind(address).await.expect("the address of the webhook is free");
        let front = Front::default();
        tokio::spawn(front.clone().run(listener));
        // As its own account: with its rights, and so that its requests can be told from others'.
        let groups = ["system:serviceaccounts", "system:serviceaccounts:bivouac-system"];
        let token = stage.cluster.user_token(SERVICE, &groups);
        let cluster = stage.addresses.as_ref().expect("sockets").cluster.to_string();
        let kubeconfig = stage.cluster.kubeconfig(&cluster, &token);
        std::fs::write(folder.path().join("service"), kubeconfig).expect("a kubeconfig");
        let pulls = BTreeMap::new();
        let mut world = Self { stage, folder, front, replicas: Vec::new(), started: 0, pulls };
        world.start();
        world.until("the first replica leads", async |world| world.leader().await).await;
        world.start();
        world
    }

    /// One more replica of the service.
    fn start(&mut self) {
        self.started += 1;
        let name = format!("replica{}", self.started);
        // Free a moment ago; a replica that finds it taken ends, and the test says so.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let door = free.local_addr().expect("an address");
        drop(free);
        let cache = self.folder.path().join(&name);
        let log = std::fs::File::create(self.folder.path().join(format!("{name}.log")));
        let child = Command::new(env!("CARGO_BIN_EXE_bivouac"))
            .args(["serve", "--instance", "demo", "--allow-http"])
            .args(["--sweep-interval", "1m", "--listen", &door.to_string(), "--cache-dir"])
            .arg(&cache)
            .env("KUBECONFIG", self.folder.path().join("service"))
            .env("HOSTNAME", &name)
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn()
            .expect("the program starts");
        self.replicas.push((Process { child, name }, door));
        self.front.set(self.replicas.iter().map(|(_, door)| *door).collect());
    }

    /// Which of the replicas that run leads.
    async fn leader(&self) -> Option<usize> {
        let leases: Api<Lease> = Api::namespaced(self.stage.admin.clone(), NAMESPACE);
        let holder = leases.get_opt("bivouac-demo").await.ok()??.spec?.holder_identity?;
        let (name, _) = holder.split_once('_')?;
        self.replicas.iter().position(|(process, _)| process.name == name)
    }

    /// SIGKILL for the leader; a fresh replica takes the place of the one that waits.
    async fn kill_the_leader(&mut self) {
        let leader = self.until("somebody leads", async |world| world.leader().await).await;
        let (killed, _) = self.replicas.remove(leader);
        drop(killed);
        self.start();
    }

    /// Requests that the service has sent, as itself or as a deployer.
    fn requests(&self) -> usize {
        let cluster = &self.stage.cluster;
        cluster.count_requests(|event| event.user == SERVICE && event.resource != "leases")
    }

    async fn until<T>(&self, what: &str, condition: impl AsyncFn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LONGEST;
        loop {
            if let Some(found) = condition(self).await {
                return found;
            }
            let late = Instant::now() > deadline;
            assert!(!late, "waited in vain until {what}\n{}", self.picture().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn picture(&self) -> String {
        let mut text = String::new();
        for number in self.pulls.keys() {
            let record = self.stage.environment(*number).await;
            let status = record.and_then(|record| record.status);
            let (status, comments) = (serde_json::json!(status), self.comments(*number));
            writeln!(text, "#{number} {status}\n{comments:?}").expect("a text can be written to");
        }
        for (process, _) in &self.replicas {
            let log = self.folder.path().join(format!("{}.log", process.name));
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(15).collect();
            writeln!(text, "{}: {tail:#?}", process.name).expect("a text can be written to");
        }
        text
    }

    fn comments(&self, number: u64) -> Vec<String> {
        let comments = self.stage.github.comments(REPOSITORY, number).expect("comments");
        comments.into_iter().filter(|one| one.author == BOT).map(|one| one.body).collect()
    }

    /// The next thing that people do: open, push, close, reopen, in turn and on several pull requests.
    fn act(&mut self, turn: usize) {
        let github = &self.stage.github;
        match turn % 4 {
            1 => {
                // The newest one that is open.
                let (_, (branch, head, _)) =
                    self.pulls.iter_mut().rfind(|(_, pull)| pull.2).expect("one is open");
                let text = format!("turn {turn}");
                let files = BTreeMap::from([("CHANGES.md", text.as_str())]);
                *head = github.push(REPOSITORY, branch, &files, MAINTAINER).expect("a push");
            }
            2 => {
                let (number, pull) =
                    self.pulls.iter_mut().find(|(_, pull)| pull.2).expect("one is open");
                github.close(REPOSITORY, *number, MAINTAINER).expect("closing");
                pull.2 = false;
            }
            3 if self.pulls.values().any(|pull| !pull.2) => {
                let (number, pull) =
                    self.pulls.iter_mut().find(|(_, pull)| !pull.2).expect("one is closed");
                github.reopen(REPOSITORY, *number, MAINTAINER).expect("reopening");
                pull.2 = true;
            }
            _ => {
                let branch = format!("branch-{turn}");
                let files = BTreeMap::from([("CHANGES.md", branch.as_str())]);
                let head = github
                    .commit(REPOSITORY, &branch, &files, "Change something\n", MAINTAINER)
                    .expect("a commit");
                let pull = NewPull {
                    head: branch.clone(),
                    base: "main".into(),
                    title: "A change".into(),
                    body: None,
                    draft: false,
                };
                let number = github.open_pull_request(REPOSITORY, &pull, MAINTAINER);
                self.pulls.insert(number.expect("a pull request"), (branch, head, true));
            }
        }
    }

    /// Whether every pull request is as it should be: one comment that tells the truth, a camp of the right revision or
    /// none.
    async fn is_right(&self) -> Option<()> {
        for (number, (_, head, open)) in &self.pulls {
            let comments = self.comments(*number);
            assert!(comments.len() <= 1, "#{number} has {} comments", comments.len());
            let status = self.stage.environment(*number).await?.status?;
            // Whatever its name is: no pull request ever has two.
            let namespaces: Api<Namespace> = Api::all(self.stage.admin.clone());
            let of_record = format!("bivouac.dev/environment={NAME}-pr-{number}");
            let found = namespaces.list(&ListParams::default().labels(&of_record)).await.ok()?;
            assert!(found.items.len() <= 1, "#{number} has two camps");
            let camp = found.items.into_iter().next();
            if *open {
                let right = status.holds("Ready") && status.revision.as_deref() == Some(head);
                let told = comments.first().is_some_and(|comment| {
                    comment.contains("### Preview is ready") && comment.contains(head)
                });
                let url = status.urls.first()?.url.clone();
                if !right || !told || camp.is_none_or(|c| c.metadata.deletion_timestamp.is_some()) {
                    return None;
                }
                let (code, page) = self.stage.browse(&url).await.ok()?;
                if code != 200 || !page.contains(head.as_str()) {
                    return None;
                }
            } else {
                let told = comments.first().is_none_or(|c| c.contains("### Preview is gone"));
                if status.phase != Some(Phase::Closed) || !told || camp.is_some() {
                    return None;
                }
            }
        }
        Some(())
    }

    /// What is left when every pull request is closed: nothing but the records.
    async fn end(mut self) {
        for (number, pull) in &mut self.pulls {
            if std::mem::take(&mut pull.2) {
                self.stage.github.close(REPOSITORY, *number, MAINTAINER).expect("closing");
            }
        }
        self.until("all is closed", World::is_right).await;
        assert_eq!(self.stage.camps().await.expect("a list"), Vec::<String>::new());
        for number in self.pulls.keys() {
            let record = self.stage.environment(*number).await.expect("a record");
            assert_eq!(record.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());
        }
        let secrets: Api<Secret> = Api::namespaced(self.stage.admin.clone(), NAMESPACE);
        let secrets = secrets.list(&ListParams::default()).await.expect("a list").items;
        let names: Vec<_> = secrets.into_iter().filter_map(|one| one.metadata.name).collect();
        assert_eq!(names, [NAME], "no stored bundle is left");
        drop(std::mem::take(&mut self.replicas));
        self.stage.end().await;
    }
}

async fn life(world_number: usize) -> usize {
    let mut world = World::new().await;
    let mut kills = 0;
    for turn in 0..KILLS {
        // The points of one kind of life are spread over it.
        let span = REQUESTS[turn % REQUESTS.len()];
        let round = (turn / REQUESTS.len()) * WORLDS + world_number;
        let point = 1 + (2 * round + 1) * span / (4 * WORLDS);
        // All may be right again before the place of the killed one is taken.
        world.until("a replica leads", async |world| world.leader().await).await;
        let before = world.requests();
        let since = Instant::now();
        world.act(turn);
        // A point that this life never reaches is the point where nothing is left to do.
        while world.requests() < before + point && since.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        world.kill_the_leader().await;
        kills += 1;
        let what = format!("all is right after kill {kills} at request {point} of turn {turn}");
        world.until(&what, World::is_right).await;
    }
    world.end().await;
    kills
}

#[test]
fn a_service_that_is_killed_at_fifty_points_ends_every_time_in_the_right_state() {
    assert!(Path::new(env!("CARGO_BIN_EXE_bivouac")).exists());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let kills: usize = runtime.expect("a runtime").block_on(async {
        futures::future::join_all((0..WORLDS).map(life)).await.into_iter().sum()
    });
    assert!(kills >= 50, "{kills} kills");
}
