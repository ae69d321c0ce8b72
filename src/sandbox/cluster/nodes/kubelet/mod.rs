//! What a node makes of the pods that are bound to it: phases, conditions and container statuses as kubelet writes them.
//! Pure but for its memory of when stages began.

mod container;
mod needs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::controllers::kit::resource::{CLAIMS, CONFIG_MAPS, NODES, PODS, SECRETS};
use super::super::controllers::kit::{
    Action, Caches, Controller, Deletion, Event, Key, Resource, json,
};
use super::super::controllers::pods;
use super::{Options, register, rules};
use container::{Life, Marks, Next};
use rules::Fate;

/// The kubelets of all our nodes.
pub(super) struct Kubelet {
    options: Options,
    /// Marks of each pod, by UID.
    memory: Mutex<BTreeMap<String, Marks>>,
}

impl Kubelet {
    pub(super) fn new(options: Options) -> Self {
        Self { options, memory: Mutex::new(BTreeMap::new()) }
    }
}

impl Controller for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&PODS, &NODES, &CONFIG_MAPS, &SECRETS, &CLAIMS]
    }

    fn keys(&self, resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key> {
        if *resource == PODS {
            let key = Key::of(object);
            let there = caches.get(&PODS, &key.namespace, &key.name);
            if there.is_none_or(|p| json::uid(p) != json::uid(object)) {
                self.memory
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(json::uid(object));
            }
            return vec![key];
        }
        if *resource == NODES {
            return Vec::new();
        }
        // Only pods that have not begun may wait for it.
        caches
            .within(&PODS, json::namespace(object))
            .filter(|p| matches!(json::text(p, "/status/phase"), "" | "Pending"))
            .map(|p| Key::of(p))
            .collect()
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(pod) = caches.get(&PODS, &key.namespace, &key.name) else { return Vec::new() };
        let node = json::text(pod, "/spec/nodeName");
        if caches.get(&NODES, "", node).is_none() {
            return Vec::new();
        }
        if json::is_deleting(pod) {
            return stop(pod, self.options.stop, now);
        }
        if pods::is_finished(pod) {
            return Vec::new();
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = memory.entry(json::uid(pod).to_owned()).or_default();
        step(pod, caches, &self.options, marks, now)
    }
}

/// A pod that is to end does so a moment after it was asked.
fn stop(pod: &Value, usual: Duration, now: DateTime<Utc>) -> Vec<Action> {
    let grace = json::int(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(0).max(0);
    let ends = json::time(pod, "/metadata/deletionTimestamp").unwrap_or(now);
    let asked = ends - chrono::Duration::seconds(grace.min(1 << 30));
    let wait = usual.min(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
    let waited = (now - asked).to_std().unwrap_or_default();
    if waited < wait {
        return vec![Action::After(wait.saturating_sub(waited))];
    }
    if grace == 0 && !json::list(pod, "/metadata/finalizers").is_empty() {
        // It has been told already; somebody else's finalizer holds it.
        return Vec::new();
    }
    let uid = json::uid(pod).to_owned();
    let deletion = Deletion { uid, grace: Some(0), ..Deletion::default() };
    vec![Action::Delete(&PODS, pod.clone(), deletion)]
}

/// All containers of one list, with what people should hear of them.
#[derive(Default)]
struct Group {
    statuses: Vec<Value>,
    again: Option<Duration>,
    events: Vec<(bool, &'static str, String)>,
}

impl Group {
    fn add(&mut self, next: Next) {
        self.statuses.push(next.status);
        self.again = sooner(self.again, next.again);
        self.events.extend(next.events);
    }
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn step(
    pod: &Value,
    caches: &Caches,
    options: &Options,
    marks: &mut Marks,
    now: DateTime<Utc>,
) -> Vec<Action> {
    let missing = if json::text(pod, "/status/phase") == "Running" {
        None
    } else {
        needs::missing_mount(pod, caches)
    };
    let mut events = Vec::new();
    let init = init_containers(pod, caches, options, missing.is_some(), marks, now);
    let initialized = init.statuses.iter().zip(json::list(pod, "/spec/initContainers")).all(
        |(status, container)| {
            json::int(status, "/state/terminated/exitCode") == Some(0)
                || (json::text(container, "/restartPolicy") == "Always"
                    && json::flag(status, "/started"))
        },
    );
    let held = missing.is_some() || !initialized;
    let main = main_containers(pod, caches, options, held, initialized, marks, now);
    if let Some(why) = &missing {
        events.push((true, "FailedMount", why.clone()));
    }
    let again = sooner(init.again, main.again);
    let told = status(pod, caches, &init, &main, (missing.is_none(), initialized), now);
    events.extend(init.events);
    events.extend(main.events);
    let mut actions: Vec<Action> = Action::status(&PODS, pod, told).into_iter().collect();
    if actions.is_empty() {
        actions.extend(log(pod));
        events.retain(|(_, reason, _)| *reason == container::UNHEALTHY);
    }
    let tell = |(warning, reason, message): (bool, &'static str, String)| {
        if warning {
            Event::warning(pod, reason, message)
        } else {
            Event::normal(pod, reason, message)
        }
    };
    actions.extend(events.into_iter().map(tell));
    actions.extend(again.map(|wait| Action::After(wait.max(Duration::from_millis(1)))));
    actions
}

fn before<'a>(pod: &'a Value, list: &str, container: &Value) -> &'a Value {
    json::list(pod, list)
        .iter()
        .find(|s| json::text(s, "/name") == json::text(container, "/name"))
        .unwrap_or(&Value::Null)
}

/// A container that may not begin yet.
fn not_yet(pod: &Value, container: &Value, reason: &str, now: DateTime<Utc>) -> Value {
    let life = Life {
        pod,
        container,
        before: &Value::Null,
        fate: Fate::Runs,
        missing: None,
        policy: "Always",
        ready: None,
        start: Duration::MAX,
        run: Duration::MAX,
        now,
    };
    let mut status = life.step(&mut Marks::new()).status;
    json::set(&mut status, &["state", "waiting", "reason"], reason.into());
    status
}

fn init_containers(
    pod: &Value,
    caches: &Caches,
    options: &Options,
    held: bool,
    marks: &mut Marks,
    now: DateTime<Utc>,
) -> Group {
    let mut group = Group::default();
    let mut held = held;
    for container in json::list(pod, "/spec/initContainers") {
        if held {
            group.statuses.push(not_yet(pod, container, "PodInitializing", now));
            continue;
        }
        let sidecar = json::text(container, "/restartPolicy") == "Always";
        // An init container that fails is tried again, unless the pod is not restarted at all.
        let policy = match json::text(pod, "/spec/restartPolicy") {
            _ if sidecar => "Always",
            "Never" => "Never",
            _ => "OnFailure",
        };
        let life = Life {
            pod,
            container,
            before: before(pod, "/status/initContainerStatuses", container),
            fate: rules::init_fate(pod, container),
            missing: needs::missing_environment(pod, container, caches),
            policy,
            ready: sidecar.then_some(Duration::ZERO),
            start: options.start,
            run: options.run.min(Duration::from_millis(100)),
            now,
        };
        let next = life.step(marks);
        let done = json::int(&next.status, "/state/terminated/exitCode") == Some(0);
        held = !(done || (sidecar && json::flag(&next.status, "/started")));
        let mut next = next;
        if done {
            json::set(&mut next.status, &["ready"], true.into());
        }
        group.add(next);
    }
    group
}

fn main_containers(
    pod: &Value,
    caches: &Caches,
    options: &Options,
    held: bool,
    initialized: bool,
    marks: &mut Marks,
    now: DateTime<Utc>,
) -> Group {
    let mut group = Group::default();
    let policy = match json::text(pod, "/spec/restartPolicy") {
        "" => "Always",
        policy => policy,
    };
    for (index, container) in json::list(pod, "/spec/containers").iter().enumerate() {
        let known = before(pod, "/status/containerStatuses", container);
        let begun = known.pointer("/state/running").is_some()
            || known.pointer("/state/terminated").is_some()
            || known.pointer("/lastState/terminated").is_some();
        if held && !begun {
            let reason = if initialized { "ContainerCreating" } else { "PodInitializing" };
            group.statuses.push(not_yet(pod, container, reason, now));
            continue;
        }
        let restarts = json::int(known, "/restartCount").unwrap_or(0);
        let life = Life {
            pod,
            container,
            before: known,
            fate: rules::fate(pod, container, index == 0, restarts),
            missing: needs::missing_environment(pod, container, caches),
            policy,
            ready: rules::ready_after(pod, container, options.ready),
            start: options.start,
            run: options.run,
            now,
        };
        group.add(life.step(marks));
    }
    group
}

/// The phase, by what its containers are at.
fn phase(pod: &Value, init: &Group, main: &Group, initialized: bool) -> &'static str {
    let ended = |s: &Value| json::int(s, "/state/terminated/exitCode");
    let never = json::text(pod, "/spec/restartPolicy") == "Never";
    if !initialized {
        let failed = init.statuses.iter().any(|s| ended(s).is_some_and(|code| code != 0));
        return if never && failed { "Failed" } else { "Pending" };
    }
    let codes: Option<Vec<i64>> = main.statuses.iter().map(ended).collect();
    if let Some(codes) = codes
        && !codes.is_empty()
    {
        let well = codes.iter().all(|code| *code == 0);
        return match json::text(pod, "/spec/restartPolicy") {
            "Never" if !well => "Failed",
            "Never" | "OnFailure" if well => "Succeeded",
            _ => "Running",
        };
    }
    let begun = |s: &Value| {
        s.pointer("/state/waiting").is_none() || s.pointer("/lastState/terminated").is_some()
    };
    if main.statuses.iter().all(begun) { "Running" } else { "Pending" }
}

fn status(
    pod: &Value,
    caches: &Caches,
    init: &Group,
    main: &Group,
    (mounted, initialized): (bool, bool),
    now: DateTime<Utc>,
) -> Value {
    let mut status = pod.get("status").cloned().unwrap_or_else(|| json!({}));
    let phase = phase(pod, init, main, initialized);
    let over = matches!(phase, "Succeeded" | "Failed");
    json::set(&mut status, &["phase"], phase.into());
    let index = caches
        .all(&NODES)
        .position(|n| json::name(n) == json::text(pod, "/spec/nodeName"))
        .unwrap_or(0);
    let host = register::address(index);
    json::set(&mut status, &["hostIP"], host.clone().into());
    json::set(&mut status, &["hostIPs"], json!([{ "ip": host }]));
    if json::text(&status, "/startTime").is_empty() {
        json::set(&mut status, &["startTime"], json::stamp(now).into());
    }
    if mounted && json::text(&status, "/podIP").is_empty() {
        let address = if json::flag(pod, "/spec/hostNetwork") {
            host
        } else {
            free_address(pod, index, caches)
        };
        json::set(&mut status, &["podIP"], address.clone().into());
        json::set(&mut status, &["podIPs"], json!([{ "ip": address }]));
    }
    if json::text(&status, "/qosClass").is_empty() {
        json::set(&mut status, &["qosClass"], quality(pod).into());
    }
    if !init.statuses.is_empty() {
        json::set(&mut status, &["initContainerStatuses"], init.statuses.clone().into());
    }
    json::set(&mut status, &["containerStatuses"], main.statuses.clone().into());
    let conditions = conditions(pod, init, main, (mounted, initialized, over), phase, now);
    json::set(&mut status, &["conditions"], conditions.into());
    status
}

fn conditions(
    pod: &Value,
    init: &Group,
    main: &Group,
    (mounted, initialized, over): (bool, bool, bool),
    phase: &str,
    now: DateTime<Utc>,
) -> Vec<Value> {
    let mut conditions = json::list(pod, "/status/conditions").to_vec();
    let mut put = |kind: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        let (reason, message) =
            if holds && reason != "PodCompleted" { ("", "") } else { (reason, message) };
        json::set_condition(&mut conditions, kind, status, reason, message, now);
    };
    let completed = if phase == "Succeeded" { "PodCompleted" } else { "" };
    put("PodReadyToStartContainers", mounted && !over, "", "");
    let unfinished =
        names(&init.statuses, |s| json::int(s, "/state/terminated/exitCode") != Some(0));
    let message = format!("containers with incomplete status: [{}]", unfinished.join(" "));
    let reason = if completed.is_empty() { "ContainersNotInitialized" } else { completed };
    put("Initialized", initialized, reason, if initialized { "" } else { &message });
    let unready = names(&main.statuses, |s| !json::flag(s, "/ready"));
    let ready = initialized && unready.is_empty() && !over;
    let (reason, message) = match phase {
        "Succeeded" => ("PodCompleted", String::new()),
        "Failed" => ("PodFailed", String::new()),
        _ => (
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ),
    };
    let gates = json::list(pod, "/spec/readinessGates");
    let open = gates.iter().all(|g| json::is_true(pod, json::text(g, "/conditionType")));
    put("Ready", ready && open, if ready { "ReadinessGatesNotReady" } else { reason }, &message);
    put("ContainersReady", ready, reason, &message);
    put("PodScheduled", true, "", "");
    conditions
}

fn names(statuses: &[Value], which: impl Fn(&Value) -> bool) -> Vec<String> {
    statuses.iter().filter(|s| which(s)).map(|s| json::text(s, "/name").to_owned()).collect()
}

/// An address of the node's range that no other pod has.
fn free_address(pod: &Value, index: usize, caches: &Caches) -> String {
    let taken: std::collections::BTreeSet<&str> =
        caches.all(&PODS).map(|p| json::text(p, "/status/podIP")).collect();
    let first = json::hash(json::uid(pod));
    let of = |n: u64| {
        // 4094 hosts of a /20: neither its network nor its broadcast address.
        let host = n % 4094 + 1;
        let base = u64::try_from(index % 16).unwrap_or(0) * 16;
        format!("10.244.{}.{}", base + host / 256, host % 256)
    };
    (0..4094)
        .map(|step| of((first % 4094) + step))
        .find(|address| !taken.contains(address.as_str()))
        .unwrap_or_else(|| of(first))
}

fn quality(pod: &Value) -> &'static str {
    let containers = json::list(pod, "/spec/containers");
    let amount = |c: &Value, kind: &str, name: &str| {
        c.pointer(&format!("/resources/{kind}/{name}")).map(Value::to_string)
    };
    let any = containers.iter().any(|c| {
        ["requests", "limits"]
            .iter()
            .any(|kind| ["cpu", "memory"].iter().any(|name| amount(c, kind, name).is_some()))
    });
    let all = containers.iter().all(|c| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(c, "limits", name);
            limit.is_some() && amount(c, "requests", name).is_none_or(|r| Some(r) == limit)
        })
    });
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Marks lines that the node wrote: a log that the pod came with is not touched.
const OURS: &str = "[sandbox] ";

/// Writes what the pod's log says, where the API server's `log` subresource reads it.
fn log(pod: &Value) -> Option<Action> {
    let known = json::annotation(pod, rules::LOG);
    if known.is_some_and(|text| !text.starts_with(OURS)) {
        return None;
    }
    let mut text = String::new();
    for status in json::list(pod, "/status/containerStatuses") {
        let (name, image) = (json::text(status, "/name"), json::text(status, "/image"));
        let begun = status.get("containerID").is_some();
        let ended = ["/state", "/lastState"]
            .iter()
            .find_map(|s| json::int(status, &format!("{s}/terminated/exitCode")));
        if begun || ended.is_some() {
            let _ = writeln!(text, "{OURS}container {name} started from image {image}");
        }
        if let Some(code) = ended {
            let _ = writeln!(text, "{OURS}container {name} ended with exit code {code}");
        }
    }
    if text.is_empty() || known == Some(text.as_str()) {
        return None;
    }
    let patch = json!({ "metadata": { "annotations": { (rules::LOG): text } } });
    Some(Action::Patch(&PODS, pod.clone(), patch))
}

#[cfg(test)]
mod tests;
