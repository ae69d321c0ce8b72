//! What a reconcile function wants done: values, so that it stays pure. [`Action::perform`] does it. I/O: the API.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use serde_json::{Value, json};

use super::resource::{self, Resource};
use super::{Api, ApiError, Deletion, json};

/// One step towards what is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Make an object.
    Create(&'static Resource, Value),
    /// Make an object for its controller, whose events and status say so when the server refuses it.
    CreateFor(&'static Resource, Value, &'static Resource, Value),
    /// Replace an object; its `resourceVersion` guards it.
    Replace(&'static Resource, Value),
    /// Replace an object's status; its `resourceVersion` guards it.
    ReplaceStatus(&'static Resource, Value),
    /// Merge `patch` into an object.
    Patch(&'static Resource, Value, Value),
    /// Delete an object.
    Delete(&'static Resource, Value, Deletion),
    /// Bind a pod to a node.
    Bind(Value, String),
    /// Tell people what happened.
    Tell(Event),
    /// Look again after this time.
    After(Duration),
}

/// What is told about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// `involvedObject`.
    pub(crate) object: Value,
    /// Warning, or normal.
    pub(crate) warning: bool,
    /// One word.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl Event {
    /// Something that is as it should be.
    pub(crate) fn normal(object: &Value, reason: &'static str, message: String) -> Action {
        Action::Tell(Self { object: reference(object), warning: false, reason, message })
    }

    /// Something that is not.
    pub(crate) fn warning(object: &Value, reason: &'static str, message: String) -> Action {
        Action::Tell(Self { object: reference(object), warning: true, reason, message })
    }
}

fn reference(object: &Value) -> Value {
    json!({
        "apiVersion": json::text(object, "/apiVersion"),
        "kind": json::text(object, "/kind"),
        "namespace": json::namespace(object),
        "name": json::name(object),
        "uid": json::uid(object),
    })
}

/// What an action did to the object that it was about.
pub(crate) enum Effect {
    /// This is its state now.
    Put(&'static Resource, Value),
    /// It is gone.
    Gone(&'static Resource, Value),
    /// Nothing that a cache should know.
    None,
}

impl Action {
    /// Deletes `object`, just this one, with its own grace period.
    pub(crate) fn delete(resource: &'static Resource, object: &Value) -> Self {
        let deletion = Deletion { uid: json::uid(object).to_owned(), ..Deletion::default() };
        Self::Delete(resource, object.clone(), deletion)
    }

    /// Writes `status` into `object`'s status subresource, unless it is there already.
    pub(crate) fn status(
        resource: &'static Resource,
        object: &Value,
        status: Value,
    ) -> Option<Self> {
        if object.get("status").unwrap_or(&Value::Null) == &status {
            return None;
        }
        let mut object = object.clone();
        json::set(&mut object, &["status"], status);
        Some(Self::ReplaceStatus(resource, object))
    }

    /// Does it. An object that is gone meanwhile counts as done.
    pub(crate) async fn perform(
        self,
        api: &Api,
        component: &str,
        now: DateTime<Utc>,
    ) -> Result<Effect, ApiError> {
        match self {
            Self::Create(resource, object) => {
                Ok(Effect::Put(resource, api.create(resource, &object).await?))
            }
            Self::CreateFor(owners, owner, resource, object) => {
                match api.create(resource, &object).await {
                    Ok(object) => Ok(Effect::Put(resource, object)),
                    Err(error) => {
                        refused(api, component, now, owners, &owner, &error).await;
                        Err(error)
                    }
                }
            }
            Self::Replace(resource, object) => {
                gone_is_fine(resource, api.replace(resource, &object, "").await)
            }
            Self::ReplaceStatus(resource, object) => {
                gone_is_fine(resource, api.replace(resource, &object, "status").await)
            }
            Self::Patch(resource, object, patch) => {
                let (namespace, name) = (json::namespace(&object), json::name(&object));
                let answer = api.merge_patch(resource, namespace, name, "", &patch).await;
                gone_is_fine(resource, answer)
            }
            Self::Delete(resource, object, deletion) => {
                delete(api, resource, object, &deletion).await
            }
            Self::Bind(pod, node) => bind(api, &pod, &node).await,
            Self::Tell(event) => {
                // People read events, no machine waits for one: an event that can't be written is no failure.
                let told = api.create(&resource::EVENTS, &event.object(component, now)).await;
                if let Err(error) = told {
                    tracing::debug!(%error, reason = event.reason, "event not written");
                }
                Ok(Effect::None)
            }
            Self::After(_) => Ok(Effect::None),
        }
    }
}

impl Event {
    /// The Event object. Its name says what it is about, so that the same thing is told once.
    fn object(&self, component: &str, now: DateTime<Utc>) -> Value {
        let namespace = match json::text(&self.object, "/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let subject = json::text(&self.object, "/name");
        // A refusal names another pod each time; one such event of an owner is enough.
        let text = if self.reason == REFUSED { "" } else { self.message.as_str() };
        let identity = format!("{}/{}/{text}", json::text(&self.object, "/uid"), self.reason);
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": format!("{subject}.{:016x}", json::hash(&identity)),
                "namespace": namespace,
            },
            "involvedObject": self.object,
            "reason": self.reason,
            "message": self.message,
            "type": if self.warning { "Warning" } else { "Normal" },
            "source": { "component": component },
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": json::stamp(now),
            "lastTimestamp": json::stamp(now),
            "count": 1,
        })
    }
}

/// Reason of the event that says so.
const REFUSED: &str = "FailedCreate";

/// Says on the owner why what it needs could not be made.
async fn refused(
    api: &Api,
    component: &str,
    now: DateTime<Utc>,
    owners: &Resource,
    owner: &Value,
    error: &ApiError,
) {
    let ApiError::Refused { code, message, terminating: false, .. } = error else { return };
    if !matches!(code, 400..=499) || matches!(code, 409 | 429) {
        return;
    }
    let event = Event {
        object: reference(owner),
        warning: true,
        reason: REFUSED,
        message: format!("Error creating: {message}"),
    };
    let _ = api.create(&resource::EVENTS, &event.object(component, now)).await;
    if owners.plural != "replicasets" {
        return;
    }
    // The message names a pod that never was, another each time: the first one stays.
    if !json::is_true(owner, "ReplicaFailure") {
        let mut conditions = json::list(owner, "/status/conditions").to_vec();
        let kind = "ReplicaFailure";
        json::set_condition(&mut conditions, kind, "True", "FailedCreate", message, now);
        let mut owner = owner.clone();
        json::set(&mut owner, &["status", "conditions"], conditions.into());
        // What the status says is a help for people; the error itself is what the caller acts on.
        let _ = api.replace(owners, &owner, "status").await;
    }
}

fn gone_is_fine(
    resource: &'static Resource,
    answer: Result<Value, ApiError>,
) -> Result<Effect, ApiError> {
    match answer {
        Ok(object) => Ok(Effect::Put(resource, object)),
        Err(error) if error.code() == 404 => Ok(Effect::None),
        Err(error) => Err(error),
    }
}

async fn delete(
    api: &Api,
    resource: &'static Resource,
    object: Value,
    deletion: &Deletion,
) -> Result<Effect, ApiError> {
    let (namespace, name) = (json::namespace(&object), json::name(&object));
    match api.delete(resource, namespace, name, deletion).await {
        Ok(answer) if json::uid(&answer) == json::uid(&object) => {
            let stays = !json::list(&answer, "/metadata/finalizers").is_empty()
                || (json::is_deleting(&answer)
                    && json::int(&answer, "/metadata/deletionGracePeriodSeconds")
                        .is_some_and(|s| s > 0));
            Ok(if stays { Effect::Put(resource, answer) } else { Effect::Gone(resource, answer) })
        }
        Ok(_) => Ok(Effect::Gone(resource, object)),
        Err(error) if error.code() == 404 => Ok(Effect::Gone(resource, object)),
        Err(error) => Err(error),
    }
}

/// The binding subresource is how a scheduler says where a pod goes.
async fn bind(api: &Api, pod: &Value, node: &str) -> Result<Effect, ApiError> {
    let (namespace, name) = (json::namespace(pod), json::name(pod));
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": name, "namespace": namespace, "uid": json::uid(pod) },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    });
    let path = resource::PODS.path(namespace, name, "binding");
    match api.send(Method::POST, &path, super::api::JSON, Some(&binding)).await {
        Ok(_) => Ok(Effect::None),
        Err(error) if error.code() == 404 => Ok(Effect::None),
        Err(error) => Err(error),
    }
}
