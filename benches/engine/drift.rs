//! Changes by hand on objects of camps that stand, one after another: how long until each is put back. Input: a world;
//! output: a sample. I/O with the world.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::seams::BoxError;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::numbers::{Sample, say};
use crate::world::{PATIENCE, World, is_applied};

/// Camps that the changes are spread over.
const CAMPS: usize = 4;
/// A fresh camp's last changes are its own.
const SETTLE: Duration = Duration::from_secs(5);

/// A field of an object, what the bundle says there, and what somebody puts there.
struct Target {
    kind: (&'static str, &'static str, &'static str),
    name: String,
    field: &'static str,
    before: Value,
    change: Value,
}

/// Everything in a camp that is changed, each once: a field is a fight when it is put back three times in ten minutes.
fn targets(settings: usize) -> Vec<Target> {
    let mut all = Vec::new();
    for number in 1..=settings {
        all.push(Target {
            kind: ("", "v1", "ConfigMap"),
            name: format!("settings-{number}"),
            field: "/data/number",
            before: json!(number.to_string()),
            change: json!({"data": {"number": "mine"}}),
        });
    }
    for (name, replicas) in [("web", 1), ("idle", 0)] {
        all.push(Target {
            kind: ("apps", "v1", "Deployment"),
            name: name.into(),
            field: "/spec/replicas",
            before: json!(replicas),
            change: json!({"spec": {"replicas": replicas + 2}}),
        });
    }
    for kind in [("", "v1", "Service"), ("networking.k8s.io", "v1", "Ingress")] {
        all.push(Target {
            kind,
            name: "web".into(),
            field: "/metadata/labels/bivouac.dev~1app",
            before: json!("web"),
            change: json!({"metadata": {"labels": {"bivouac.dev/app": "mine"}}}),
        });
    }
    all
}

fn resource((group, version, kind): (&str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Objects of one kind in one camp, as they change.
type Watch = BoxStream<'static, Result<DynamicObject, watcher::Error>>;

/// Changes so many objects.
pub(crate) async fn measure(world: &World, changes: usize) -> Result<Sample, BoxError> {
    let mut camps = Vec::new();
    for index in 0..if changes == 0 { 0 } else { CAMPS } {
        let branch = format!("drift-{index}");
        let files = BTreeMap::from([("CHANGES.md", branch.as_str())]);
        camps.push(world.pull(&branch, &files)?);
    }
    let (mut namespaces, mut settings) = (Vec::new(), 0);
    for (number, head) in &camps {
        let is_ready = |status: &bivouac::crd::EnvironmentStatus| {
            status.holds("Ready") && is_applied(status, head)
        };
        let status = world.until(*number, "it is ready", is_ready).await?;
        let is_settings = |name: &str| name.starts_with("settings-");
        settings = status.inventory.iter().filter(|entry| is_settings(&entry.name)).count();
        namespaces.push(status.namespace.ok_or("a camp without a namespace")?);
    }
    tokio::time::sleep(SETTLE).await;
    let mut watches: BTreeMap<(usize, &str), Watch> = BTreeMap::new();
    let mut took = Sample::default();
    let all = targets(settings);
    // One object of each camp, then the next: neither kinds nor camps come in a row.
    let places = (0..all.len()).flat_map(|index| (0..CAMPS).map(move |camp| (index + camp, camp)));
    for (index, camp) in places.take(changes) {
        let target = all.get(index % all.len()).ok_or("nothing to change")?;
        let namespace = namespaces.get(camp).ok_or("no such camp")?;
        let kind = resource(target.kind);
        let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), namespace, &kind);
        let watch = watches.entry((camp, target.kind.2)).or_insert_with(|| {
            watcher::watcher(api.clone(), watcher::Config::default()).applied_objects().boxed()
        });
        took.add(change(&api, watch, target).await?);
    }
    if took.count() < changes {
        say(&format!("{} of {changes} changes: there are no more objects", took.count()));
    }
    Ok(took)
}

/// Changes one object. Gives how long it took from the answer until a watch showed that it was as before.
async fn change(
    api: &Api<DynamicObject>,
    watch: &mut Watch,
    target: &Target,
) -> Result<Duration, BoxError> {
    let Target { kind, name, field, before, change } = target;
    let is = async |watch: &mut Watch, wanted: &dyn Fn(&Value) -> bool| -> Result<(), BoxError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let next = tokio::time::timeout_at(deadline, watch.try_next()).await;
            let next = next.map_err(|_| format!("{} {name} was not put back", kind.2))??;
            let object = next.ok_or("the watch ended")?;
            if object.metadata.name.as_deref() != Some(name) {
                continue;
            }
            let object = serde_json::to_value(&object)?;
            if wanted(object.pointer(field).unwrap_or(&Value::Null)) {
                return Ok(());
            }
        }
    };
    let by = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    api.patch(name, &by, &Patch::Merge(change)).await?;
    let began = Instant::now();
    // A watch that was just opened shows first what is there.
    is(watch, &|value| value != before).await?;
    is(watch, &|value| value == before).await?;
    Ok(began.elapsed())
}

/// For people.
pub(crate) fn table(took: &Sample) {
    if took.count() == 0 {
        return;
    }
    let [half, most, last] = [50, 95, 100].map(|percent| took.percentile(percent));
    say(&format!(
        "a change by hand until it is put back, ms: {} changes, p50 {half:.1}, p95 {most:.1}, slowest {last:.1}",
        took.count()
    ));
}
