use super::*;

use std::collections::VecDeque;

use futures::FutureExt as _;
use http::{Request, Response, StatusCode};
use k8s_openapi::api::coordination::v1::Lease;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::seams::{BoxError, Rng, Transport, body};

/// One Lease at an API server that can be made to fail.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    version: u64,
    writes: usize,
    /// What happens to the next requests; then all is well.
    trouble: VecDeque<Trouble>,
    /// Everything hangs.
    away: bool,
}

#[derive(Clone, Copy)]
enum Trouble {
    /// Answered so, and nothing done.
    Code(u16),
    /// Done, and the answer lost.
    AnswerLost,
}

impl Server {
    fn stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().expect("no test panics with it")
    }

    fn holder(&self) -> Option<String> {
        let stored = self.stored();
        stored.lease.as_ref()?["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    fn answer(&self, method: &str, sent: Option<Value>) -> Option<(u16, Value)> {
        let mut stored = self.stored();
        let refused = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Conflict" };
            let status = json!({
                "kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": reason,
            });
            (code, status)
        };
        if stored.away {
            return None;
        }
        let trouble = stored.trouble.pop_front();
        if let Some(Trouble::Code(code)) = trouble {
            return Some(refused(code));
        }
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        let answer = match (method, sent, stored.lease.clone()) {
            ("GET", _, Some(lease)) => (200, lease),
            ("POST", Some(_), Some(_)) => refused(409),
            ("PUT", Some(sent), Some(lease)) if version(&sent) != version(&lease) => refused(409),
            ("POST" | "PUT", Some(mut sent), was) if was.is_some() == (method == "PUT") => {
                stored.version += 1;
                stored.writes += 1;
                sent["metadata"]["resourceVersion"] = stored.version.to_string().into();
                stored.lease = Some(sent.clone());
                (200, sent)
            }
            _ => refused(404),
        };
        (!matches!(trouble, Some(Trouble::AnswerLost))).then_some(answer)
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let method = request.method().as_str().to_owned();
                let sent = request.into_body().collect_bytes().await?;
                let Some((code, answer)) =
                    server.answer(&method, serde_json::from_slice(&sent).ok())
                else {
                    return futures::future::pending().await;
                };
                let answer = Response::builder().status(code).body(body(answer.to_string()))?;
                Ok::<_, BoxError>(answer)
            }
        });
        Client::new(service, "default")
    }
}

