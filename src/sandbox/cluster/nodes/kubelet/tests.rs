//! Lives of pods, played through on values with a clock of their own.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a json! literal reads best where it is handed over"
)]

use super::*;

struct World {
    caches: Caches,
    kubelet: Kubelet,
    now: DateTime<Utc>,
    writes: usize,
    reasons: Vec<String>,
    told: Vec<String>,
}

impl World {
    fn new(spec: Value, annotations: Value) -> Self {
        let mut caches = Caches::default();
        caches.store_mut(&NODES).put(json!({ "metadata": { "name": "one", "uid": "n" } }));
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "p", "namespace": "n", "uid": "u", "annotations": annotations },
            "spec": spec,
        });
        pod["spec"]["nodeName"] = json!("one");
        caches.store_mut(&PODS).put(pod);
        Self {
            caches,
            kubelet: Kubelet::new(Options::default()),
            now: DateTime::UNIX_EPOCH,
            writes: 0,
            reasons: Vec::new(),
            told: Vec::new(),
        }
    }

    fn pod(&self) -> Value {
        self.caches.get(&PODS, "n", "p").map(|p| p.as_ref().clone()).unwrap_or_default()
    }

    /// Plays for `time`; remembers each waiting reason and each phase on the way.
    fn play(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1000 {
            let mut next = end;
            let mut wrote = false;
            for action in self.kubelet.reconcile(&Key::new("n", "p"), &self.caches, self.now) {
                match action {
                    Action::ReplaceStatus(_, object) => {
                        self.caches.store_mut(&PODS).put(object);
                        wrote = true;
                    }
                    Action::Patch(_, mut object, patch) => {
                        let text = patch["metadata"]["annotations"][rules::LOG].clone();
                        json::set(&mut object, &["metadata", "annotations", rules::LOG], text);
                        self.caches.store_mut(&PODS).put(object);
                        wrote = true;
                    }
                    Action::After(wait) => {
                        next =
                            next.min(self.now + chrono::Duration::from_std(wait).expect("short"));
                    }
                    Action::Delete(_, object, deletion) => {
                        assert_eq!(deletion.grace, Some(0));
                        self.caches.store_mut(&PODS).remove(&object);
                        return;
                    }
                    Action::Tell(event) => {
                        self.told.push(format!("{}: {}", event.reason, event.message));
                    }
                    other => panic!("{other:?}"),
                }
            }
            if wrote {
                self.writes += 1;
                let reason = self.reason();
                if self.reasons.last() != Some(&reason) {
                    self.reasons.push(reason);
                }
                continue;
            }
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now + chrono::Duration::milliseconds(1));
        }
        panic!("never rests: {:?}", self.reasons);
    }

    fn reason(&self) -> String {
        let pod = self.pod();
        let state = &pod["status"]["containerStatuses"][0]["state"];
        if let Some(reason) = state.pointer("/waiting/reason") {
            return reason.as_str().unwrap_or("").to_owned();
        }
        if state.get("terminated").is_some() {
            return "terminated".to_owned();
        }
        let ready = if pods::is_ready(&pod) { "ready" } else { "running" };
        ready.to_owned()
    }

    fn phase(&self) -> String {
        json::text(&self.pod(), "/status/phase").to_owned()
    }
}

