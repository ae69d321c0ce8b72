//! Rows as kubectl prints them. In: objects; out: cells. No I/O.

#![expect(clippy::too_many_lines, reason = "tables of cases, one row each")]

use serde_json::{Value, json};

use super::*;

fn now() -> DateTime<Utc> {
    age::time(&json!("2026-01-01T01:00:00Z")).expect("is a time")
}

fn printed(group: &str, plural: &str, mut object: Value) -> Value {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let kind = TableKind { group, plural, custom: false };
    let table = table(kind, None, &[object], now(), "");
    let columns = table["columnDefinitions"].as_array().expect("has columns");
    let cells = table["rows"][0]["cells"].as_array().expect("has cells");
    assert_eq!(columns.len(), cells.len(), "{plural}");
    json!(cells)
}

fn names(group: &str, plural: &str, priority: i64) -> Vec<String> {
    let kind = TableKind { group, plural, custom: false };
    let table = table::<Value>(kind, None, &[], now(), "");
    let columns = table["columnDefinitions"].as_array().expect("has columns").clone();
    let shown = columns.iter().filter(|column| column["priority"].as_i64() <= Some(priority));
    shown.map(|column| cells::text(&column["name"]).to_uppercase()).collect()
}

#[test]
fn columns_are_those_that_kubectl_shows() {
    for (group, plural, priority, expected) in [
        ("", "pods", 0, "NAME READY STATUS RESTARTS AGE"),
        ("", "pods", 1, "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"),
        ("apps", "deployments", 0, "NAME READY UP-TO-DATE AVAILABLE AGE"),
        ("", "services", 1, "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR"),
        ("", "events", 0, "LAST SEEN TYPE REASON OBJECT MESSAGE"),
        ("events.k8s.io", "events", 0, "LAST SEEN TYPE REASON OBJECT MESSAGE"),
        ("networking.k8s.io", "ingresses", 0, "NAME CLASS HOSTS ADDRESS PORTS AGE"),
        ("rbac.authorization.k8s.io", "roles", 0, "NAME CREATED AT"),
        ("apiextensions.k8s.io", "customresourcedefinitions", 0, "NAME CREATED AT"),
        ("", "limitranges", 0, "NAME CREATED AT"),
        ("batch", "cronjobs", 0, "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE"),
    ] {
        assert_eq!(names(group, plural, priority).join(" "), expected, "{plural}");
    }
}

