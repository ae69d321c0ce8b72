//! PURE · fields that others own: which of them a camp leaves to them, and which it takes back. In: the causes of a 409,
//! the Repository's list; out: conflicts, and what is left out of an object.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::Status;

use super::fields;
use crate::domain::bundle::{Bundle, BundleObject, ObjectIdentity, group_of};
use crate::domain::policy::YieldRule;

/// Most fields that are remembered of one camp; what comes after them is taken back like any other.
const MOST: usize = 100;
/// Longest path of a field that can be remembered.
const LONGEST_FIELD: usize = 512;
/// Longest name of a manager: the API server allows 128 bytes.
const LONGEST_MANAGER: usize = 128;
/// Managers behind which a person sits: what they scale by hand is put back.
const BY_HAND: [&str; 4] = ["kubectl", "k9s", "Mozilla", "node-fetch"];

/// One field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict {
    /// The manager's name, as the API server knows it.
    pub(super) manager: String,
    /// The subresource that it wrote to; mostly none.
    pub(super) subresource: String,
    /// The field, as `.spec.replicas`.
    pub(super) field: String,
}

/// A field that is left to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Yielded {
    /// API group of the object; empty for the core group.
    pub group: String,
    /// Kind of the object.
    pub kind: String,
    /// Its name in the camp.
    pub name: String,
    /// UID of the object that it was: another of the same name begins anew.
    pub uid: String,
    /// The field, as managed fields name it.
    pub field: String,
    /// Who has it.
    pub manager: String,
}

impl Yielded {
    fn is_of(&self, identity: &ObjectIdentity) -> bool {
        self.group == identity.group && self.kind == identity.kind && self.name == identity.name
    }
}

/// The causes of a 409 by other managers; empty when it is of another kind.
pub(super) fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut found: Vec<Conflict> = causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            let (manager, subresource) = manager(&cause.message);
            Conflict { manager, subresource, field: cause.field.clone() }
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// `conflict with "a" with subresource "scale" using apps/v1` → name and subresource.
fn manager(message: &str) -> (String, String) {
    let text = message.strip_prefix("conflict with ").unwrap_or(message);
    let (name, rest) = quoted(text).unwrap_or((text.to_owned(), ""));
    let subresource = rest.strip_prefix(" with subresource ").and_then(quoted);
    (name, subresource.map(|(name, _)| name).unwrap_or_default())
}

/// The quoted word that `text` begins with, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut words = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let word = words.next()?.ok()?;
    let rest = text.get(words.byte_offset()..)?;
    Some((word, rest))
}

/// What is left to others, and what they are allowed to keep.
#[derive(Clone, Debug, Default)]
pub(super) struct Yields {
    rules: Vec<YieldRule>,
    /// Workloads that an autoscaler of the bundle has the replicas of, as group, kind and name.
    scaled: BTreeSet<(String, String, String)>,
    yielded: Vec<Yielded>,
}

impl Yields {
    /// `known`: what was written down by earlier runs. What the rules do not allow any more, or what is not in the
    /// bundle any more, is forgotten.
    pub(super) fn new(rules: &[YieldRule], known: Vec<Yielded>, bundle: &Bundle) -> Self {
        let objects: BTreeMap<(String, String, String), &BundleObject> =
            bundle.objects.iter().map(|object| (key(&object.identity()), object)).collect();
        let mut all = Self { rules: rules.to_vec(), scaled: scaled(bundle), yielded: Vec::new() };
        all.yielded = known
            .into_iter()
            .filter(|one| {
                let at = (one.group.clone(), one.kind.clone(), one.name.clone());
                objects.get(&at).is_some_and(|object| {
                    fields::holds(&object.json, &one.field)
                        && all.allows(
                            &object.identity(),
                            &Conflict {
                                manager: one.manager.clone(),
                                subresource: "scale".into(),
                                field: one.field.clone(),
                            },
                        )
                })
            })
            .take(MOST)
            .collect();
        all
    }

    /// Fields of this object that are left out before anybody is asked.
    pub(super) fn left_out(&self, identity: &ObjectIdentity) -> Vec<Yielded> {
        self.yielded.iter().filter(|one| one.is_of(identity)).cloned().collect()
    }

