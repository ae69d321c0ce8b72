//! The whole bundle tried at the API server before the first object is written: in, a bundle and a fence; out, notes, or
//! everything that is wrong at once. I/O with the target, as the deployer; nothing is written.

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};

use super::bundle::Fence;
use super::deployer::Deployer;
use super::error::{ApplyError, status};
use super::refusals::{self, Brought, Verdict};
use crate::domain::bundle::{Bundle, BundleObject, Origin};
use crate::domain::finding::{self, Finding};

/// Objects that are tried at once, as many as are applied at once.
const SIDE_BY_SIDE: usize = 8;

/// Something about an object that people should know, though nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where the object is written.
    pub origin: Origin,
    /// What.
    pub message: String,
}

/// What came of one object.
enum Tried {
    Passes,
    Remark(Remark),
    Refused { findings: Vec<Finding>, lacks_kind: bool },
}

/// Asks the API server about every object of `bundle` without writing it: schema, fields that can't be changed, rights,
/// Pod Security, admission policies. Objects that are as the camp took them last are not asked about again.
///
/// What is wrong comes as [`ApplyError::RefusedWhole`], all of it at once.
pub async fn dry_run(
    deployer: &Deployer,
    bundle: &Bundle,
    fence: &dyn Fence,
) -> Result<Vec<Remark>, ApplyError> {
    if deployer.has_passed(bundle) {
        return Ok(Vec::new());
    }
    let brought = Brought::by(bundle);
    let tries: Vec<_> =
        bundle.objects.iter().map(|object| try_one(deployer, object, &brought, fence)).collect();
    let mut answers = stream::iter(tries).buffered(SIDE_BY_SIDE);
    let (mut remarks, mut found, mut lacks_kinds) = (Vec::new(), Vec::new(), false);
    while let Some(answer) = answers.next().await {
        match answer? {
            Tried::Passes => {}
            Tried::Remark(remark) => remarks.push(remark),
            Tried::Refused { findings, lacks_kind } => {
                found.extend(findings);
                lacks_kinds |= lacks_kind;
            }
        }
    }
    if found.is_empty() {
        deployer.note_passed(bundle);
        return Ok(remarks);
    }
    finding::sort(&mut found);
    Err(ApplyError::RefusedWhole { findings: found, lacks_kinds })
}

/// One object, again while a fresh camp settles. Boxed with a named lifetime: the compiler can't prove an async closure
/// over references to be `Send`.
fn try_one<'a>(
    deployer: &'a Deployer,
    object: &'a BundleObject,
    brought: &'a Brought,
    fence: &'a dyn Fence,
) -> BoxFuture<'a, Result<Tried, ApplyError>> {
    Box::pin(async move {
        loop {
            if !fence.holds().await {
                return Err(ApplyError::Superseded);
            }
            let error = match deployer.try_out(object).await {
                Ok(None | Some(Ok(()))) => return Ok(Tried::Passes),
                Ok(Some(Err(error))) => error,
                Err(ApplyError::KindUnknown { api_version, kind, .. }) => {
                    let findings = vec![refusals::kind_unknown(object, &api_version, &kind)];
                    return Ok(Tried::Refused { findings, lacks_kind: true });
                }
                Err(ApplyError::Refused { message, .. }) => {
                    let findings = vec![refusals::plain(object, &message)];
                    return Ok(Tried::Refused { findings, lacks_kind: false });
                }
                Err(error) => return Err(error),
            };
            let verdict = status(&error).map(|status| refusals::judge(object, status, brought));
            let refused = |findings| Ok(Tried::Refused { findings, lacks_kind: false });
            match (verdict, status(&error)) {
                (Some(Verdict::Passes), _) => return Ok(Tried::Passes),
                (Some(Verdict::Note(message)), _) => {
                    let message = format!("{}: {message}", object.identity());
                    let origin = object.origin.clone();
                    return Ok(Tried::Remark(Remark { origin, message }));
                }
                (Some(Verdict::Refused(findings)), _) => return refused(findings),
                (Some(Verdict::Settling), Some(status)) => {
                    if !deployer.waits().await {
                        return refused(refusals::not_allowed(object, status));
                    }
                }
                _ => return Err(deployer.error_of(object, &object.identity(), error)),
            }
        }
    })
}