/// A replica, running.
struct Replica {
    leadership: Leadership,
    /// Since when its work runs, if it does.
    works: Arc<Mutex<Option<Instant>>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn replica(server: &Server, name: &str, seed: u64) -> Replica {
    let clock = Clock::simulated(DateTime::UNIX_EPOCH);
    let leadership = Leadership::elected(clock.clone());
    let rng = Rng::seeded(seed);
    let held = leadership.clone();
    let election = Election::new(server.client(), "camp", "lease", name, clock, rng, held);
    let (stop, works) = (CancellationToken::new(), Arc::new(Mutex::new(None)));
    let (asked, noted) = (stop.clone(), works.clone());
    let task = tokio::spawn(async move {
        let work = |end: CancellationToken| {
            let noted = noted.clone();
            async move {
                *noted.lock().expect("a lock") = Some(Instant::now());
                end.cancelled().await;
                *noted.lock().expect("a lock") = None;
            }
            .boxed()
        };
        election.run(&asked, work).await;
    });
    Replica { leadership, works, stop, task }
}

impl Replica {
    fn works(&self) -> bool {
        self.works.lock().expect("a lock").is_some()
    }
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Until `replica` leads and works; how long that took.
async fn led(replica: &Replica) -> f64 {
    let since = Instant::now();
    while !(replica.works() && replica.leadership.holds()) {
        assert!(since.elapsed() < Duration::from_secs(60), "it never leads");
        seconds(0.01).await;
    }
    since.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn one_of_two_works_and_the_other_takes_over_after_a_kill() {
    for seed in 0..20 {
        let server = Server::default();
        let one = replica(&server, "one", seed);
        led(&one).await;
        let two = replica(&server, "two", seed + 100);
        seconds(60.0 + 0.3 * f64::from(u32::try_from(seed).expect("small"))).await;
        assert!(one.leadership.holds() && one.works());
        assert!(!two.leadership.holds() && !two.works());
        assert!((10..=15).contains(&server.stored().writes), "it renews each five seconds");
        one.task.abort();
        let took = led(&two).await;
        assert!((5.0..13.0).contains(&took), "took over after {took} s");
        assert!(server.holder().expect("a holder").starts_with("two_"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_ends_the_work_first_and_hands_over_within_a_second() {
    let server = Server::default();
    let one = replica(&server, "one", 1);
    led(&one).await;
    let two = replica(&server, "two", 2);
    seconds(30.0).await;
    one.stop.cancel();
    let took = led(&two).await;
    assert!(took < 1.0, "took over after {took} s");
    one.task.await.expect("it ended");
    assert!(one.works.lock().expect("a lock").is_none());
    two.stop.cancel();
    two.task.await.expect("it ended");
    assert_eq!(server.holder(), None);
    let transitions =
        server.stored().lease.as_ref().expect("a lease")["spec"]["leaseTransitions"].clone();
    assert_eq!(transitions, 1, "the second change of the holder");
}

#[tokio::test(start_paused = true)]
async fn who_can_not_renew_stops_before_another_may_begin_and_stands_again() {
    let server = Server::default();
    let one = replica(&server, "one", 3);
    led(&one).await;
    seconds(20.0).await;
    server.stored().away = true;
    let since = Instant::now();
    while one.leadership.holds() {
        seconds(0.01).await;
    }
    assert!(since.elapsed() <= HOLD && HOLD < DURATION);
    seconds(3.0).await;
    assert!(!one.works(), "the controllers ended");
    server.stored().away = false;
    led(&one).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_a_conflict_and_a_short_outage_cost_nothing() {
    let server = Server::default();
    let one = replica(&server, "one", 4);
    led(&one).await;
    for trouble in [Trouble::AnswerLost, Trouble::Code(500), Trouble::Code(409), Trouble::Code(429)]
    {
        server.stored().trouble.push_back(trouble);
        for _ in 0..300 {
            seconds(0.1).await;
            assert!(one.leadership.holds() && one.works());
        }
    }
    // Somebody labels it: another version, the same holder.
    {
        let mut stored = server.stored();
        stored.version += 1;
        let version = stored.version.to_string();
        stored.lease.as_mut().expect("a lease")["metadata"]["resourceVersion"] = version.into();
    }
    for _ in 0..300 {
        seconds(0.1).await;
        assert!(one.leadership.holds());
    }
    // Somebody deletes it: it comes again, with the same holder.
    server.stored().lease = None;
    let two = replica(&server, "two", 5);
    seconds(0.3).await;
    two.task.abort();
    server.stored().lease = None;
    seconds(20.0).await;
    assert!(one.leadership.holds() || server.holder().is_some());
}

#[tokio::test(start_paused = true)]
async fn time_stamps_of_another_machine_count_for_nothing() {
    for stamp in ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"] {
        let server = Server::default();
        let theirs = |n: u64| {
            json!({
                "metadata": {"name": "lease", "resourceVersion": format!("x{n}")},
                "spec": {
                    "holderIdentity": "another", "leaseDurationSeconds": 10, "leaseTransitions": n,
                    "renewTime": stamp,
                },
            })
        };
        server.stored().lease = Some(theirs(0));
        let one = replica(&server, "one", 6);
        // As long as it changes, it is held, whatever time it tells.
        for n in 1..10 {
            seconds(5.0).await;
            assert!(!one.leadership.holds());
            server.stored().lease = Some(theirs(n));
        }
        let took = led(&one).await;
        assert!((9.0..11.5).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_not_taken_from_who_may_still_hold_it() {
    let server = Server::default();
    let one = replica(&server, "one", 7);
    led(&one).await;
    let two = replica(&server, "two", 8);
    seconds(12.0).await;
    server.stored().lease = None;
    for _ in 0..1000 {
        seconds(0.01).await;
        assert!(!two.leadership.holds());
    }
    assert!(one.leadership.holds(), "it made the Lease again");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_was_set_forward_ends_a_term_and_one_set_back_does_not_stretch_it() {
    let clock = Clock::simulated(DateTime::UNIX_EPOCH);
    let leadership = Leadership::elected(clock.clone());
    assert!(!leadership.holds());
    let long_ago =
        Moment { monotonic: Instant::now(), wall: clock.now() - chrono::Duration::hours(1) };
    leadership.extend(long_ago);
    assert!(!leadership.holds(), "the machine slept");
    let ahead =
        Moment { monotonic: Instant::now(), wall: clock.now() + chrono::Duration::hours(1) };
    leadership.extend(ahead);
    assert!(leadership.holds());
    tokio::time::advance(HOLD).await;
    assert!(!leadership.holds(), "time went on");
}

#[tokio::test(start_paused = true)]
async fn nothing_but_reading_passes_while_another_leads() {
    let clock = Clock::simulated(DateTime::UNIX_EPOCH);
    let leadership = Leadership::elected(clock.clone());
    let server = Server::default();
    let leases: Api<Lease> = Api::namespaced(guarded_client(server.client(), &leadership), "camp");
    let forge = Transport::new(tower::service_fn(async |_: Request<crate::seams::Body>| {
        Ok::<_, BoxError>(Response::new(body("")))
    }));
    let forge = guarded_transport(forge, &leadership);
    let send = async |method: &str| {
        let request =
            Request::builder().method(method).uri("http://x/").body(body("")).expect("a request");
        forge.clone().oneshot(request).await
    };
    let create = async || leases.create(&kube::api::PostParams::default(), &Lease::default()).await;

    assert!(leases.get_opt("lease").await.expect("reading passes").is_none());
    let refused = create().await.expect_err("not sent");
    assert!(super::super::error::chain(&refused).contains("does not lead"), "{refused:?}");
    assert_eq!(send("GET").await.expect("reading passes").status(), StatusCode::OK);
    for method in ["POST", "PATCH", "PUT", "DELETE"] {
        assert!(send(method).await.expect_err("not sent").is::<NotLeading>());
    }
    assert_eq!(server.stored().writes, 0);

    leadership.extend(Moment::now(&clock));
    create().await.expect("it leads");
    send("POST").await.expect("it leads");
    tokio::time::advance(HOLD).await;
    assert!(send("POST").await.is_err(), "its time is over, and nobody had to tell it");
}