    /// Whether an autoscaler of the bundle has the replicas of this object.
    pub(super) fn is_scaled(&self, identity: &ObjectIdentity) -> bool {
        self.scaled.contains(&key(identity))
    }

    /// Whether the field may stay with who has it.
    pub(super) fn allows(&self, identity: &ObjectIdentity, conflict: &Conflict) -> bool {
        let Conflict { manager, subresource, field } = conflict;
        let by_hand = BY_HAND.iter().any(|name| manager.starts_with(name));
        let scaled = field == ".spec.replicas" && subresource == "scale" && !by_hand;
        let injected = field.ends_with(".caBundle");
        scaled
            || injected
            || self.rules.iter().any(|YieldRule { kind, field: pattern, manager: wanted }| {
                kind.as_ref().is_none_or(|kind| names(kind, identity))
                    && wanted.as_ref().is_none_or(|wanted| wanted == manager)
                    && fields::covers(pattern, field)
            })
    }

    /// Notes that a field is left to somebody; `false` when no more can be noted.
    pub(super) fn note(
        &mut self,
        identity: &ObjectIdentity,
        uid: &str,
        conflict: &Conflict,
    ) -> bool {
        let Conflict { manager, field, .. } = conflict;
        if field.len() > LONGEST_FIELD || manager.len() > LONGEST_MANAGER {
            return false;
        }
        self.yielded.retain(|one| !(one.is_of(identity) && one.field == *field));
        if self.yielded.len() >= MOST {
            return false;
        }
        self.yielded.push(Yielded {
            group: identity.group.clone(),
            kind: identity.kind.clone(),
            name: identity.name.clone(),
            uid: uid.to_owned(),
            field: field.clone(),
            manager: manager.clone(),
        });
        true
    }

    /// Whether another field could be noted.
    pub(super) fn has_room(&self) -> bool {
        self.yielded.len() < MOST
    }

    /// The object is another one than it was: all fields are asked for again.
    pub(super) fn forget(&mut self, identity: &ObjectIdentity) {
        self.yielded.retain(|one| !one.is_of(identity));
    }

    /// Everything that is left to others, sorted.
    pub(super) fn all(&self) -> Vec<Yielded> {
        let mut all = self.yielded.clone();
        all.sort();
        all
    }
}

fn key(identity: &ObjectIdentity) -> (String, String, String) {
    (identity.group.clone(), identity.kind.clone(), identity.name.clone())
}

/// Whether `Kind` (core group or any) or `Kind.group` names the kind.
fn names(kind: &str, identity: &ObjectIdentity) -> bool {
    match kind.split_once('.') {
        Some((kind, group)) => kind == identity.kind && group == identity.group,
        None => kind == identity.kind,
    }
}

