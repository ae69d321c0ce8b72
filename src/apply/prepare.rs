//! Guardrails, and the wait until a camp can be used. Input: what the camp is to have; output: what was put back, but no
//! object of a bundle may be sent before it is there. I/O with the target, by the service's own identity.
//!
//! What stands and is as it should be is not written again: a camp that nobody touches costs readings only.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::Value;

use super::FIELD_MANAGER;
use super::camp::CampId;
use super::error::{ApplyError, status};
use super::own::{self, GATE_KINDS, KINDS};
use super::rights;
use super::target::{As, Target};
use crate::domain::guardrails::{DEPLOYER, Right};
use crate::domain::quota::Quota;

/// Guardrails that are written side by side.
const SIDE_BY_SIDE: usize = 8;
/// The ConfigMap that tells pods where they are: it follows the bundle, and is left alone where no bundle is at hand.
const ENVIRONMENT: &str = "bivouac-env";

/// What the service puts into a camp.
#[derive(Clone, Debug)]
pub struct Guardrails {
    /// Which camp.
    pub camp: CampId,
    /// The objects, the namespace first.
    pub objects: Vec<Value>,
    /// The camp sleeps or has slept, or its traffic passes the gate: there may be a way there.
    pub gate: bool,
}

/// A namespace that a bundle may be sent into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The namespace's UID.
    pub uid: String,
    /// When the deployer was bound, by the target's clock: what the target refuses right after may be on its way.
    pub bound_at: Option<DateTime<Utc>>,
    /// Quotas as the API server counts by them.
    pub quotas: Vec<Quota>,
    /// What differed and was written or deleted, as `kind/name`; empty for a fresh camp.
    pub put_back: Vec<String>,
}

/// Makes namespace and guardrails, step by step. What one try has done the next does not do again.
pub struct Preparation<'a> {
    target: &'a Target,
    guardrails: &'a Guardrails,
    /// Of the namespace, once it is known to be as it should be.
    uid: Option<String>,
    fresh: bool,
    /// Indices of what is still to be written; `None`: nobody looked yet.
    open: Option<Vec<usize>>,
    /// What is to be deleted.
    extra: Vec<Value>,
    bound_at: Option<DateTime<Utc>>,
    put_back: Vec<String>,
    wrote: bool,
    deployer_works: bool,
}

impl<'a> Preparation<'a> {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(target: &'a Target, guardrails: &'a Guardrails) -> Self {
        Self {
            target,
            guardrails,
            uid: None,
            fresh: false,
            open: None,
            extra: Vec::new(),
            bound_at: None,
            put_back: Vec::new(),
            wrote: false,
            deployer_works: false,
        }
    }

    /// Puts back what differs, and waits for nothing when nothing did.
    pub async fn keep(&mut self) -> Result<Vec<String>, ApplyError> {
        self.put_up().await?;
        if self.wrote {
            self.is_usable().await?;
        }
        Ok(std::mem::take(&mut self.put_back))
    }

    /// Everything, until a bundle may be sent. [`ApplyError::NotPrepared`]: call it again in a moment.
    pub async fn prepare(&mut self) -> Result<Prepared, ApplyError> {
        let uid = self.put_up().await?;
        let quotas = self.is_usable().await?;
        let put_back = if self.fresh { Vec::new() } else { std::mem::take(&mut self.put_back) };
        Ok(Prepared { uid, bound_at: self.bound_at, quotas, put_back })
    }

    /// Namespace and guardrails as they should be. Gives the namespace's UID.
    async fn put_up(&mut self) -> Result<String, ApplyError> {
        let uid = if let Some(uid) = &self.uid {
            uid.clone()
        } else {
            let uid = self.ensure_namespace().await?;
            self.uid = Some(uid.clone());
            uid
        };
        if self.open.is_none() {
            self.look().await?;
        }
        // Rights first: without them nothing else can be written.
        self.write_all(|object| own::key(object).0 == "RoleBinding").await?;
        // One alone: while the right to it is on its way, so are those to all others.
        if let Some(first) = self.open.as_ref().and_then(|open| open.first().copied()) {
            self.write_some(vec![first]).await?;
        }
        self.write_all(|_| true).await?;
        while let Some(object) = self.extra.last() {
            own::remove(self.target, &self.guardrails.camp.namespace, object).await?;
            let (kind, name) = own::key(object);
            self.put_back.push(format!("{kind}/{name}"));
            self.extra.pop();
        }
        Ok(uid)
    }

