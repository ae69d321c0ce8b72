//! The deployments of a record's pull request: what is wanted, and whether that is so. I/O with the forge.

use super::queue::Scope;
use super::standing::{deployed, number, url};
use super::{Brought, Job, Told, report_of};
use crate::controller::Context;
use crate::crd::{DeploymentRecord, Environment};
use crate::domain::deployment::{Standing, Wish, branch_task, task, wish};
use crate::forge::ForgeError;
use crate::report::deployment::{Deployed, DeploymentPlan, RecordedDeployment, post_deployment};

fn recorded(record: &Environment) -> Option<&DeploymentRecord> {
    report_of(record)?.deployment.as_ref()
}

fn wanted(job: &Job, record: &Environment, gone: bool) -> Wish {
    let standing = if gone || !job.policy.deployments { Standing::None } else { deployed(record) };
    let made = recorded(record).map(|known| known.revision.as_str());
    wish(&standing, url(record).as_deref(), made)
}

/// Notes, before it is made, that one is to be: a process that ends between the making and its note leaves one that the
/// next has to look for. `deployments`: whether the Repository wants any.
pub(super) fn foresee(record: &mut Environment, deployments: bool) {
    let standing = if deployments { deployed(record) } else { Standing::None };
    let url = url(record);
    let report = record.status.as_mut().and_then(|status| status.report.as_mut());
    // Where nothing is noted, all is looked for.
    let Some(known) = report.and_then(|report| report.deployment.as_mut()) else { return };
    if let Wish::Stand(wanted) = wish(&standing, url.as_deref(), Some(&known.revision)) {
        known.making |= known.id.is_none() || known.revision != wanted.revision.as_str();
    }
}

/// Names what is to be told; `None` when it is told already.
pub(super) fn due(job: &Job, record: &Environment, gone: bool) -> Option<String> {
    let wish = wanted(job, record, gone);
    let due = match (recorded(record), &wish) {
        (Some(known), wish) => !known_of(known).satisfies(wish),
        (None, Wish::Stand(_)) => true,
        (None, Wish::Keep) => false,
        // A process may have ended between the making of one and its note.
        (None, Wish::Nothing) => {
            let had_camp =
                record.status.as_ref().is_some_and(|status| status.incarnation.is_some());
            job.policy.deployments && had_camp
        }
    };
    due.then(|| match &wish {
        Wish::Stand(wanted) => wanted.basis(),
        Wish::Nothing => "nothing".to_owned(),
        Wish::Keep => "keep".to_owned(),
    })
}

/// Tells it.
pub(super) async fn bring(
    context: &Context,
    job: &Job,
    (record, gone): (&Environment, bool),
    log_url: String,
    told: &mut Told,
) -> Result<Brought, ForgeError> {
    if let Some(granted) = job.forge.app_permissions().await?
        && granted.get("deployments").is_none_or(|level| level != "write")
    {
        return Ok(Brought::NotWanted(Scope::Repository));
    }
    let plan = DeploymentPlan {
        task: match record.spec.source.branch {
            Some(_) => branch_task(context.instance.name.as_str(), job.record()),
            None => task(context.instance.name.as_str(), number(record)),
        },
        environment: job.policy.environment.clone(),
        wish: wanted(job, record, gone),
        log_url: Some(log_url).filter(|url| !url.is_empty()),
        recorded: recorded(record).map(known_of),
    };
    match post_deployment(&job.forge, &plan).await? {
        Deployed::Done(posted) => told.deployment = Some(record_of(&posted)),
        Deployed::LeftOut => return Ok(Brought::LeftOut),
    }
    Ok(Brought::Done)
}

fn known_of(known: &DeploymentRecord) -> RecordedDeployment {
    RecordedDeployment {
        id: known.id.and_then(|id| u64::try_from(id).ok()),
        revision: known.revision.clone(),
        basis: known.basis.clone(),
        earlier: known.earlier.iter().filter_map(|id| u64::try_from(*id).ok()).collect(),
        retired: u64::try_from(known.retired).unwrap_or_default(),
        making: known.making,
    }
}

fn record_of(posted: &RecordedDeployment) -> DeploymentRecord {
    let number = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
    DeploymentRecord {
        id: posted.id.map(number),
        revision: posted.revision.clone(),
        basis: posted.basis.clone(),
        earlier: posted.earlier.iter().take(100).copied().map(number).collect(),
        retired: number(posted.retired),
        making: posted.making,
    }
}
