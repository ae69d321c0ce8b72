//! Deletes: options → gone, or on its way out until finalizers, grace period and namespace content are done.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::super::crds;
use super::super::path::Query;
use super::super::policy::{self, Review};
use super::super::state::{Call, State};
use super::super::status::{ApiError, Cause, GroupResource};
use super::super::store::Key;
use super::change::is_done;
use super::create::remove;
use super::read::{ListOptions, Page, Selectors};

/// Namespaces without which a cluster does not work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// `DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    grace: Option<i64>,
    propagation: Option<String>,
    uid: Option<String>,
    version: Option<String>,
}

impl DeleteOptions {
    pub(crate) fn parse(query: &Query, body: &Value) -> Result<Self, ApiError> {
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let mut propagation = text(&body["propagationPolicy"])
            .or_else(|| query.get("propagationPolicy").map(str::to_owned));
        if let (None, Some(orphan)) = (&propagation, body["orphanDependents"].as_bool()) {
            propagation = Some(if orphan { "Orphan" } else { "Background" }.to_owned());
        }
        if let Some(word) = &propagation
            && !matches!(word.as_str(), "Orphan" | "Background" | "Foreground")
        {
            let cause = Cause::not_supported(
                "propagationPolicy",
                &json!(word),
                &["Background", "Foreground", "Orphan"],
            );
            return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &[cause]));
        }
        let query_grace = query.number("gracePeriodSeconds")?.and_then(|n| i64::try_from(n).ok());
        Ok(Self {
            grace: body["gracePeriodSeconds"].as_i64().or(query_grace),
            propagation,
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
        })
    }
}

/// What a delete has done.
pub(crate) enum Deleted {
    /// It is gone; the last state.
    Gone(Arc<Value>),
    /// It is on its way out.
    Pending(Arc<Value>),
}

impl State {
    /// DELETE of the object that the path names.
    pub(crate) fn delete(
        &mut self,
        call: &mut Call,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let live = self.live(call)?;
        let key = call.key();
        check_preconditions(call, &key.1, &live, options)?;
        self.judge(call, &key.1, &live)?;
        self.delete_one(call, &key, &live, options)
    }

    /// DELETE of a collection: everything that matches, in order. Returns what was there.
    pub(crate) fn delete_collection(
        &mut self,
        call: &mut Call,
        options: &DeleteOptions,
    ) -> Result<Page, ApiError> {
        let selectors = Selectors::parse(call, &call.query)?;
        let list = ListOptions::parse(&call.query)?;
        let page = self.list(call, &list, &selectors)?;
        for object in &page.items {
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            self.judge(call, "", object)?;
            self.delete_one(call, &(text("namespace"), text("name")), object, options)?;
        }
        Ok(page)
    }

    /// Asks the admission policies. Of a collection the objects have no name in the request.
    fn judge(&self, call: &mut Call, name: &str, live: &Value) -> Result<(), ApiError> {
        let shown = self.present(call, live);
        let warnings = policy::review(self, call, &Review::delete(name, &shown))?;
        call.warnings.extend(warnings);
        Ok(())
    }

