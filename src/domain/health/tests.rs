//! Objects, pods and events as controllers, kubelet and scheduler write them.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a json! literal reads best where it is handed over"
)]

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::Duration::seconds(seconds)
}

fn stamp(seconds: i64) -> String {
    at(seconds).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn waits(why: &str) -> Health {
    Health::Progressing(why.into())
}

fn fails(why: &str) -> Health {
    Health::Failed(why.into())
}

fn of(kind: &str, spec: Value, status: Value) -> Value {
    let group = match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        "PodDisruptionBudget" => "policy/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "Ingress" => "networking.k8s.io/v1",
        _ => "v1",
    };
    json!({"apiVersion": group, "kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": spec, "status": status})
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn each_built_in_kind_is_judged_by_what_its_controller_writes() {
    let one = json!({"replicas": 1});
    let two = json!({"replicas": 2});
    let rows: Vec<(&str, &Value, Value, Health)> = vec![
        (
            "Deployment",
            &two,
            json!({"observedGeneration": 1}),
            waits("its controller has not looked at it yet"),
        ),
        (
            "Deployment",
            &two,
            json!({"observedGeneration": 2, "replicas": 2}),
            waits("0 of 2 replicas are of this revision"),
        ),
        (
            "Deployment",
            &two,
            json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),
            waits("1 replicas of an older revision are going away"),
        ),
        (
            "Deployment",
            &two,
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
            waits("1 of 2 replicas are available"),
        ),
        (
            "Deployment",
            &two,
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
            Health::Ready,
        ),
        (
            "Deployment",
            &two,
            json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too long"}]}),
            fails("too long"),
        ),
        (
            "StatefulSet",
            &two,
            json!({"observedGeneration": 2, "readyReplicas": 1, "replicas": 2}),
            waits("1 of 2 replicas are ready"),
        ),
        (
            "StatefulSet",
            &one,
            json!({"observedGeneration": 2, "readyReplicas": 1, "replicas": 2}),
            waits("1 replicas too many are going away"),
        ),
        (
            "StatefulSet",
            &one,
            json!({"observedGeneration": 2, "readyReplicas": 1, "replicas": 1, "currentRevision": "a", "updateRevision": "b"}),
            waits("replicas of an older revision are being replaced"),
        ),
        (
            "StatefulSet",
            &one,
            json!({"observedGeneration": 2, "readyReplicas": 1, "replicas": 1, "currentRevision": "a", "updateRevision": "a"}),
            Health::Ready,
        ),
        (
            "ReplicaSet",
            &two,
            json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 1}),
            waits("1 of 2 replicas are available"),
        ),
        (
            "ReplicaSet",
            &two,
            json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2}),
            Health::Ready,
        ),
        (
            "DaemonSet",
            &one,
            json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2}),
            waits("2 of 3 pods are available"),
        ),
        ("DaemonSet", &one, json!({"observedGeneration": 2}), Health::Ready),
        ("Job", &one, json!({}), waits("it has not ended yet")),
        (
            "Job",
            &one,
            json!({"conditions": [{"type": "Complete", "status": "True"}]}),
            Health::Ready,
        ),
        (
            "Job",
            &one,
            json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]}),
            fails("Job has reached the specified backoff limit"),
        ),
        ("CronJob", &one, json!({}), Health::Ready),
        (
            "Pod",
            &one,
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}),
            waits("it runs and is not ready"),
        ),
        (
            "Pod",
            &one,
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            Health::Ready,
        ),
        ("Pod", &one, json!({"phase": "Succeeded"}), Health::Ready),
        (
            "Pod",
            &one,
            json!({"phase": "Failed", "message": "Pod was evicted"}),
            fails("Pod was evicted"),
        ),
        (
            "PersistentVolumeClaim",
            &one,
            json!({"phase": "Pending"}),
            waits("it is not bound to a volume"),
        ),
        ("PersistentVolumeClaim", &one, json!({"phase": "Lost"}), fails("its volume is lost")),
        ("PersistentVolumeClaim", &one, json!({"phase": "Bound"}), Health::Ready),
        (
            "PodDisruptionBudget",
            &one,
            json!({"observedGeneration": 2, "currentHealthy": 0, "desiredHealthy": 1}),
            waits("0 of 1 pods are healthy"),
        ),
        (
            "PodDisruptionBudget",
            &one,
            json!({"observedGeneration": 1}),
            waits("its controller has not looked at it yet"),
        ),
        (
            "HorizontalPodAutoscaler",
            &one,
            json!({"conditions": [{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "not found"}]}),
            fails("not found"),
        ),
        (
            "HorizontalPodAutoscaler",
            &one,
            json!({"conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}]}),
            Health::Ready,
        ),
        ("Ingress", &one, json!({}), Health::Ready),
        ("ConfigMap", &one, json!({}), Health::Ready),
    ];
    for (kind, spec, status, expected) in rows {
        assert_eq!(judge(&of(kind, spec.clone(), status.clone())), expected, "{kind} {status}");
    }
    let balanced = |status: Value| judge(&of("Service", json!({"type": "LoadBalancer"}), status));
    assert_eq!(
        balanced(json!({"loadBalancer": {}})),
        waits("its load balancer has no address yet")
    );
    assert_eq!(balanced(json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}})), Health::Ready);
    assert_eq!(judge(&of("Service", json!({"type": "ClusterIP"}), json!({}))), Health::Ready);
    let mut going = of("ConfigMap", json!({}), json!({}));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(judge(&going), waits("it is being deleted"));
}