fn container(image: &str, command: &[&str]) -> Value {
    json!({ "containers": [{ "name": "web", "image": image, "command": command }] })
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_good_pod_becomes_ready_and_then_nothing_is_written() {
    let mut world = World::new(container("nginx:1", &[]), json!({}));
    world.play(MINUTE);
    assert_eq!(world.reasons, ["ContainerCreating", "running", "ready"]);
    assert_eq!(world.phase(), "Running");
    let status = world.pod()["status"].clone();
    assert!(json::text(&status, "/podIP").starts_with("10.244."), "{status}");
    assert_eq!(status["qosClass"], "BestEffort");
    for kind in
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    {
        assert!(json::is_true(&world.pod(), kind), "{kind}");
    }
    assert_eq!(
        json::annotation(&world.pod(), rules::LOG),
        Some("[sandbox] container web started from image nginx:1\n")
    );
    let before = world.writes;
    world.play(MINUTE * 60);
    assert_eq!(world.writes, before);
}

#[test]
fn an_image_that_is_not_there_backs_off_and_rests() {
    let mut world = World::new(container("acme/does-not-exist:1", &[]), json!({}));
    world.play(MINUTE * 10);
    assert_eq!(world.reasons, ["ErrImagePull", "ImagePullBackOff"]);
    assert_eq!(world.phase(), "Pending");
    assert!(!pods::is_ready(&world.pod()));
}

#[test]
fn a_command_that_fails_loops() {
    let mut world = World::new(container("nginx", &["sh", "-c", "exit 3"]), json!({}));
    world.play(Duration::from_secs(20));
    assert!(world.reasons.contains(&"CrashLoopBackOff".to_owned()), "{:?}", world.reasons);
    world.play(MINUTE * 5);
    let status = world.pod()["status"]["containerStatuses"][0].clone();
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert!(json::int(&status, "/restartCount").is_some_and(|n| (3..8).contains(&n)), "{status}");
    assert_eq!(world.phase(), "Running");
    let log = json::annotation(&world.pod(), rules::LOG).map(str::to_owned);
    assert!(log.is_some_and(|l| l.contains("ended with exit code 3")));
}

#[test]
fn a_pod_that_crashes_twice_recovers() {
    let mut world =
        World::new(container("nginx", &[]), json!({ (rules::CRASH): "2", (rules::LOG): "mine" }));
    world.play(MINUTE);
    assert_eq!(world.reasons.last().map(String::as_str), Some("ready"));
    assert_eq!(json::annotation(&world.pod(), rules::LOG), Some("mine"));
}

#[test]
fn a_missing_configmap_keeps_it_creating_until_it_is_there() {
    let spec = json!({ "containers": [{ "name": "web", "image": "nginx" }],
        "volumes": [{ "name": "v", "configMap": { "name": "page" } }] });
    let mut world = World::new(spec, json!({}));
    world.play(MINUTE);
    assert_eq!(world.reasons, ["ContainerCreating"]);
    assert!(!json::is_true(&world.pod(), "PodReadyToStartContainers"));
    let map = json!({ "metadata": { "name": "page", "namespace": "n", "uid": "m" } });
    let woken = world.kubelet.keys(&CONFIG_MAPS, &map, &world.caches);
    assert_eq!(woken, [Key::new("n", "p")]);
    world.caches.store_mut(&CONFIG_MAPS).put(map);
    world.play(MINUTE);
    assert_eq!(world.reasons.last().map(String::as_str), Some("ready"));
}

#[test]
fn a_missing_secret_in_the_environment_is_a_config_error() {
    let spec = json!({ "containers": [{ "name": "web", "image": "nginx", "envFrom": [{ "secretRef": { "name": "s" } }] }] });
    let mut world = World::new(spec, json!({}));
    world.play(MINUTE);
    assert_eq!(world.reasons, ["CreateContainerConfigError"]);
    let state = world.pod()["status"]["containerStatuses"][0]["state"].clone();
    assert_eq!(state["waiting"]["message"], "secret \"s\" not found");
}

#[test]
fn pods_that_are_not_restarted_end() {
    let mut spec = container("busybox", &[]);
    spec["restartPolicy"] = json!("Never");
    let mut world = World::new(spec.clone(), json!({}));
    world.play(MINUTE);
    assert_eq!(world.phase(), "Succeeded");
    spec["containers"][0]["command"] = json!(["false"]);
    let mut world = World::new(spec, json!({}));
    world.play(MINUTE);
    assert_eq!(world.phase(), "Failed");
}

#[test]
fn init_containers_come_first_and_hold_the_rest_when_they_fail() {
    let spec = |command: &[&str]| {
        json!({ "initContainers": [{ "name": "init", "image": "busybox", "command": command }],
            "containers": [{ "name": "web", "image": "nginx" }] })
    };
    let mut world = World::new(spec(&["true"]), json!({}));
    world.play(MINUTE);
    assert_eq!(world.reasons, ["PodInitializing", "ContainerCreating", "running", "ready"]);
    let mut world = World::new(spec(&["false"]), json!({}));
    world.play(MINUTE);
    assert_eq!(world.phase(), "Pending");
    let init = world.pod()["status"]["initContainerStatuses"][0].clone();
    assert_eq!(init["state"]["waiting"]["reason"], "CrashLoopBackOff");
}

#[test]
fn a_pod_that_never_gets_ready_runs() {
    let mut world = World::new(container("nginx", &[]), json!({ (rules::READY): "never" }));
    world.play(MINUTE);
    assert_eq!(world.reasons, ["ContainerCreating", "running"]);
}

#[test]
fn a_probe_that_never_succeeds_is_told_once_in_kubelets_words() {
    for (probe, expected) in [
        (json!({ "httpGet": { "port": 80 } }), "HTTP probe failed with statuscode: 503"),
        (json!({ "exec": { "command": ["false"] } }), ""),
    ] {
        let spec =
            json!({ "containers": [{ "name": "web", "image": "nginx", "readinessProbe": probe }] });
        let mut world = World::new(spec, json!({ (rules::READY): "never" }));
        world.play(MINUTE * 10);
        let mut told = world.told.clone();
        told.retain(|line| line.starts_with("Unhealthy"));
        assert_eq!(told, [format!("Unhealthy: Readiness probe failed: {expected}")]);
    }
}

#[test]
fn a_deleted_pod_goes_within_its_grace() {
    let mut world = World::new(container("nginx", &[]), json!({}));
    world.play(MINUTE);
    let mut pod = world.pod();
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    pod["metadata"]["deletionTimestamp"] =
        json!(json::stamp(world.now + chrono::Duration::seconds(30)));
    world.caches.store_mut(&PODS).put(pod);
    world.play(Duration::from_secs(2));
    assert_eq!(world.pod(), Value::Null);
}