    pub(super) fn delete_one(
        &mut self,
        call: &Call,
        key: &Key,
        live: &Arc<Value>,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let resource = call.resource();
        let name = &key.1;
        let meta = &live["metadata"];
        check_preconditions(call, name, live, options)?;
        let namespace = resource == GroupResource::new("", "namespaces");
        if namespace && IMMORTAL.contains(&name.as_str()) {
            return Err(ApiError::forbidden(&resource, name, "this namespace may not be deleted"));
        }
        let mut object = Value::clone(live);
        let first = meta["deletionTimestamp"].is_null();
        propagate(&resource, &mut object, options);
        let grace = grace(&resource, live, options);
        let had = meta["deletionGracePeriodSeconds"].as_i64();
        if first {
            let end = call.now + chrono::Duration::seconds(grace);
            object["metadata"]["deletionTimestamp"] =
                json!(end.to_rfc3339_opts(SecondsFormat::Secs, true));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            if let Some(generation) = meta["generation"].as_i64() {
                object["metadata"]["generation"] = json!(generation + 1);
            }
            if namespace {
                object["status"]["phase"] = json!("Terminating");
                remove(&mut object["metadata"], "deletionGracePeriodSeconds");
            }
            if crds::is_definition(&resource) {
                crds::prepare(&mut object, call.now);
            }
        } else if had.is_some_and(|had| grace < had) {
            // A shorter grace period counts from now; a longer one is not given.
            let end = call.now + chrono::Duration::seconds(grace);
            object["metadata"]["deletionTimestamp"] =
                json!(end.to_rfc3339_opts(SecondsFormat::Secs, true));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
        let done = is_done(&resource.resource, &resource.group, &object);
        if call.dry_run {
            let object = Arc::new(object);
            return Ok(if done { Deleted::Gone(object) } else { Deleted::Pending(object) });
        }
        if done {
            let last = self.remove(&resource, key, call.now);
            return Ok(Deleted::Gone(last.unwrap_or_else(|| Arc::clone(live))));
        }
        if object == **live {
            return Ok(Deleted::Pending(Arc::clone(live)));
        }
        let stored = self.put(&resource, key.clone(), object, call.now);
        if crds::is_definition(&resource) {
            self.clean_up(&stored, call.now);
        }
        Ok(Deleted::Pending(stored))
    }
}

fn check_preconditions(
    call: &Call,
    name: &str,
    live: &Value,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let meta = &live["metadata"];
    for (word, wanted, has, happened) in [
        ("UID", &options.uid, &meta["uid"], "deleted and then recreated"),
        ("ResourceVersion", &options.version, &meta["resourceVersion"], "modified"),
    ] {
        let has = has.as_str().unwrap_or_default();
        if let Some(wanted) = wanted
            && wanted != has
        {
            // Named by its kind here, as a real server does.
            let kind = GroupResource::new(&call.resource().group, &call.served.kind.kind);
            return Err(ApiError::conflict(
                &kind,
                name,
                &format!(
                    "the {word} in the precondition ({wanted}) does not match the {word} in record ({has}). The object might \
                     have been {happened}"
                ),
            ));
        }
    }
    Ok(())
}

/// How long the object is given: only a pod that runs somewhere has time to end.
fn grace(resource: &GroupResource, live: &Value, options: &DeleteOptions) -> i64 {
    if *resource != GroupResource::new("", "pods") {
        return 0;
    }
    let nowhere = live["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let over = matches!(live["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if nowhere || over {
        return 0;
    }
    let asked = options
        .grace
        .or_else(|| live["metadata"]["deletionGracePeriodSeconds"].as_i64())
        .or_else(|| live["spec"]["terminationGracePeriodSeconds"].as_i64());
    asked.unwrap_or(30).max(0)
}

/// The finalizers by which the garbage collector knows what is to become of the dependents.
fn propagate(resource: &GroupResource, object: &mut Value, options: &DeleteOptions) {
    // Jobs keep their pods unless told otherwise: a default from their first version that stays.
    let jobs = *resource == GroupResource::new("batch", "jobs");
    let policy = options.propagation.as_deref().or(if jobs { Some("Orphan") } else { None });
    let Some(policy) = policy else { return };
    let mut finalizers: Vec<Value> =
        object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|f| f != FOREGROUND && f != ORPHAN);
    match policy {
        "Foreground" => finalizers.push(json!(FOREGROUND)),
        "Orphan" => finalizers.push(json!(ORPHAN)),
        _ => {}
    }
    if finalizers.is_empty() {
        remove(&mut object["metadata"], "finalizers");
    } else {
        object["metadata"]["finalizers"] = Value::Array(finalizers);
    }
}
