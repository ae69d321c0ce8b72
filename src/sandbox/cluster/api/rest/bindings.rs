//! `pods/binding`, `pods/eviction` and `namespaces/finalize`: small writes with rules of their own.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::super::engine;
use super::super::policy::{self, Review};
use super::super::state::{Call, State};
use super::super::status::{ApiError, GroupResource};
use super::delete::{DeleteOptions, Deleted};

fn success(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
}

impl State {
    /// POST of a `Binding`: the pod is scheduled.
    pub(crate) fn bind(&mut self, call: &mut Call, body: &Value) -> Result<Value, ApiError> {
        let live = self.live(call)?;
        let asked = Review { name: &call.path.name, ..Review::create(body) };
        let warnings = policy::review(self, call, &asked.of_body(["", "v1", "Binding"]))?;
        call.warnings.extend(warnings);
        let node = body["target"]["name"].as_str().unwrap_or_default();
        let refuse = |why: &str| {
            ApiError::conflict(&GroupResource::new("", "pods/binding"), &call.path.name, why)
        };
        if live["metadata"]["deletionTimestamp"].is_string() {
            return Err(refuse(&format!(
                "pod {} is being deleted, cannot be assigned to a host",
                call.path.name
            )));
        }
        if let Some(has) = live["spec"]["nodeName"].as_str().filter(|has| !has.is_empty()) {
            return Err(refuse(&format!(
                "pod {} is already assigned to node {has:?}",
                call.path.name
            )));
        }
        let mut pod = Value::clone(&live);
        pod["spec"]["nodeName"] = json!(node);
        let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null,
            "lastTransitionTime": call.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        }));
        pod["status"]["conditions"] = Value::Array(conditions);
        if !call.dry_run {
            let (resource, key) = (call.resource(), call.key());
            self.put(&resource, key, pod, call.now);
        }
        Ok(success(201))
    }

    /// POST of an `Eviction`: a delete that disruption budgets may refuse.
    pub(crate) fn evict(&mut self, call: &mut Call, body: &Value) -> Result<Value, ApiError> {
        let live = self.live(call)?;
        let asked = Review { name: &call.path.name, ..Review::create(body) };
        let warnings = policy::review(self, call, &asked.of_body(["policy", "v1", "Eviction"]))?;
        call.warnings.extend(warnings);
        let budgets = GroupResource::new("policy", "poddisruptionbudgets");
        let over =
            matches!(live["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
        let matching: Vec<(String, Arc<Value>)> = self
            .store
            .list(&budgets, Some(call.namespace()))
            .filter(|(_, budget)| engine::selects(&budget["spec"]["selector"], &live))
            .map(|((_, name), budget)| (name.clone(), Arc::clone(budget)))
            .collect();
        if matching.len() > 1 {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        if let (Some((name, budget)), false) = (matching.first(), over) {
            let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or_default();
            if allowed < 1 {
                let mut error = ApiError::too_many_requests(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    10,
                );
                error.details.insert("causes".into(), json!([{
                    "reason": "DisruptionBudget",
                    "message": format!(
                        "The disruption budget {name} needs {} healthy pods and has {} currently",
                        budget["status"]["desiredHealthy"].as_i64().unwrap_or_default(),
                        budget["status"]["currentHealthy"].as_i64().unwrap_or_default()
                    ),
                }]));
                return Err(error);
            }
            if !call.dry_run {
                let mut budget = Value::clone(budget);
                budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
                let key = (call.namespace().to_owned(), name.clone());
                self.put(&budgets, key, budget, call.now);
            }
        }
        let options = DeleteOptions::parse(&call.query, &body["deleteOptions"])?;
        // The delete behind an eviction is not judged once more.
        match self.delete_one(call, &call.key(), &live, &options)? {
            Deleted::Gone(_) | Deleted::Pending(_) => Ok(success(201)),
        }
    }

    /// PUT of `/finalize`: who empties the namespace says that he is done.
    pub(crate) fn finalize(
        &mut self,
        call: &mut Call,
        body: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        let live = self.live(call)?;
        let version = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && live["metadata"]["resourceVersion"] != version {
            return Err(ApiError::modified(&call.resource(), &call.path.name));
        }
        let name = call.path.name.clone();
        let mut namespace = Value::clone(&live);
        namespace["spec"]["finalizers"] = match &body["spec"]["finalizers"] {
            Value::Array(list) => json!(list),
            _ => json!([]),
        };
        let warnings = policy::review(self, call, &Review::update(&name, &live, &namespace))?;
        call.warnings.extend(warnings);
        if call.dry_run {
            return Ok(Arc::new(namespace));
        }
        let (resource, key) = (call.resource(), (String::new(), call.path.name.clone()));
        if super::change::is_done("namespaces", "", &namespace) {
            let last = self.remove(&resource, &key, call.now);
            return Ok(last.unwrap_or(live));
        }
        Ok(self.put(&resource, key, namespace, call.now))
    }
}
