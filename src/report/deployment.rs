//! I/O · the deployments of one pull request: the wanted one made or found again, its status written when it changed,
//! earlier ones inactive once it runs, all inactive when nothing runs.

use crate::domain::deployment::{State, Wanted, Wish};
use crate::forge::{DeploymentText, Forge, ForgeError};

/// What is to be at the forge.
#[derive(Clone, Debug)]
pub struct DeploymentPlan {
    /// By which the deployments of the pull request are found.
    pub task: String,
    /// Name of the environment that all pull requests share.
    pub environment: String,
    /// What is wanted.
    pub wish: Wish,
    /// Where people read how it went.
    pub log_url: Option<String>,
    /// What a record remembers of the last write.
    pub recorded: Option<RecordedDeployment>,
}

/// What a record remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedDeployment {
    /// Id of the one that counts; `None` when all are inactive.
    pub id: Option<u64>,
    /// Its commit.
    pub revision: String,
    /// What its newest status was made of.
    pub basis: String,
    /// Earlier ones that are not inactive yet.
    pub earlier: Vec<u64>,
    /// This one and all before it are inactive.
    pub retired: u64,
    /// Another was to be made: it may be there, though nobody noted its id.
    pub making: bool,
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployed {
    /// It is as planned.
    Done(RecordedDeployment),
    /// The rate is short, and it can do without. It is planned again some time.
    LeftOut,
}

impl RecordedDeployment {
    /// Whether the wish needs no request.
    #[must_use]
    pub fn satisfies(&self, wish: &Wish) -> bool {
        if self.making {
            return false;
        }
        match wish {
            Wish::Keep => true,
            Wish::Nothing => self.id.is_none() && self.earlier.is_empty(),
            Wish::Stand(wanted) => {
                self.id.is_some()
                    && self.basis == wanted.basis()
                    && (self.earlier.is_empty() || !wanted.replaces_others())
            }
        }
    }
}

/// Brings the plan about. Doing it twice writes once.
pub async fn post_deployment(forge: &Forge, plan: &DeploymentPlan) -> Result<Deployed, ForgeError> {
    let recorded = plan.recorded.clone().unwrap_or_default();
    if plan.recorded.is_some() && recorded.satisfies(&plan.wish) {
        return Ok(Deployed::Done(recorded));
    }
    match &plan.wish {
        Wish::Keep => keep(forge, plan, recorded).await.map(Deployed::Done),
        Wish::Nothing => end(forge, plan, recorded).await.map(Deployed::Done),
        Wish::Stand(wanted) => match stand(forge, plan, wanted, recorded.clone()).await {
            // Somebody deleted the one that counts.
            Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) if recorded.id.is_some() => {
                let without = RecordedDeployment { id: None, ..recorded };
                stand(forge, plan, wanted, without).await
            }
            other => other,
        },
    }
}

async fn stand(
    forge: &Forge,
    plan: &DeploymentPlan,
    wanted: &Wanted,
    mut recorded: RecordedDeployment,
) -> Result<Deployed, ForgeError> {
    let same = recorded.revision == wanted.revision.as_str() && !recorded.making;
    let known = recorded.id.filter(|_| same);
    let id = if let Some(known) = known {
        known
    } else {
        if forge.is_short() {
            return Ok(Deployed::LeftOut);
        }
        let active = active(forge, plan, &recorded).await?;
        let found = active.iter().find(|(_, revision)| revision == wanted.revision.as_str());
        let id = if let Some((id, _)) = found {
            *id
        } else {
            let task = &plan.task;
            forge.create_deployment(&wanted.revision, task, &plan.environment).await?.id
        };
        recorded.earlier = active.iter().map(|(id, _)| *id).filter(|other| *other != id).collect();
        recorded.basis.clear();
        id
    };
    let basis = wanted.basis();
    if recorded.basis != basis && !(forge.is_short() && wanted.state == State::InProgress) {
        let text = DeploymentText {
            state: wanted.state,
            url: wanted.url.as_deref(),
            log_url: plan.log_url.as_deref(),
        };
        match forge.set_deployment_status(id, &text).await {
            // It was made, or shown in a list, a moment ago.
            Err(ForgeError::NotFound { call }) if known.is_none() => {
                return Err(not_caught_up(call));
            }
            other => other?,
        }
        recorded.basis = basis;
    }
    if wanted.replaces_others() {
        for earlier in std::mem::take(&mut recorded.earlier) {
            retire(forge, earlier).await?;
        }
        // All before it were looked through when it was made.
        recorded.retired = id.saturating_sub(1);
    }
    (recorded.id, recorded.making) = (Some(id), false);
    wanted.revision.as_str().clone_into(&mut recorded.revision);
    Ok(Deployed::Done(recorded))
}

/// Ends what was made and is not wanted any more; what is known goes on.
async fn keep(
    forge: &Forge,
    plan: &DeploymentPlan,
    mut recorded: RecordedDeployment,
) -> Result<RecordedDeployment, ForgeError> {
    for (id, _) in active(forge, plan, &recorded).await? {
        if recorded.id != Some(id) && !recorded.earlier.contains(&id) {
            retire(forge, id).await?;
        }
    }
    recorded.making = false;
    Ok(recorded)
}

async fn end(
    forge: &Forge,
    plan: &DeploymentPlan,
    recorded: RecordedDeployment,
) -> Result<RecordedDeployment, ForgeError> {
    // Looked for as well: one may have been made in the moment in which a process ended.
    let mut retired = recorded.retired;
    for (id, _) in active(forge, plan, &recorded).await? {
        retire(forge, id).await?;
        retired = retired.max(id);
    }
    Ok(RecordedDeployment { retired, ..RecordedDeployment::default() })
}

/// Deployments of the pull request that are not inactive, newest first, with their commits.
async fn active(
    forge: &Forge,
    plan: &DeploymentPlan,
    recorded: &RecordedDeployment,
) -> Result<Vec<(u64, String)>, ForgeError> {
    let me = forge.viewer().await?.id;
    let found = forge.deployments_of_task(&plan.task, recorded.retired).await?;
    let mut active = Vec::new();
    for deployment in found {
        if deployment.creator != Some(me) || deployment.task != plan.task {
            continue;
        }
        let known = recorded.id == Some(deployment.id) || recorded.earlier.contains(&deployment.id);
        if known || forge.deployment_is_active(deployment.id).await? {
            active.push((deployment.id, deployment.revision));
        }
    }
    Ok(active)
}

/// One that somebody deleted is gone, too.
async fn retire(forge: &Forge, id: u64) -> Result<(), ForgeError> {
    let text = DeploymentText { state: State::Inactive, url: None, log_url: None };
    let call = match forge.set_deployment_status(id, &text).await {
        Err(ForgeError::NotFound { call } | ForgeError::Gone { call, .. }) => call,
        other => return other,
    };
    match forge.deployment_is_active(id).await {
        Ok(false) | Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => Ok(()),
        Ok(true) => Err(not_caught_up(call)),
        Err(error) => Err(error),
    }
}

/// "Not found" is also what a forge says that has not caught up with itself yet.
fn not_caught_up(call: String) -> ForgeError {
    let reason = "it does not find what it has just shown".to_owned();
    ForgeError::Unavailable { call, reason, source: None }
}
