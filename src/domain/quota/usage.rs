//! PURE · what one object takes of what a quota may count, as the API server's admission counts it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Amount;
use crate::domain::bundle::{BundleObject, group_of};

/// What one object takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// By the name that a quota has for it.
    pub(super) amounts: BTreeMap<String, Amount>,
    /// Containers that say nothing of what a quota may count and demand, by its name.
    pub(super) unsaid: BTreeMap<String, Vec<String>>,
    /// Why its pods are refused whatever a quota says.
    pub(super) impossible: Vec<String>,
}

/// What containers get that say nothing: of the LimitRange beside the bundle.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    limits: BTreeMap<String, Amount>,
    requests: BTreeMap<String, Amount>,
    max: BTreeMap<String, Amount>,
}

impl Defaults {
    pub(super) fn of(beside: &[Value]) -> Self {
        let mut defaults = Self::default();
        let ranges = beside.iter().filter(|object| text(object, "/kind") == "LimitRange");
        for limit in ranges.flat_map(|range| elements(range, "/spec/limits")) {
            if text(limit, "/type") != "Container" {
                continue;
            }
            defaults.limits.extend(amounts(limit.get("default")));
            defaults.requests.extend(amounts(limit.get("defaultRequest")));
            defaults.max.extend(amounts(limit.get("max")));
        }
        // As the API server fills in a LimitRange.
        for (name, amount) in &defaults.max {
            defaults.limits.entry(name.clone()).or_insert(*amount);
        }
        for (name, amount) in &defaults.limits {
            defaults.requests.entry(name.clone()).or_insert(*amount);
        }
        defaults
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn elements<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn amount(value: &Value) -> Option<Amount> {
    match value {
        Value::String(text) => Amount::parse(text),
        Value::Number(number) => Amount::parse(&number.to_string()),
        _ => None,
    }
}

fn amounts(map: Option<&Value>) -> BTreeMap<String, Amount> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), amount(value)?))).collect()
}

impl Usage {
    fn add(&mut self, name: impl Into<String>, amount: Amount) {
        let entry = self.amounts.entry(name.into()).or_default();
        *entry = entry.plus(amount);
    }
}

/// What `object` takes; `all` are asked for autoscalers.
pub(super) fn of(object: &Value, all: &[BundleObject], defaults: &Defaults) -> Usage {
    let mut usage = Usage::default();
    let group = group_of(text(object, "/apiVersion"));
    let kind = text(object, "/kind");
    usage.add(counted(group, kind), Amount::whole(1));
    match (group, kind) {
        ("", "Service") => service(&mut usage, object),
        ("", "PersistentVolumeClaim") => claim(&mut usage, object.get("spec"), 1),
        ("", "ConfigMap") => usage.add("configmaps", Amount::whole(1)),
        ("", "Secret") => usage.add("secrets", Amount::whole(1)),
        ("", "ReplicationController") => usage.add("replicationcontrollers", Amount::whole(1)),
        _ => {}
    }
    let Some((spec, times)) = pods(object, group, kind, all) else { return usage };
    if kind == "StatefulSet" {
        for template in elements(object, "/spec/volumeClaimTemplates") {
            usage.add("count/persistentvolumeclaims", Amount::whole(times));
            claim(&mut usage, template.get("spec"), times);
        }
    }
    if (group, kind) != ("", "Pod") {
        usage.add("count/pods", Amount::whole(times));
    }
    if times > 0 {
        usage.add("pods", Amount::whole(times));
        pod(&mut usage, spec, times, defaults);
        for volume in elements(spec, "/volumes") {
            if let Some(spec) = volume.pointer("/ephemeral/volumeClaimTemplate/spec") {
                usage.add("count/persistentvolumeclaims", Amount::whole(times));
                claim(&mut usage, Some(spec), times);
            }
        }
    }
    usage
}

/// `count/deployments.apps`.
fn counted(group: &str, kind: &str) -> String {
    let mut plural = kind.to_ascii_lowercase();
    if let Some(stem) =
        plural.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']))
    {
        plural = format!("{stem}ies");
    } else if plural.ends_with("ss") || plural.ends_with('x') || plural.ends_with("ch") {
        plural.push_str("es");
    } else if !plural.ends_with('s') {
        plural.push('s');
    }
    if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") }
}

fn service(usage: &mut Usage, object: &Value) {
    usage.add("services", Amount::whole(1));
    let ports = u64::try_from(elements(object, "/spec/ports").count()).unwrap_or(u64::MAX);
    match text(object, "/spec/type") {
        "NodePort" => usage.add("services.nodeports", Amount::whole(ports)),
        "LoadBalancer" => {
            usage.add("services.loadbalancers", Amount::whole(1));
            let none = object.pointer("/spec/allocateLoadBalancerNodePorts");
            if none != Some(&Value::Bool(false)) {
                usage.add("services.nodeports", Amount::whole(ports));
            }
        }
        _ => {}
    }
}

fn claim(usage: &mut Usage, spec: Option<&Value>, times: u64) {
    let Some(spec) = spec else { return };
    let size = spec.pointer("/resources/requests/storage").and_then(amount).unwrap_or_default();
    let class = text(spec, "/storageClassName");
    usage.add("persistentvolumeclaims", Amount::whole(times));
    usage.add("requests.storage", size.times(times));
    if !class.is_empty() {
        let prefix = format!("{class}.storageclass.storage.k8s.io/");
        usage.add(format!("{prefix}persistentvolumeclaims"), Amount::whole(times));
        usage.add(format!("{prefix}requests.storage"), size.times(times));
    }
}

