use serde_json::json;

use super::*;
use crate::domain::bundle::{BundleObject, Origin, Wave};

fn bundle(objects: Vec<Value>) -> Bundle {
    let objects = objects
        .into_iter()
        .zip(1..)
        .map(|(json, line)| BundleObject {
            json,
            origin: Origin { file: "web.yaml".into(), line },
            app: String::new(),
            wave: Wave::Workloads,
            positions: crate::domain::positions::Positions::default(),
        })
        .collect();
    Bundle {
        objects,
        inputs_digest: String::new(),
        digest: String::new(),
        random: Vec::new(),
        delete_data: false,
    }
}

fn deployment(name: &str, replicas: u64, resources: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas,
        "template": {"spec": {"containers": [{"name": "c", "image": "x", "resources": resources}]}},
    }})
}

fn quota(hard: &[(&str, &str)]) -> Vec<Quota> {
    let hard = hard.iter().map(|(name, amount)| ((*name).into(), (*amount).into())).collect();
    vec![Quota { name: "bivouac-quota".into(), hard }]
}

fn said(objects: Vec<Value>, hard: &[(&str, &str)], beside: &[Value]) -> Vec<String> {
    match fits(&bundle(objects), &quota(hard), beside) {
        Ok(()) => Vec::new(),
        Err(findings) => findings
            .iter()
            .map(|finding| {
                format!(
                    "{}:{} {}",
                    finding.file.as_deref().unwrap_or_default(),
                    finding.line.unwrap_or(0),
                    finding.message
                )
            })
            .collect(),
    }
}

#[test]
fn what_all_pods_ask_for_is_summed_with_replicas_and_the_figure_is_said() {
    let all = || {
        vec![
            deployment("small", 1, &json!({"requests": {"cpu": "500m"}})),
            deployment("web", 3, &json!({"requests": {"cpu": "1500m"}})),
        ]
    };
    assert_eq!(said(all(), &[("requests.cpu", "5")], &[]), Vec::<String>::new());
    assert_eq!(
        said(all(), &[("requests.cpu", "4"), ("pods", "4")], &[]),
        [
            "web.yaml:2 requests.cpu: the preview needs 5, quota bivouac-quota allows 4 (Deployment/web 4500m, Deployment/small 500m)"
        ]
    );
    assert_eq!(
        said(all(), &[("pods", "3")], &[]),
        [
            "web.yaml:2 pods: the preview needs 4, quota bivouac-quota allows 3 (Deployment/web 3, Deployment/small 1)"
        ]
    );
}

#[test]
fn containers_that_say_nothing_count_with_the_defaults_of_the_limit_range() {
    let beside = [json!({"kind": "LimitRange", "spec": {"limits": [
        {"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"memory": "128Mi"}}]}})];
    let web = || vec![deployment("web", 4, &json!({}))];
    let hard = [("limits.memory", "3Gi"), ("requests.memory", "1Gi")];
    assert_eq!(
        said(web(), &hard, &beside),
        [
            "web.yaml:1 limits.memory: the preview needs 4Gi, quota bivouac-quota allows 3Gi (Deployment/web 4Gi)"
        ]
    );
    assert_eq!(
        said(web(), &[("limits.cpu", "9")], &beside),
        [
            "web.yaml:1 Deployment/web: quota bivouac-quota counts limits.cpu, and containers c do not say it"
        ]
    );
    let greedy = vec![deployment("web", 1, &json!({"requests": {"memory": "2Gi"}}))];
    assert_eq!(
        said(greedy, &[], &beside),
        [
            "web.yaml:1 container c asks for memory 2Gi, and its limit is 1Gi: write a limit that is as large at least"
        ]
    );
}

#[test]
fn init_containers_count_where_they_need_more_and_those_that_stay_count_beside() {
    let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "a", "resources": cpu("1")}],
        "initContainers": [
            {"name": "proxy", "restartPolicy": "Always", "resources": cpu("1")},
            {"name": "migrate", "resources": cpu("3")},
        ],
    }});
    let needs = said(vec![pod], &[("requests.cpu", "1")], &[]);
    assert!(needs[0].contains("needs 4,"), "{needs:?}");
}

#[test]
fn storage_counts_with_the_replicas_of_a_stateful_set_and_with_its_class() {
    let claim = json!({"resources": {"requests": {"storage": "5Gi"}}, "storageClassName": "fast"});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "replicas": 3, "template": {"spec": {"containers": []}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }});
    let alone = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x"}, "spec": claim});
    let all = || vec![set.clone(), alone.clone()];
    let hard = [
        ("requests.storage", "20Gi"),
        ("persistentvolumeclaims", "4"),
        ("fast.storageclass.storage.k8s.io/requests.storage", "20Gi"),
    ];
    assert_eq!(said(all(), &hard, &[]), Vec::<String>::new());
    assert_eq!(
        said(all(), &[("requests.storage", "19Gi")], &[]),
        [
            "web.yaml:1 requests.storage: the preview needs 20Gi, quota bivouac-quota allows 19Gi (StatefulSet/db 15Gi, PersistentVolumeClaim/x 5Gi)"
        ]
    );
}

#[test]
fn services_that_lead_around_the_ingress_and_our_own_objects_are_counted() {
    let service = |name: &str, kind: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": kind, "ports": [{"port": 80}, {"port": 81}]}})
    };
    let never = [("services.loadbalancers", "0"), ("services.nodeports", "0")];
    assert_eq!(said(vec![service("a", "ClusterIP")], &never, &[]), Vec::<String>::new());
    let both = said(vec![service("a", "LoadBalancer")], &never, &[]);
    assert!(both[0].contains("services.loadbalancers: the preview needs 1"), "{both:?}");
    assert!(both[1].contains("services.nodeports: the preview needs 2"), "{both:?}");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let ours = [json!({"kind": "ConfigMap"})];
    assert_eq!(said(vec![map.clone()], &[("count/configmaps", "3")], &ours), Vec::<String>::new());
    assert_eq!(said(vec![map], &[("configmaps", "2")], &ours).len(), 1);
}

#[test]
fn an_autoscaler_counts_with_what_it_asks_for_at_least_and_a_job_with_what_runs_at_once() {
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"minReplicas": 6, "maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
        "parallelism": 5, "completions": 2, "template": {"spec": {"containers": []}}}});
    let all = vec![deployment("web", 1, &json!({})), scaler, job];
    let pods = said(all, &[("pods", "1")], &[]);
    assert!(pods[0].contains("needs 8,"), "{pods:?}");
}