    /// What of the guardrails is to be written, and what is to be deleted.
    async fn look(&mut self) -> Result<(), ApplyError> {
        let objects = &self.guardrails.objects;
        let ours = (0..objects.len()).filter(|index| {
            objects.get(*index).is_some_and(|object| own::key(object).0 != "Namespace")
        });
        if self.fresh {
            self.open = Some(ours.collect());
            return Ok(());
        }
        let namespace = &self.guardrails.camp.namespace;
        let target = self.target;
        let gate = GATE_KINDS.iter().filter(|_| self.guardrails.gate);
        let lists: Vec<_> = KINDS
            .iter()
            .chain(gate)
            .map(|(api_version, kind, _)| own::standing(target, namespace, api_version, kind))
            .collect();
        let mut live = Vec::new();
        let mut answers = stream::iter(lists).buffered(SIDE_BY_SIDE);
        let mut unseen = false;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(objects) => live.extend(objects),
                // Somebody took our own right away. It comes back with the first write; then there is another look.
                Err(ApplyError::NotPrepared { .. }) => unseen = true,
                Err(error) => return Err(error),
            }
        }
        drop(answers);
        if unseen {
            self.open = Some(ours.collect());
            return Ok(());
        }
        let find = |object: &Value| live.iter().find(|one| own::key(one) == own::key(object));
        let open = ours.filter(|index| {
            objects
                .get(*index)
                .is_some_and(|wanted| find(wanted).is_none_or(|live| own::differs(wanted, live)))
        });
        self.open = Some(open.collect());
        let bound = live.iter().find(|one| own::key(one) == ("RoleBinding", DEPLOYER));
        self.bound_at = bound.and_then(|binding| {
            let at = binding.pointer("/metadata/creationTimestamp")?.as_str()?;
            Some(DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc))
        });
        let wanted: BTreeSet<_> = objects.iter().map(own::key).collect();
        self.extra = live
            .iter()
            .filter(|one| {
                let key = own::key(one);
                !wanted.contains(&key) && key != ("ConfigMap", ENVIRONMENT) && key.1 != "default"
            })
            .cloned()
            .collect();
        Ok(())
    }

    async fn write_all(&mut self, these: impl Fn(&Value) -> bool) -> Result<(), ApplyError> {
        let objects = &self.guardrails.objects;
        let open = self.open.iter().flatten().copied();
        let these = open.filter(|index| objects.get(*index).is_some_and(&these)).collect();
        self.write_some(these).await
    }

    /// Writes objects side by side, and notes which are.
    async fn write_some(&mut self, indices: Vec<usize>) -> Result<(), ApplyError> {
        let (target, guardrails) = (self.target, self.guardrails);
        let namespace = &guardrails.camp.namespace;
        let sends: Vec<_> = indices
            .iter()
            .filter_map(|index| Some((*index, guardrails.objects.get(*index)?)))
            .map(|(index, object)| {
                let write = own::write(target, namespace, object);
                futures::FutureExt::map(write, move |written| (index, object, written))
            })
            .collect();
        let mut results = stream::iter(sends).buffered(SIDE_BY_SIDE);
        let mut failed = None;
        while let Some((index, object, written)) = results.next().await {
            match written {
                Ok(written) => {
                    let (kind, name) = own::key(object);
                    if (kind, name) == ("RoleBinding", DEPLOYER) {
                        let at = written.metadata.creation_timestamp;
                        self.bound_at =
                            at.and_then(|at| DateTime::from_timestamp(at.0.as_second(), 0));
                    }
                    self.wrote = true;
                    self.put_back.push(format!("{kind}/{name}"));
                    if let Some(open) = &mut self.open {
                        open.retain(|one| *one != index);
                    }
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The namespace, made when it is not there, taken when it is ours, refused when it is somebody else's.
    async fn ensure_namespace(&mut self) -> Result<String, ApplyError> {
        let camp = &self.guardrails.camp;
        let api: Api<Namespace> = Api::all(self.target.client(&As::Service));
        let Some(wanted) = self.guardrails.objects.first() else {
            return Err(ApplyError::NotPrepared { what: "there are no guardrails".into() });
        };
        let what = format!("make namespace {}", camp.namespace);
        let wrap = |error| ApplyError::own(what.clone(), error);
        let found = api.get_opt(&camp.namespace).await.map_err(wrap)?;
        let made = if let Some(found) = found {
            if !camp.owns(found.metadata.labels.as_ref()) {
                return Err(ApplyError::NamespaceTaken { namespace: camp.namespace.clone() });
            }
            let uid = found.metadata.uid.clone().unwrap_or_default();
            let live = serde_json::to_value(&found)
                .map_err(|error| wrap(kube::Error::SerdeError(error)))?;
            if !own::differs(wanted, &live) {
                return Ok(uid);
            }
            // One that was deleted and made by somebody else since our look is refused by the API server, not adopted.
            let mut wanted = wanted.clone();
            wanted["metadata"]["uid"] = uid.into();
            self.put_back.push(format!("Namespace/{}", camp.namespace));
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(&camp.namespace, &parameters, &Patch::Apply(&wanted)).await
        } else {
            rights::check(self.target, self.guardrails).await?;
            // Made by create and not by apply: were it to appear between our look and our write, somebody else made it.
            let fresh = serde_json::from_value(wanted.clone())
                .map_err(|error| wrap(kube::Error::SerdeError(error)))?;
            self.fresh = true;
            let parameters =
                PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            api.create(&parameters, &fresh).await
        };
        match made {
            Ok(namespace) => Ok(namespace.metadata.uid.unwrap_or_default()),
            Err(error) if status(&error).is_some_and(|status| status.reason == "AlreadyExists") => {
                self.fresh = false;
                Err(ApplyError::NotPrepared {
                    what: format!("namespace {} appeared meanwhile", camp.namespace),
                })
            }
            Err(error) => Err(wrap(error)),
        }
    }

    /// A fresh namespace is not ready when it exists: the deployer's right comes through a cache, and a quota refuses
    /// everything until a controller has counted. The service account that pods run as we have made ourselves.
    async fn is_usable(&mut self) -> Result<Vec<Quota>, ApplyError> {
        let (target, namespace) = (self.target, &self.guardrails.camp.namespace);
        let deployer = As::Deployer(namespace.clone());
        let right = Right::new("", "configmaps", "patch");
        let asks = async {
            if self.deployer_works {
                Ok(true)
            } else {
                rights::may(target, &deployer, namespace, &right).await
            }
        };
        let (works, quotas) = futures::future::join(asks, quotas(target, namespace)).await;
        self.deployer_works = works?;
        if !self.deployer_works {
            let what = "the deployer's rights are not in force yet".into();
            return Err(ApplyError::NotPrepared { what });
        }
        quotas
    }
}

/// All quotas of a camp, also those that somebody else put there, when each is counted.
pub async fn quotas(target: &Target, namespace: &str) -> Result<Vec<Quota>, ApplyError> {
    let api: Api<ResourceQuota> = Api::namespaced(target.client(&As::Service), namespace);
    let found = api.list(&ListParams::default()).await;
    let found =
        found.map_err(|error| ApplyError::own(format!("list quotas of {namespace}"), error))?;
    let mut quotas = Vec::new();
    for quota in found.items {
        let name = quota.metadata.name.unwrap_or_default();
        let spec = quota.spec.unwrap_or_default();
        // It counts some pods only, and which ones the API server alone knows.
        if spec.scopes.is_some_and(|scopes| !scopes.is_empty()) || spec.scope_selector.is_some() {
            continue;
        }
        let status = quota.status.unwrap_or_default();
        let (hard, used) = (status.hard.unwrap_or_default(), status.used.unwrap_or_default());
        let asked = spec.hard.unwrap_or_default();
        let counted = asked.iter().all(|(name, amount)| {
            hard.get(name).is_some_and(|counted| same(&counted.0, &amount.0))
                && used.contains_key(name)
        });
        if !counted {
            let what = format!("quota {name} is not counted yet");
            return Err(ApplyError::NotPrepared { what });
        }
        let hard = hard.into_iter().map(|(name, amount)| (name, amount.0)).collect();
        quotas.push(Quota { name, hard });
    }
    Ok(quotas)
}

fn same(a: &str, b: &str) -> bool {
    use crate::domain::quota::Amount;
    a == b || Amount::parse(a).zip(Amount::parse(b)).is_some_and(|(a, b)| a == b)
}