/// What the autoscalers of a bundle scale.
fn scaled(bundle: &Bundle) -> BTreeSet<(String, String, String)> {
    let targets = bundle.objects.iter().filter_map(|object| {
        let identity = object.identity();
        let target = object.json.get("spec")?.get("scaleTargetRef")?;
        let text = |name: &str| target.get(name).and_then(serde_json::Value::as_str);
        match (identity.group.as_str(), identity.kind.as_str()) {
            ("autoscaling", "HorizontalPodAutoscaler") => Some((
                group_of(text("apiVersion").unwrap_or_default()).to_owned(),
                text("kind")?.to_owned(),
                text("name")?.to_owned(),
            )),
            ("keda.sh", "ScaledObject") => Some((
                group_of(text("apiVersion").unwrap_or("apps/v1")).to_owned(),
                text("kind").unwrap_or("Deployment").to_owned(),
                text("name")?.to_owned(),
            )),
            _ => None,
        }
    });
    targets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::{Origin, wave_of};
    use serde_json::{Value, json};

    fn object(json: Value) -> BundleObject {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        BundleObject {
            wave: wave_of(group_of(&text("apiVersion")), &text("kind")),
            json,
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            positions: crate::domain::positions::Positions::default(),
        }
    }

    fn deployment() -> BundleObject {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 2, "paused": false},
        }))
    }

    fn conflict(manager: &str, subresource: &str, field: &str) -> Conflict {
        Conflict { manager: manager.into(), subresource: subresource.into(), field: field.into() }
    }

    #[test]
    fn causes_are_read_as_real_servers_write_them() {
        let status: Status = serde_json::from_value(json!({
            "code": 409, "reason": "Conflict", "message": "Apply failed with 2 conflicts: …",
            "details": {"causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.replicas",
                 "message": "conflict with \"kube-controller-manager\" with subresource \"scale\" using apps/v1 at 2026-01-01T00:00:00Z"},
                {"reason": "FieldManagerConflict", "field": ".data.a", "message": "conflict with \"a \\\"b\""},
            ]},
        }))
        .expect("a status");
        assert_eq!(
            conflicts(&status),
            [
                conflict("a \"b", "", ".data.a"),
                conflict("kube-controller-manager", "scale", ".spec.replicas"),
            ]
        );
        assert_eq!(conflicts(&Status { code: 409, ..Status::default() }), []);
        assert_eq!(manager("no quotes"), ("no quotes".into(), String::new()));
    }

    #[test]
    fn an_autoscaler_keeps_replicas_and_a_person_does_not() {
        let identity = deployment().identity();
        let yields = Yields::default();
        let scale = |manager| conflict(manager, "scale", ".spec.replicas");
        assert!(yields.allows(&identity, &scale("kube-controller-manager")));
        assert!(!yields.allows(&identity, &scale("kubectl")));
        assert!(!yields.allows(&identity, &conflict("kubectl-edit", "", ".spec.replicas")));
        assert!(yields.allows(&identity, &conflict("cainjector", "", ".webhooks[0].caBundle")));
        assert!(!yields.allows(&identity, &conflict("someone", "", ".spec.paused")));
        let rule = YieldRule {
            kind: Some("Deployment.apps".into()),
            field: ".spec.paused".into(),
            manager: Some("rollouts".into()),
        };
        let yields = Yields { rules: vec![rule], ..Yields::default() };
        assert!(yields.allows(&identity, &conflict("rollouts", "", ".spec.paused")));
        assert!(!yields.allows(&identity, &conflict("another", "", ".spec.paused")));
    }

    #[test]
    fn what_left_the_bundle_or_the_rules_is_forgotten_and_no_more_than_a_bound_is_kept() {
        let web = deployment();
        let identity = web.identity();
        let mut yields = Yields::default();
        assert!(yields.note(&identity, "u", &conflict("x", "scale", ".spec.replicas")));
        assert!(yields.note(&identity, "u", &conflict("y", "scale", ".spec.replicas")));
        assert!(yields.note(&identity, "u", &conflict("z", "", ".spec.paused")));
        assert!(!yields.note(&identity, "u", &conflict("z", "", &".x".repeat(400))));
        let known = yields.all();
        assert_eq!(known.len(), 2, "one entry for each field: {known:?}");

        let bundle = Bundle::new(vec![web], String::new());
        let again = Yields::new(&[], known.clone(), &bundle).all();
        assert_eq!(
            again.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(),
            [".spec.replicas"]
        );
        let mut less = deployment();
        fields::remove(&mut less.json, ".spec.replicas");
        assert_eq!(Yields::new(&[], known, &Bundle::new(vec![less], String::new())).all(), []);

        let mut many = Yields::default();
        let noted = (0..150)
            .filter(|n| many.note(&identity, "u", &conflict("m", "", &format!(".spec.a{n}"))))
            .count();
        assert_eq!((noted, many.all().len(), many.has_room()), (MOST, MOST, false));
    }

    #[test]
    fn autoscalers_of_the_bundle_are_known_by_their_targets() {
        let hpa = object(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        }));
        let bundle = Bundle::new(vec![deployment(), hpa], String::new());
        let yields = Yields::new(&[], Vec::new(), &bundle);
        assert!(yields.is_scaled(&deployment().identity()));
        let mut other = deployment();
        other.json["metadata"]["name"] = "api".into();
        assert!(!yields.is_scaled(&other.identity()));
    }
}
