//! How many replicas each ReplicaSet of a Deployment gets now. Pure.

use std::sync::Arc;

use serde_json::Value;

use super::{Rollout, number, wanted};

/// Sets whose `spec.replicas` is to change, with the new number.
pub(super) fn scales<'a>(rollout: &Rollout<'a>) -> Vec<(&'a Arc<Value>, i64)> {
    let mut scales = Vec::new();
    if let Some(new) = rollout.new {
        let old_pods = rollout.old.iter().any(|s| number(s, "replicas") > 0 || wanted(s) > 0);
        let replicas = if rollout.is_recreate() && old_pods {
            wanted(new)
        } else {
            replicas_of_new(rollout, wanted(new))
        };
        if replicas != wanted(new) {
            scales.push((new, replicas));
        }
    }
    if rollout.is_recreate() {
        scales.extend(rollout.old.iter().filter(|s| wanted(s) > 0).map(|s| (*s, 0)));
    } else {
        scales.extend(old_scales(rollout));
    }
    scales
}

/// What the set of the present template may have, given that it has `has`.
pub(super) fn replicas_of_new(rollout: &Rollout<'_>, has: i64) -> i64 {
    if has >= rollout.replicas || rollout.is_recreate() {
        return rollout.replicas;
    }
    let old: i64 = rollout.old.iter().map(|s| wanted(s)).sum();
    let room = rollout.replicas + rollout.surge - old - has;
    (has + room.max(0)).min(rollout.replicas)
}

/// First the old pods that aren't available anyway, then as many others as may be missing.
fn old_scales<'a>(rollout: &Rollout<'a>) -> Vec<(&'a Arc<Value>, i64)> {
    let all: i64 = rollout.sets().map(|s| wanted(s)).sum();
    let least = rollout.replicas - rollout.unavailable;
    let new_missing =
        rollout.new.map_or(0, |s| (wanted(s) - number(s, "availableReplicas")).max(0));
    let mut room = all - least - new_missing;
    if rollout.new.is_none() || room <= 0 {
        return Vec::new();
    }
    let mut left: Vec<(&Arc<Value>, i64)> =
        rollout.old.iter().map(|s| (*s, wanted(s))).filter(|(_, n)| *n > 0).collect();
    for (set, replicas) in &mut left {
        let unhealthy = (*replicas - number(set, "availableReplicas")).max(0);
        let off = unhealthy.min(room);
        *replicas -= off;
        room -= off;
    }
    let available: i64 = rollout.sets().map(|s| number(s, "availableReplicas")).sum();
    let mut spare = (available - least).min(room).max(0);
    for (_, replicas) in &mut left {
        let off = (*replicas).min(spare);
        *replicas -= off;
        spare -= off;
    }
    left.into_iter().filter(|(set, replicas)| wanted(set) != *replicas).collect()
}