#[test]
fn partitions_and_pods_that_somebody_else_replaces_are_no_reason_to_wait() {
    let set = |strategy: Value, updated: i64| {
        judge(&of(
            "StatefulSet",
            json!({"replicas": 3, "updateStrategy": strategy}),
            json!({"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": updated, "currentRevision": "a", "updateRevision": "b"}),
        ))
    };
    assert_eq!(set(json!({"type": "OnDelete"}), 0), Health::Ready);
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    assert_eq!(set(partition.clone(), 1), waits("1 of 2 replicas are of this revision"));
    assert_eq!(set(partition, 2), Health::Ready);
}

#[test]
fn a_custom_kind_is_judged_by_its_conditions() {
    let custom = |status: Value| {
        judge(
            &json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "x", "generation": 2}, "status": status}),
        )
    };
    let with = |conditions: Value| custom(json!({"conditions": conditions}));
    assert_eq!(custom(json!({})), Health::Ready);
    assert_eq!(
        custom(json!({"observedGeneration": 1})),
        waits("its controller has not looked at it yet")
    );
    assert_eq!(with(json!([{"type": "Ready", "status": "True"}])), Health::Ready);
    assert_eq!(
        with(
            json!([{"type": "Ready", "status": "False", "reason": "Issuing", "message": "waits for the order"}])
        ),
        waits("waits for the order (Issuing)")
    );
    assert_eq!(
        with(json!([{"type": "Ready", "status": "Unknown"}])),
        waits("it does not say that it is ready")
    );
    assert_eq!(
        with(json!([{"type": "Ready", "status": "True", "observedGeneration": 1}])),
        waits("its controller has not looked at it yet")
    );
    assert_eq!(
        with(
            json!([{"type": "Ready", "status": "True"}, {"type": "Reconciling", "status": "True", "message": "rolls out"}])
        ),
        waits("rolls out")
    );
    assert_eq!(
        with(
            json!([{"type": "Reconciling", "status": "True"}, {"type": "Stalled", "status": "True", "reason": "BadSpec"}])
        ),
        fails("BadSpec")
    );
    let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "status": {"parents": [
        {"parentRef": {"name": "gw"}, "conditions": [{"type": "Accepted", "status": "False", "reason": "NoMatchingListenerHostname"}]}]}});
    assert_eq!(judge(&route), fails("Gateway gw: NoMatchingListenerHostname"));
    assert!(is_judged("cert-manager.io/v1", "Certificate") && is_judged("apps/v1", "Deployment"));
    assert!(!is_judged("v1", "ConfigMap") && !is_judged("networking.k8s.io/v1", "Ingress"));
}