#[test]
fn the_status_of_a_pod_says_what_its_containers_do() {
    let waiting = |reason: &str| json!({"name": "c", "state": {"waiting": {"reason": reason}}});
    let running = json!({"name": "c", "ready": true, "state": {"running": {}}});
    let done = |reason: &str, code: i64| json!({"name": "c", "state": {"terminated": {"reason": reason, "exitCode": code}}});
    let two = json!([{"name": "c"}, {"name": "d"}]);
    let initialized = json!([{"type": "Initialized", "status": "True"}]);
    for (spec, status, deleted, expected) in [
        (json!({}), json!({"phase": "Pending"}), false, ["0/1", "Pending", "0"]),
        (
            json!({}),
            json!({"phase": "Pending", "containerStatuses": [waiting("ContainerCreating")]}),
            false,
            ["0/1", "ContainerCreating", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Running", "containerStatuses": [running]}),
            false,
            ["1/1", "Running", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Running", "containerStatuses": [running]}),
            true,
            ["1/1", "Terminating", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Succeeded", "containerStatuses": [done("Completed", 0)]}),
            true,
            ["0/1", "Completed", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Failed", "containerStatuses": [done("", 3)]}),
            false,
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Failed", "reason": "Evicted"}),
            false,
            ["0/1", "Evicted", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Running", "containerStatuses": [{
                "name": "c", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:20Z"}},
            }]}),
            false,
            ["0/1", "CrashLoopBackOff", "4 (40s ago)"],
        ),
        (
            json!({}),
            json!({"phase": "Pending", "containerStatuses": [waiting("ImagePullBackOff")]}),
            false,
            ["0/1", "ImagePullBackOff", "0"],
        ),
        (
            json!({"containers": two}),
            json!({"phase": "Running", "containerStatuses": [done("Completed", 0), running]}),
            false,
            ["1/2", "NotReady", "0"],
        ),
        (
            json!({"initContainers": [{"name": "c"}, {"name": "d"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "c", "state": {"running": {}}}]}),
            false,
            ["0/1", "Init:0/2", "0"],
        ),
        (
            json!({"initContainers": [{"name": "c"}, {"name": "d"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [done("Completed", 0), waiting("PodInitializing")]}),
            false,
            ["0/1", "Init:1/2", "0"],
        ),
        (
            json!({"initContainers": [{"name": "c"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [waiting("ImagePullBackOff")]}),
            false,
            ["0/1", "Init:ImagePullBackOff", "0"],
        ),
        (
            json!({"initContainers": [{"name": "c"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [done("", 2)]}),
            false,
            ["0/1", "Init:ExitCode:2", "0"],
        ),
        (
            json!({"initContainers": [{"name": "c"}]}),
            json!({"phase": "Running", "conditions": initialized, "initContainerStatuses": [done("Completed", 0)], "containerStatuses": [running]}),
            false,
            ["1/1", "Running", "0"],
        ),
        (
            json!({"initContainers": [{"name": "c", "restartPolicy": "Always"}]}),
            json!({"phase": "Running", "initContainerStatuses": [{"name": "c", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}}], "containerStatuses": [running]}),
            false,
            ["2/2", "Running", "2"],
        ),
        (
            json!({}),
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            false,
            ["0/1", "SchedulingGated", "0"],
        ),
        (
            json!({}),
            json!({"phase": "Running", "reason": "NodeLost"}),
            true,
            ["0/1", "Unknown", "0"],
        ),
    ] {
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}, "status": status});
        for (key, value) in spec.as_object().expect("is a map") {
            pod["spec"][key] = value.clone();
        }
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let cells = printed("", "pods", pod.clone());
        assert_eq!(
            [&cells[1], &cells[2], &cells[3]],
            [expected[0], expected[1], expected[2]],
            "{pod}"
        );
        assert_eq!(cells[4], "60m");
    }
}

#[test]
fn rows_of_other_kinds() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:2"}]}});
    let chosen = json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["z", "y"]}]});
    for (group, plural, object, expected) in [
        (
            "apps",
            "deployments",
            json!({"spec": {"replicas": 3, "template": template, "selector": chosen}, "status": {"readyReplicas": 1, "updatedReplicas": 3, "availableReplicas": 1}}),
            json!(["x", "1/3", 3, 1, "60m", "a,b", "i:1,i:2", "a=1,b=2,c notin (y,z)"]),
        ),
        (
            "apps",
            "replicasets",
            json!({"spec": {"replicas": 3, "template": template}}),
            json!(["x", 3, 0, 0, "60m", "a,b", "i:1,i:2", "<none>"]),
        ),
        (
            "apps",
            "statefulsets",
            json!({"spec": {"replicas": 2, "template": template}, "status": {"readyReplicas": 2}}),
            json!(["x", "2/2", "60m", "a,b", "i:1,i:2"]),
        ),
        (
            "batch",
            "jobs",
            json!({"spec": {"completions": 1}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:42Z", "conditions": [{"type": "Complete", "status": "True"}]}}),
            json!(["x", "Complete", "1/1", "42s", "60m", "", "", "<none>"]),
        ),
        (
            "batch",
            "jobs",
            json!({"spec": {"parallelism": 2}}),
            json!(["x", "Running", "0/1 of 2", "", "60m", "", "", "<none>"]),
        ),
        (
            "batch",
            "cronjobs",
            json!({"spec": {"schedule": "* * * * *", "suspend": false}, "status": {"lastScheduleTime": "2026-01-01T00:59:00Z", "active": [{}]}}),
            json!(["x", "* * * * *", "<none>", "False", 1, "60s", "60m", "", "", "<none>"]),
        ),
        (
            "",
            "services",
            json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}], "selector": {"a": "b"}}}),
            json!(["x", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "60m", "a=b"]),
        ),
        (
            "",
            "services",
            json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]}}),
            json!(["x", "LoadBalancer", "10.0.0.1", "<pending>", "<none>", "60m", "<none>"]),
        ),
        (
            "",
            "endpoints",
            json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}, {"ip": "1.1.1.3"}, {"ip": "1.1.1.4"}], "ports": [{"port": 80}]}]}),
            json!(["x", "1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...", "60m"]),
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["1.1.1.1"]}], "ports": []}),
            json!(["x", "IPv4", "<unset>", "1.1.1.1", "60m"]),
        ),
        (
            "networking.k8s.io",
            "ingresses",
            json!({"spec": {"ingressClassName": "nginx", "rules": [{"host": "a.b"}], "tls": [{}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
            json!(["x", "nginx", "a.b", "1.2.3.4", "80, 443", "60m"]),
        ),
        ("", "namespaces", json!({"status": {"phase": "Active"}}), json!(["x", "Active", "60m"])),
        (
            "",
            "nodes",
            json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.37.0"}}}),
            json!([
                "x",
                "Ready,SchedulingDisabled",
                "control-plane,worker",
                "60m",
                "v1.37.0",
                "<none>",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>"
            ]),
        ),
        (
            "",
            "events",
            json!({"involvedObject": {"kind": "Pod", "name": "p"}, "type": "Warning", "reason": "BackOff", "message": "no\n", "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:55Z", "count": 3}),
            json!(["5s", "Warning", "BackOff", "pod/p", "", "kubelet, n", "no", "10m", 3, "x"]),
        ),
        (
            "events.k8s.io",
            "events",
            json!({"regarding": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "R", "note": "n", "reportingController": "c", "eventTime": "2026-01-01T00:59:00.000000Z"}),
            json!(["60s", "Normal", "R", "pod/p", "", "c", "n", "60s", 1, "x"]),
        ),
        (
            "",
            "secrets",
            json!({"type": "Opaque", "data": {"a": "", "b": ""}}),
            json!(["x", "Opaque", 2, "60m"]),
        ),
        (
            "",
            "configmaps",
            json!({"data": {"a": ""}, "binaryData": {"b": ""}}),
            json!(["x", 2, "60m"]),
        ),
        (
            "rbac.authorization.k8s.io",
            "clusterroles",
            json!({}),
            json!(["x", "2026-01-01T00:00:00Z"]),
        ),
        (
            "rbac.authorization.k8s.io",
            "rolebindings",
            json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
            json!(["x", "Role/r", "60m", "u, v", "", "n/s"]),
        ),
        (
            "",
            "persistentvolumeclaims",
            json!({"spec": {"volumeName": "v", "storageClassName": "std", "volumeMode": "Filesystem"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
            json!(["x", "Bound", "v", "1Gi", "RWO", "std", "<unset>", "60m", "Filesystem"]),
        ),
        (
            "storage.k8s.io",
            "storageclasses",
            json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}),
            json!(["x (default)", "p", "Delete", "Immediate", false, "60m"]),
        ),
        (
            "",
            "resourcequotas",
            json!({"status": {"hard": {"pods": "10", "limits.cpu": "4", "cpu": "2"}, "used": {"pods": "1", "limits.cpu": "500m"}}}),
            json!(["x", "cpu: 0/2, pods: 1/10", "limits.cpu: 500m/4", "60m"]),
        ),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 4, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
            json!(["x", "Deployment/d", "cpu: <unknown>/80%", "1", 4, 0, "60m"]),
        ),
        (
            "policy",
            "poddisruptionbudgets",
            json!({"spec": {"minAvailable": "50%"}}),
            json!(["x", "50%", "N/A", 0, "60m"]),
        ),
        (
            "coordination.k8s.io",
            "leases",
            json!({"spec": {"holderIdentity": "h"}}),
            json!(["x", "h", "60m"]),
        ),
        (
            "networking.k8s.io",
            "networkpolicies",
            json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
            json!(["x", "a=b", "60m"]),
        ),
        (
            "scheduling.k8s.io",
            "priorityclasses",
            json!({"value": 7}),
            json!(["x", 7, false, "60m", "PreemptLowerPriority"]),
        ),
    ] {
        assert_eq!(printed(group, plural, object), expected, "{plural}");
    }
}

#[test]
fn rows_of_custom_kinds_follow_the_definition() {
    let columns = json!([
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Count", "type": "integer", "jsonPath": ".spec.count"},
        {"name": "Size", "type": "number", "jsonPath": ".spec.size", "priority": 1},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Since", "type": "date", "jsonPath": ".status.since"},
        {"name": "Odd", "type": "date", "jsonPath": ".spec.odd"},
        {"name": "List", "type": "string", "jsonPath": ".spec.list"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.missing"},
        {"name": "Wrong", "type": "integer", "jsonPath": ".spec.odd"},
        {"name": "Float", "type": "integer", "jsonPath": ".spec.size"},
    ]);
    let object = json!({
        "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"count": 3, "size": 1.5, "on": true, "odd": "?", "list": [1, "a"]},
        "status": {"since": "2026-01-01T00:59:58Z", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let kind = TableKind { group: "x.io", plural: "foos", custom: true };
    let made = table(kind, Some(&columns), &[&object], now(), "Object");
    let expected =
        json!(["x", "True", 3, 1.5, true, "2s", "<invalid>", "[1,\"a\"]", null, null, 1]);
    assert_eq!(made["rows"][0]["cells"], expected);
    assert_eq!(made["rows"][0]["object"], object);
    assert_eq!(made["columnDefinitions"][3]["priority"], 1);
    let plain = table(kind, None, &[&object], now(), "None");
    assert_eq!(plain["rows"][0], json!({"cells": ["x", "60m"]}));
    assert_eq!(plain["columnDefinitions"][1]["type"], "date");
}

#[test]
fn a_row_carries_the_metadata_unless_asked_otherwise() {
    let object = json!({"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}});
    let kind = TableKind { group: "", plural: "pods", custom: false };
    let made = table(kind, None, &[object], now(), "Metadata");
    assert_eq!(
        made["rows"][0]["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x"}})
    );
    assert_eq!(made["rows"][0]["conditions"][0]["reason"], "Succeeded");
    assert_eq!(made["columnDefinitions"][0]["format"], "name");
    assert_eq!(made["rows"][0]["cells"][4], "<unknown>");
}