/// The spec of the pods that an object makes, and how many there are.
fn pods<'a>(
    object: &'a Value,
    group: &str,
    kind: &str,
    all: &[BundleObject],
) -> Option<(&'a Value, u64)> {
    let template = object.pointer("/spec/template/spec");
    match (group, kind) {
        ("", "Pod") => Some((object.get("spec")?, 1)),
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "ReplicationController") => {
            let said = number(object, "/spec/replicas");
            let name = text(object, "/metadata/name");
            Some((template?, autoscaled(kind, name, all).unwrap_or(0).max(said.unwrap_or(1))))
        }
        // As many as there are nodes, which nobody here knows: one at least.
        ("apps", "DaemonSet") => Some((template?, 1)),
        ("batch", "Job") => {
            let suspended = object.pointer("/spec/suspend") == Some(&Value::Bool(true));
            let at_once = number(object, "/spec/parallelism").unwrap_or(1);
            let all = number(object, "/spec/completions").unwrap_or(u64::MAX).max(1);
            Some((template?, if suspended { 0 } else { at_once.min(all) }))
        }
        ("batch", "CronJob") => {
            let suspended = object.pointer("/spec/suspend") == Some(&Value::Bool(true));
            let at_once = number(object, "/spec/jobTemplate/spec/parallelism").unwrap_or(1);
            let spec = object.pointer("/spec/jobTemplate/spec/template/spec")?;
            Some((spec, if suspended { 0 } else { at_once }))
        }
        _ => None,
    }
}

/// The least that an autoscaler of the bundle asks for.
fn autoscaled(kind: &str, name: &str, all: &[BundleObject]) -> Option<u64> {
    all.iter()
        .map(|object| &object.json)
        .filter(|object| {
            text(object, "/kind") == "HorizontalPodAutoscaler"
                && text(object, "/spec/scaleTargetRef/kind") == kind
                && text(object, "/spec/scaleTargetRef/name") == name
        })
        .map(|object| number(object, "/spec/minReplicas").unwrap_or(1))
        .max()
}

/// The requests and limits of a pod: the sum of what runs side by side, or what an init container needs where that is
/// more.
fn pod(usage: &mut Usage, spec: &Value, times: u64, defaults: &Defaults) {
    let mut sums = [BTreeMap::new(), BTreeMap::new()];
    for container in elements(spec, "/containers") {
        let own = resources(usage, container, defaults, true);
        for (sum, own) in sums.iter_mut().zip(own) {
            for (name, amount) in own {
                let entry: &mut Amount = sum.entry(name).or_default();
                *entry = entry.plus(amount);
            }
        }
    }
    // An init container that goes on running counts beside all others, and beside those that come after it.
    let mut beside = [BTreeMap::<String, Amount>::new(), BTreeMap::new()];
    let mut peak = [BTreeMap::<String, Amount>::new(), BTreeMap::new()];
    for container in elements(spec, "/initContainers") {
        let stays = text(container, "/restartPolicy") == "Always";
        let own = resources(usage, container, defaults, false);
        for ((beside, peak), own) in beside.iter_mut().zip(&mut peak).zip(own) {
            for (name, amount) in own {
                let with = beside.get(&name).copied().unwrap_or_default().plus(amount);
                let entry = peak.entry(name.clone()).or_default();
                *entry = entry.max(with);
                if stays {
                    beside.insert(name, with);
                }
            }
        }
    }
    for (((prefix, sum), beside), peak) in
        ["requests", "limits"].into_iter().zip(sums).zip(beside).zip(peak)
    {
        let mut all = sum;
        for (name, amount) in beside {
            let entry = all.entry(name).or_default();
            *entry = entry.plus(amount);
        }
        for (name, amount) in peak {
            let entry = all.entry(name).or_default();
            *entry = entry.max(amount);
        }
        for (name, amount) in all {
            let amount = amount.times(times);
            if prefix == "requests"
                && matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
            {
                usage.add(name.clone(), amount);
            }
            usage.add(format!("{prefix}.{name}"), amount);
        }
    }
}

/// Requests and limits of a container, with what it gets when it names none.
fn resources(
    usage: &mut Usage,
    container: &Value,
    defaults: &Defaults,
    demanded: bool,
) -> [BTreeMap<String, Amount>; 2] {
    let mut limits = amounts(container.pointer("/resources/limits"));
    let mut requests = amounts(container.pointer("/resources/requests"));
    // A limit that is said and no request: the request is the limit.
    for (name, amount) in &limits {
        requests.entry(name.clone()).or_insert(*amount);
    }
    for (name, amount) in &defaults.limits {
        limits.entry(name.clone()).or_insert(*amount);
    }
    for (name, amount) in &defaults.requests {
        requests.entry(name.clone()).or_insert(*amount);
    }
    let own = text(container, "/name");
    for (name, limit) in &limits {
        let request = requests.get(name).copied().unwrap_or_default();
        if !request.at_most(*limit) {
            usage.impossible.push(format!(
                "container {own} asks for {name} {request}, and its limit is {limit}: write a limit that is as large at least"
            ));
        }
        if let Some(max) = defaults.max.get(name).filter(|max| !limit.at_most(**max)) {
            usage.impossible.push(format!(
                "container {own} has the limit {name} {limit}, and {max} is the most"
            ));
        }
    }
    if demanded {
        for name in ["cpu", "memory"] {
            let mut unsaid = |what: String| {
                usage.unsaid.entry(what).or_default().push(own.to_owned());
            };
            if !requests.contains_key(name) {
                unsaid(name.to_owned());
                unsaid(format!("requests.{name}"));
            }
            if !limits.contains_key(name) {
                unsaid(format!("limits.{name}"));
            }
        }
    }
    [requests, limits]
}
