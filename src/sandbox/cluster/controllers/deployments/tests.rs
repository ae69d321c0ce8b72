//! Rollouts played through: the actions are carried out on values, pods become available, until nothing is to be done.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a json! literal reads best where it is handed over"
)]

use super::*;

const EPOCH: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn deployment(replicas: i64, strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "n", "uid": "d", "generation": 1,
            "annotations": { "team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}" } },
        "spec": { "replicas": replicas, "strategy": strategy, "progressDeadlineSeconds": 60,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "nginx:1" }] } } },
    })
}

/// Deployment and ReplicaSets as a server would hold them.
struct World {
    deployment: Value,
    sets: Vec<Arc<Value>>,
    now: DateTime<Utc>,
    /// The fewest available and the most wanted pods ever seen.
    bounds: (i64, i64),
}

impl World {
    fn new(deployment: Value) -> Self {
        Self { deployment, sets: Vec::new(), now: EPOCH, bounds: (i64::MAX, 0) }
    }

    fn merge(target: &mut Value, patch: &Value) {
        let Some(patch) = patch.as_object() else {
            *target = patch.clone();
            return;
        };
        for (key, value) in patch {
            if !target.is_object() {
                *target = json!({});
            }
            Self::merge(&mut target[key.as_str()], value);
        }
    }

    /// Carries out one round; answers how many writes it made.
    fn step(&mut self) -> usize {
        let mut writes = 0;
        for action in reconcile(&self.deployment, &self.sets, self.now) {
            match action {
                Action::CreateFor(_, _, _, mut set) => {
                    set["metadata"]["uid"] = json!(format!("rs{}", self.sets.len()));
                    set["metadata"]["creationTimestamp"] = json!(json::stamp(self.now));
                    self.sets.push(Arc::new(set));
                }
                Action::Patch(resource, _, patch) if *resource == DEPLOYMENTS => {
                    Self::merge(&mut self.deployment, &patch);
                }
                Action::Patch(_, set, patch) => {
                    for known in &mut self.sets {
                        if json::name(known) == json::name(&set) {
                            Self::merge(Arc::make_mut(known), &patch);
                        }
                    }
                }
                Action::ReplaceStatus(_, object) => self.deployment = object,
                Action::Delete(_, set, _) => {
                    self.sets.retain(|known| json::name(known) != json::name(&set));
                }
                Action::Tell(_) | Action::After(_) => continue,
                other => panic!("{other:?}"),
            }
            writes += 1;
        }
        writes
    }

    /// Every set gets the pods that it wants; `ready` says whether those of an image become available.
    fn kubelets(&mut self, ready: impl Fn(&str) -> bool) -> bool {
        let mut changed = false;
        for set in &mut self.sets {
            let wanted = wanted(set);
            let image = json::text(set, "/spec/template/spec/containers/0/image");
            let available = if ready(image) { wanted } else { 0 };
            let status = json!({ "replicas": wanted, "readyReplicas": available, "availableReplicas": available });
            if set.get("status") != Some(&status) {
                Arc::make_mut(set)["status"] = status;
                changed = true;
            }
        }
        changed
    }

    fn settle(&mut self, ready: impl Fn(&str) -> bool) {
        for _ in 0..100 {
            let writes = self.step();
            let pods: i64 = self.sets.iter().map(|s| wanted(s)).sum();
            self.bounds.1 = self.bounds.1.max(pods);
            let moved = self.kubelets(&ready);
            let available: i64 = self.sets.iter().map(|s| number(s, "availableReplicas")).sum();
            self.bounds.0 = self.bounds.0.min(available);
            if writes == 0 && !moved {
                return;
            }
        }
        panic!("never settles: {:#?}", self.sets);
    }

    fn replicas(&self) -> Vec<(String, i64)> {
        self.sets
            .iter()
            .map(|s| {
                (json::text(s, "/spec/template/spec/containers/0/image").to_owned(), wanted(s))
            })
            .collect()
    }

    fn reason(&self, kind: &str) -> (String, String) {
        let c = json::condition(&self.deployment, kind).expect("condition");
        (json::text(c, "/status").to_owned(), json::text(c, "/reason").to_owned())
    }

    fn image(&mut self, image: &str) {
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        self.deployment["metadata"]["generation"] = json!(json::generation(&self.deployment) + 1);
    }
}