/// A pod of the Deployment `web`, whose one container has this status.
fn pod(name: &str, container: Value) -> Value {
    let mut status = json!({"name": "c", "image": "acme/web:1", "restartCount": 0, "ready": false});
    for (key, value) in container.as_object().expect("a map") {
        status[key] = value.clone();
    }
    json!({"kind": "Pod", "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"pod-template-hash": "5b8f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5b8f", "controller": true}]},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {"phase": "Pending", "podIP": "10.244.0.7", "startTime": stamp(0), "containerStatuses": [status]}})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

fn event(pod: &Value, reason: &str, message: &str) -> Value {
    json!({"reason": reason, "message": message, "lastTimestamp": stamp(1),
        "involvedObject": {"uid": pod["metadata"]["uid"], "fieldPath": "spec.containers{c}"}})
}

fn web() -> Value {
    of("Deployment", json!({}), json!({}))
}

/// What is told of pods and events, while the Deployment is not ready.
fn told(pods: &[Value], events: &[Value], now: i64) -> Vec<Trouble> {
    let mut deployment = web();
    deployment["metadata"]["name"] = json!("web");
    let inventory = BTreeSet::from(["Deployment/web".to_owned()]);
    let looked =
        Looked { not_ready: &[deployment], inventory: &inventory, pods, events, now: at(now) };
    troubles(&looked)
}

fn line(pods: &[Value], events: &[Value], now: i64) -> String {
    let told = told(pods, events, now);
    told.iter().map(Trouble::line).collect::<Vec<_>>().join("\n")
}

#[test]
fn twenty_pods_with_one_cause_are_one_line_with_a_count() {
    let pods: Vec<Value> = (0..20)
        .map(|n| {
            let (reason, message) = if n % 2 == 0 {
                ("ErrImagePull", "rpc error: code = NotFound desc = acme/web:1: not found")
            } else {
                ("ImagePullBackOff", "Back-off pulling image \"acme/web:1\": ErrImagePull: rpc error: code = NotFound desc = acme/web:1: not found")
            };
            pod(&format!("web-5b8f-{n:05}"), waiting(reason, message))
        })
        .collect();
    assert_eq!(
        line(&pods, &[], 60),
        "Deployment/web: container c can't pull image acme/web:1 (ImagePullBackOff): code = NotFound desc = acme/web:1: not found (20 pods)"
    );
    // Kubelets of before 1.32 say nothing of the cause while they back off; the event does.
    let old =
        pod("web-5b8f-1", waiting("ImagePullBackOff", "Back-off pulling image \"acme/web:1\""));
    let event =
        event(&old, "Failed", "Failed to pull image \"acme/web:1\": rpc error: no such host");
    assert!(
        line(std::slice::from_ref(&old), &[event], 60)
            .ends_with("(ImagePullBackOff): no such host")
    );
    assert!(line(&[old], &[], 60).ends_with("(ImagePullBackOff)"));
}

#[test]
fn a_crash_loop_is_told_alike_in_each_of_its_states() {
    let end = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    let states = [
        json!({"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container=c pod=web-1_n(u)"}}, "lastState": end}),
        json!({"restartCount": 4, "state": end}),
        json!({"restartCount": 5, "state": {"running": {"startedAt": stamp(50)}}, "lastState": end}),
    ];
    for (state, previous) in states.into_iter().zip([true, false, true]) {
        let told = told(&[pod("web-5b8f-1", state)], &[], 60);
        let [trouble] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(trouble.line(), "Deployment/web: container c ends again and again: exit code 3");
        assert!(trouble.grave);
        assert_eq!(trouble.log.as_ref().map(|log| log.previous), Some(previous));
    }
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let killed = pod(
        "web-5b8f-1",
        json!({"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": killed}),
    );
    assert!(
        line(&[killed], &[], 60)
            .contains("more memory than its limit of 64Mi (OOMKilled, exit code 137)")
    );
    let said = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "db password=hunter2 refused"}});
    let said = pod(
        "web-5b8f-1",
        json!({"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": said}),
    );
    let said = line(&[said], &[], 60);
    assert!(said.contains("it said: db password=[hidden] refused"), "{said}");
    let once = pod("web-5b8f-1", json!({"restartCount": 0, "state": end}));
    assert_eq!(line(&[once], &[], 60), "", "one end is no loop");
}

#[test]
fn a_container_that_was_restarted_a_moment_ago_is_not_trusted() {
    let end = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    let runs = pod(
        "web-5b8f-1",
        json!({"restartCount": 5, "ready": true, "state": {"running": {"startedAt": stamp(50)}}, "lastState": end}),
    );
    let trouble = restarted_lately(&runs, at(60)).expect("it was");
    assert_eq!(trouble.line(), "Deployment/web: container c ends again and again: exit code 3");
    assert_eq!(restarted_lately(&runs, at(90)), None);
    let never =
        pod("web-5b8f-1", json!({"ready": true, "state": {"running": {"startedAt": stamp(50)}}}));
    assert_eq!(restarted_lately(&never, at(51)), None);
}

#[test]
fn what_may_pass_by_itself_is_grave_only_when_it_lasts() {
    let mut homeless = pod("web-5b8f-1", json!({}));
    homeless["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": stamp(0),
        "message": "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."}]);
    for (now, grave) in [(5, false), (20, true)] {
        let told = told(&[homeless.clone()], &[], now);
        assert_eq!(
            told[0].line(),
            "Deployment/web: it fits on no node: 0/2 nodes are available: 2 Insufficient cpu."
        );
        assert_eq!(told[0].grave, grave);
    }
    let mut mounts = pod("web-5b8f-1", waiting("ContainerCreating", ""));
    mounts["status"]["phase"] = json!("Pending");
    let mut why = event(
        &mounts,
        "FailedMount",
        "MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found",
    );
    why["involvedObject"]["fieldPath"] = json!("");
    let told_now = told(&[mounts], &[why], 20);
    assert_eq!(
        told_now[0].line(),
        "Deployment/web: it waits for a volume: MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found"
    );
    assert!(told_now[0].grave);
}

