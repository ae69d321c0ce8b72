//! PURE · what a bundle takes of a camp's quota, summed before the first object is sent: half a bundle that fits is worse
//! than none. In: the bundle, the quotas as the API server counts them, and our own objects beside it; out: a finding for
//! each figure that is too large.
//!
//! Pods count as many as there will be without a rollout: replicas, or what an autoscaler asks for at least.

mod amount;
mod usage;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

pub use amount::Amount;

use super::bundle::{Bundle, BundleObject};
use super::finding::{BuildRule, Finding};
use usage::{Defaults, Usage};

/// A `ResourceQuota`, as the API server counts by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// `status.hard`.
    pub hard: BTreeMap<String, String>,
}

/// Objects whose part of a figure is named.
const NAMED: usize = 3;
/// ConfigMaps that Kubernetes puts into each namespace.
const ROOT_CERTIFICATES: u64 = 1;

/// Whether `bundle` fits into each of `quotas`. `beside` are our own objects in the camp, which are counted too; their
/// `LimitRange` says what containers get that name nothing.
pub fn fits(bundle: &Bundle, quotas: &[Quota], beside: &[Value]) -> Result<(), Vec<Finding>> {
    let defaults = Defaults::of(beside);
    let usages: Vec<(&BundleObject, Usage)> = bundle
        .objects
        .iter()
        .map(|object| (object, usage::of(&object.json, &bundle.objects, &defaults)))
        .collect();
    let own = own_usage(beside);
    let mut findings = Vec::new();
    for (object, usage) in &usages {
        let wrong = usage.impossible.iter();
        findings.extend(wrong.map(|what| about(object, what.clone())));
    }
    for quota in quotas {
        for (name, hard) in &quota.hard {
            let Some(limit) = Amount::parse(hard) else { continue };
            for (object, usage) in &usages {
                if let Some(containers) = usage.unsaid.get(name) {
                    let message = format!(
                        "{}: quota {} counts {name}, and containers {} do not say it",
                        object.identity(),
                        quota.name,
                        containers.join(", ")
                    );
                    findings.push(about(object, message));
                }
            }
            findings.extend(over(name, limit, &quota.name, &usages, own.get(name)));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// One figure that is too large, said at the object that takes most of it.
fn over(
    name: &str,
    limit: Amount,
    quota: &str,
    usages: &[(&BundleObject, Usage)],
    own: Option<&Amount>,
) -> Option<Finding> {
    let mut parts: Vec<(&BundleObject, Amount)> = usages
        .iter()
        .filter_map(|(object, usage)| Some((*object, *usage.amounts.get(name)?)))
        .filter(|(_, amount)| !amount.is_zero())
        .collect();
    let own = own.copied().unwrap_or_default();
    let sum = parts.iter().fold(own, |sum, (_, amount)| sum.plus(*amount));
    if parts.is_empty() || sum.at_most(limit) {
        return None;
    }
    // Stable: of two that take the same, the one that is applied first.
    parts.sort_by(|(_, a), (_, b)| match (a.at_most(*b), b.at_most(*a)) {
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Equal,
    });
    let mut message = format!("{name}: the preview needs {sum}, quota {quota} allows {limit}");
    let named: Vec<String> = parts
        .iter()
        .take(NAMED)
        .map(|(object, amount)| format!("{} {amount}", object.identity()))
        .collect();
    let more = if parts.len() > NAMED { ", …" } else { "" };
    // A text can always be written to.
    let _ = write!(message, " ({}{more})", named.join(", "));
    parts.first().map(|(object, _)| about(object, message))
}

fn about(object: &BundleObject, message: String) -> Finding {
    let mut finding = Finding::of(BuildRule::Quota, message).at(&object.origin.file, None);
    finding.line = Some(object.origin.line);
    finding.object = Some(object.identity().to_string());
    finding
}

/// What is in the camp beside the bundle.
fn own_usage(beside: &[Value]) -> BTreeMap<String, Amount> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, count: u64| {
        let entry: &mut Amount = all.entry(name.to_owned()).or_default();
        *entry = entry.plus(Amount::whole(count));
    };
    for name in ["configmaps", "count/configmaps"] {
        add(name, ROOT_CERTIFICATES);
    }
    for object in beside {
        let plural = match object.get("kind").and_then(Value::as_str) {
            Some("ConfigMap") => "configmaps",
            Some("Secret") => "secrets",
            Some("ResourceQuota") => "resourcequotas",
            _ => continue,
        };
        add(plural, 1);
        add(&format!("count/{plural}"), 1);
    }
    all
}