#[test]
fn a_first_rollout_ends_complete_and_writes_no_more() {
    let mut world = World::new(deployment(3, json!({})));
    world.settle(|_| true);
    assert_eq!(world.replicas(), [("nginx:1".to_owned(), 3)]);
    let set = &world.sets[0];
    let hash = json::label(set, HASH_LABEL).expect("hash");
    assert_eq!(json::name(set), format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"][HASH_LABEL], hash);
    assert_eq!(json::annotation(set, REVISION), Some("1"));
    assert_eq!(json::annotation(set, "team"), Some("a"));
    assert_eq!(json::annotation(set, "kubectl.kubernetes.io/last-applied-configuration"), None);
    assert_eq!(json::annotation(&world.deployment, REVISION), Some("1"));
    let status = &world.deployment["status"];
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["availableReplicas"], 3);
    assert_eq!(world.reason("Available"), ("True".into(), "MinimumReplicasAvailable".into()));
    assert_eq!(world.reason("Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    assert_eq!(world.step(), 0);
}

#[test]
fn a_rolling_update_keeps_its_bounds_and_ends_on_the_new_template() {
    let bounds =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 1 } });
    let mut world = World::new(deployment(4, bounds));
    world.settle(|_| true);
    world.bounds = (i64::MAX, 0);
    world.image("nginx:2");
    world.settle(|_| true);
    assert_eq!(world.replicas(), [("nginx:1".to_owned(), 0), ("nginx:2".to_owned(), 4)]);
    assert!(world.bounds.0 >= 3, "available fell to {}", world.bounds.0);
    assert!(world.bounds.1 <= 5, "pods rose to {}", world.bounds.1);
    assert_eq!(json::annotation(&world.deployment, REVISION), Some("2"));
    assert_eq!(world.deployment["status"]["observedGeneration"], 2);
}

#[test]
fn a_template_that_never_gets_ready_leaves_the_old_one_and_times_out() {
    let mut world = World::new(deployment(4, json!({})));
    world.settle(|_| true);
    world.image("nginx:bad");
    world.settle(|image| image != "nginx:bad");
    let available: i64 = world.sets.iter().map(|s| number(s, "availableReplicas")).sum();
    assert_eq!(available, 3, "25 % of 4 may be missing");
    world.now += chrono::Duration::seconds(61);
    world.settle(|image| image != "nginx:bad");
    assert_eq!(world.reason("Progressing"), ("False".into(), "ProgressDeadlineExceeded".into()));
    assert_eq!(world.reason("Available").0, "True");
    // And back: the old set is found again and gets the next revision.
    world.image("nginx:1");
    world.settle(|image| image != "nginx:bad");
    assert_eq!(world.replicas(), [("nginx:1".to_owned(), 4), ("nginx:bad".to_owned(), 0)]);
    assert_eq!(json::annotation(&world.deployment, REVISION), Some("3"));
}

#[test]
fn recreate_takes_the_old_pods_down_first() {
    let mut world = World::new(deployment(2, json!({ "type": "Recreate" })));
    world.settle(|_| true);
    world.bounds = (i64::MAX, 0);
    world.image("nginx:2");
    world.settle(|_| true);
    assert_eq!(world.replicas(), [("nginx:1".to_owned(), 0), ("nginx:2".to_owned(), 2)]);
    assert_eq!(world.bounds, (0, 2));
}

#[test]
fn scaling_goes_to_the_present_set_and_history_is_limited() {
    let mut world = World::new(deployment(1, json!({})));
    world.deployment["spec"]["revisionHistoryLimit"] = json!(1);
    for image in ["nginx:1", "nginx:2", "nginx:3"] {
        world.image(image);
        world.settle(|_| true);
    }
    assert_eq!(world.replicas(), [("nginx:2".to_owned(), 0), ("nginx:3".to_owned(), 1)]);
    world.deployment["spec"]["replicas"] = json!(0);
    world.settle(|_| true);
    assert_eq!(world.replicas()[1].1, 0);
}

#[test]
fn a_paused_deployment_makes_no_new_set() {
    let mut world = World::new(deployment(1, json!({})));
    world.settle(|_| true);
    world.deployment["spec"]["paused"] = json!(true);
    world.image("nginx:2");
    world.settle(|_| true);
    assert_eq!(world.sets.len(), 1);
}