#[test]
fn a_probe_that_fails_is_told_without_the_pods_address() {
    let slow = |name: &str| pod(name, json!({"state": {"running": {"startedAt": stamp(0)}}}));
    let pods = [slow("web-5b8f-1"), slow("web-5b8f-2")];
    let events: Vec<Value> = pods
        .iter()
        .map(|pod| event(pod, "Unhealthy", "Readiness probe failed: Get \"http://10.244.0.7:80/\": dial tcp 10.244.0.7:80: connect: connection refused"))
        .collect();
    let expected = "Deployment/web: container c does not pass its readiness probe: Get \"http://the pod:80/\": dial tcp the pod:80: connect: connection refused (2 pods)";
    for (now, grave) in [(10, false), (61, true)] {
        let told = told(&pods, &events, now);
        assert_eq!((told.len(), told[0].line().as_str(), told[0].grave), (1, expected, grave));
    }
    assert_eq!(line(&pods, &[], 10), "", "nobody complains yet");
    assert_eq!(line(&pods, &[], 61), "Deployment/web: container c runs and is not ready (2 pods)");
}

#[test]
fn a_workload_whose_pods_are_refused_tells_why() {
    let mut refused = web();
    refused["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "lastTransitionTime": stamp(0),
        "message": "pods \"web-5b8f-x\" is forbidden: exceeded quota: camp, requested: pods=1, used: pods=3, limited: pods=3"}]);
    let inventory = BTreeSet::from(["Deployment/x".to_owned()]);
    let looked = Looked {
        not_ready: &[refused],
        inventory: &inventory,
        pods: &[],
        events: &[],
        now: at(30),
    };
    let told = troubles(&looked);
    assert_eq!(
        told[0].line(),
        "Deployment/x: quota camp is full: pods: 1 more is asked for, 3 of 3 is used"
    );
    assert_eq!((told[0].cause, told[0].grave, told[0].pods), (Cause::Quota, true, 0));

    let mut set = of("StatefulSet", json!({}), json!({}));
    set["metadata"]["uid"] = json!("s");
    let event = |reason: &str, seconds: i64| json!({"reason": reason, "message": "create Pod x-0 in StatefulSet x failed error: pods \"x-0\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces", "lastTimestamp": stamp(seconds), "involvedObject": {"uid": "s"}});
    let lines = |events: &[Value]| {
        let looked = Looked {
            not_ready: &[set.clone()],
            inventory: &inventory,
            pods: &[],
            events,
            now: at(60),
        };
        troubles(&looked).iter().map(Trouble::line).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&[event("FailedCreate", 5)]),
        [
            "StatefulSet/x: its pods are refused: violates PodSecurity \"baseline:latest\": host namespaces"
        ]
    );
    assert_eq!(
        lines(&[event("FailedCreate", 5), event("SuccessfulCreate", 9)]),
        Vec::<String>::new()
    );
}

#[test]
fn pods_of_before_and_of_others_are_not_counted() {
    let bad = || waiting("ImagePullBackOff", "x");
    let mut old = pod("web-1111-a", bad());
    old["metadata"]["labels"]["pod-template-hash"] = json!("1111");
    old["metadata"]["ownerReferences"][0]["name"] = json!("web-1111");
    let mut going = pod("web-5b8f-b", bad());
    going["metadata"]["deletionTimestamp"] = json!(stamp(3));
    let mut cron = pod("tick-1", bad());
    cron["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "tick-1", "controller": true}]);
    let mut deployment = web();
    deployment["metadata"]["name"] = json!("web");
    deployment["status"]["conditions"] = json!([{"type": "Progressing", "status": "True", "message": "ReplicaSet \"web-5b8f\" is progressing."}]);
    let inventory = BTreeSet::from(["Deployment/web".to_owned()]);
    let pods = [old, going, cron];
    let looked = Looked {
        not_ready: &[deployment],
        inventory: &inventory,
        pods: &pods,
        events: &[],
        now: at(60),
    };
    assert_eq!(troubles(&looked), Vec::new());
}

#[test]
fn a_pod_tells_why_it_does_not_run() {
    let quiet = pod("web-5b8f-1", waiting("ContainerCreating", ""));
    assert_eq!(pod_trouble(&quiet), None);
    let config = pod("web-5b8f-1", waiting("CreateContainerConfigError", "secret \"s\" not found"));
    let trouble = pod_trouble(&config).expect("there is trouble");
    assert_eq!(
        trouble.message,
        "container c can't be started (CreateContainerConfigError): secret \"s\" not found"
    );
    assert_eq!((trouble.cause, trouble.object.as_str()), (Cause::Configuration, "Deployment/web"));
    assert_eq!(pod_trouble(&Value::Null), None);
}
