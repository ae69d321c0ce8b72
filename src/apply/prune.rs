//! What left the bundle goes: by the inventory, last wave first. What says that it stays, and what holds data, stays. I/O
//! with the target as the deployer.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::bundle::{Entry, Fence, Stock};
use super::deployer::Deployer;
use super::error::ApplyError;
use crate::domain::bundle::{Bundle, Wave, group_of, rank, wave_of};

/// What becomes of what was there and is not in the bundle.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fates {
    /// To be deleted, in this order.
    gone: Vec<Stock>,
    /// Stays: it says so, or it holds data.
    stays: Vec<Stock>,
}

/// What came of pruning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    /// What was deleted.
    pub(super) deleted: Vec<Entry>,
    /// What could not be, and is tried again.
    pub(super) refused: Vec<Stock>,
    /// What stays on purpose.
    pub(super) stays: Vec<Stock>,
}

/// Deletes what of `before` is neither in `bundle` nor has a reason to stay.
pub(super) async fn prune(
    deployer: &Deployer,
    before: &[Stock],
    bundle: &Bundle,
    wanted: &[Stock],
    revision: &str,
    fence: &dyn Fence,
) -> Result<Pruned, ApplyError> {
    let Fates { gone, stays } = fates(before, wanted, revision, bundle.delete_data);
    let mut pruned = Pruned { stays, ..Pruned::default() };
    for stock in gone {
        if !fence.holds().await {
            return Err(ApplyError::Superseded);
        }
        let Entry { api_version, kind, name } = &stock.entry;
        if deployer.prune(api_version, kind, name).await? {
            pruned.deleted.push(stock.entry);
        } else {
            pruned.refused.push(Stock { left: Some(left(&stock, revision)), ..stock });
        }
    }
    Ok(pruned)
}

/// The first commit that an object was not in.
fn left(stock: &Stock, revision: &str) -> String {
    stock.left.clone().unwrap_or_else(|| revision.to_owned())
}

/// Another version of one group and kind is the same object.
fn is_same(a: &Entry, b: &Entry) -> bool {
    group_of(&a.api_version) == group_of(&b.api_version) && a.kind == b.kind && a.name == b.name
}

fn fates(before: &[Stock], wanted: &[Stock], revision: &str, delete_data: bool) -> Fates {
    let mut fates = Fates::default();
    let mut seen = BTreeSet::new();
    for stock in before {
        let is_wanted = wanted.iter().any(|new| is_same(&stock.entry, &new.entry));
        if is_wanted || !seen.insert(stock.entry.clone()) {
            continue;
        }
        let is_claim = stock.entry.kind == "PersistentVolumeClaim"
            && group_of(&stock.entry.api_version).is_empty();
        // Gone for one commit may be a mistake of that commit; data does not come back.
        let first_time = stock.left.as_deref().is_none_or(|since| since == revision);
        if stock.keep || (is_claim && first_time && !delete_data) {
            fates.stays.push(Stock { left: Some(left(stock, revision)), ..stock.clone() });
        } else {
            fates.gone.push(stock.clone());
        }
    }
    fates.gone.sort_by_cached_key(|stock| (Reverse(order(stock)), stock.entry.clone()));
    fates
}

/// Place in an apply.
fn order(stock: &Stock) -> (u8, i32, Wave, u8) {
    let Entry { api_version, kind, .. } = &stock.entry;
    let wave = wave_of(group_of(api_version), kind);
    let part = u8::from(wave != Wave::Config || stock.wave.is_some());
    (part, stock.wave.unwrap_or(0), wave, rank(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api_version: &str, kind: &str, name: &str) -> Stock {
        let entry = Entry { api_version: api_version.into(), kind: kind.into(), name: name.into() };
        Stock { entry, wave: None, keep: false, left: None }
    }

    fn names(stocks: &[Stock]) -> Vec<&str> {
        stocks.iter().map(|stock| stock.entry.name.as_str()).collect()
    }

    #[test]
    fn what_left_the_bundle_goes_last_wave_first_and_a_new_version_is_no_other_object() {
        let before = [
            of("v1", "ConfigMap", "page"),
            of("apps/v1", "Deployment", "web"),
            Stock { wave: Some(5), ..of("apps/v1", "Deployment", "late") },
            Stock { wave: Some(-5), ..of("apps/v1", "StatefulSet", "db") },
            of("v1", "Service", "service"),
            of("networking.k8s.io/v1beta1", "Ingress", "kept"),
            of("networking.k8s.io/v1", "Ingress", "route"),
        ];
        let wanted = [of("networking.k8s.io/v1", "Ingress", "kept")];
        let gone = fates(&before, &wanted, "b", false).gone;
        assert_eq!(names(&gone), ["late", "route", "web", "service", "db", "page"]);
    }

    #[test]
    fn a_claim_stays_for_one_commit_more_and_what_says_so_stays_for_ever() {
        let claim = of("v1", "PersistentVolumeClaim", "data");
        let kept = Stock { keep: true, ..of("v1", "Secret", "kept") };
        let first = fates(&[claim.clone(), kept], &[], "b", false);
        assert_eq!((names(&first.stays), first.gone.len()), (vec!["data", "kept"], 0));
        assert!(first.stays.iter().all(|stock| stock.left.as_deref() == Some("b")));
        assert_eq!(
            fates(&first.stays, &[], "b", false).stays,
            first.stays,
            "the same commit again"
        );
        let second = fates(&first.stays, &[], "c", false);
        assert_eq!((names(&second.gone), names(&second.stays)), (vec!["data"], vec!["kept"]));
        assert_eq!(second.stays[0].left.as_deref(), Some("b"));
        assert_eq!(names(&fates(&[claim], &[], "b", true).gone), ["data"], "deleteData");
    }
}
