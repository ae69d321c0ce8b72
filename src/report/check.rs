//! I/O · the check of one commit: an App's check run, found again and written only when its content changed; a commit
//! status where only a token is at hand.

use crate::domain::check::{BATCH, CheckContent};
use crate::domain::id::Revision;
use crate::forge::{CheckRun, Forge, ForgeError};

/// What is to stand at a commit.
#[derive(Clone, Debug)]
pub struct CheckPlan {
    /// The commit.
    pub revision: Revision,
    /// What the check is called.
    pub name: String,
    /// By which a run is found when its id is not known.
    pub external_id: String,
    /// What it says.
    pub content: CheckContent,
    /// What was written last, when a record knows.
    pub recorded: Option<RecordedCheck>,
}

/// What a record remembers of the last write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedCheck {
    /// Id of the run; `None` for a commit status.
    pub id: Option<u64>,
    /// Hash of the content.
    pub hash: String,
    /// Hash of the annotations that it has.
    pub annotations: String,
    /// It was not concluded.
    pub open: bool,
}

/// How a login may say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// As a check run: Apps only.
    Run,
    /// As the status of the commit.
    Status,
    /// Not at all: nobody gave the right.
    None,
}

/// How the login of `forge` may say it. A token does not tell what it may do; trying does.
pub async fn check_kind(forge: &Forge) -> Result<CheckKind, ForgeError> {
    let Some(granted) = forge.app_permissions().await? else { return Ok(CheckKind::Status) };
    let writes = |name: &str| granted.get(name).is_some_and(|level| level == "write");
    Ok(if writes("checks") {
        CheckKind::Run
    } else if writes("statuses") {
        CheckKind::Status
    } else {
        CheckKind::None
    })
}

/// Brings the plan about. Doing it twice writes once. Gives what stands there then.
pub async fn post_check(
    forge: &Forge,
    plan: &CheckPlan,
    kind: CheckKind,
) -> Result<RecordedCheck, ForgeError> {
    let (hash, annotations) = (plan.content.hash(), plan.content.annotations_hash());
    let recorded = plan.recorded.clone().unwrap_or_default();
    if recorded.hash == hash && recorded.annotations == annotations {
        return Ok(recorded);
    }
    let open = plan.content.conclusion.is_none();
    match kind {
        CheckKind::Run => {
            let id = Some(run(forge, plan, &recorded, &annotations).await?);
            Ok(RecordedCheck { id, hash, annotations, open })
        }
        CheckKind::Status => {
            let status = plan.content.commit_status();
            forge.set_commit_status(&plan.revision, &plan.name, &status).await?;
            // It has no place for annotations; they are told, as far as they can be.
            Ok(RecordedCheck { id: None, hash, annotations, open: status.state == "pending" })
        }
        CheckKind::None => Ok(recorded),
    }
}

async fn run(
    forge: &Forge,
    plan: &CheckPlan,
    recorded: &RecordedCheck,
    annotations: &str,
) -> Result<u64, ForgeError> {
    let CheckPlan { revision, name, external_id, content, .. } = plan;
    if let Some(id) = recorded.id {
        let adds = recorded.annotations.is_empty() && !annotations.is_empty();
        if adds || recorded.annotations == annotations {
            match write(forge, id, content, adds).await {
                // Somebody deleted it, or the repository is another.
                Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => {}
                other => return other.map(|()| id),
            }
        }
        // Annotations can't be taken away: what says others is a new run, which is shown in the place of the old one.
    } else if let Some(found) = find(forge, plan).await? {
        let adds = found.annotations == 0 && !content.annotations.is_empty();
        if adds || found.annotations == content.annotations.len() {
            write(forge, found.id, content, adds).await?;
            return Ok(found.id);
        }
    }
    let first = &content.annotations[..content.annotations.len().min(BATCH)];
    let id = forge.create_check_run(revision, name, external_id, content, first).await?;
    for rest in content.annotations.chunks(BATCH).skip(1) {
        forge.update_check_run(id, content, rest).await?;
    }
    Ok(id)
}

async fn find(forge: &Forge, plan: &CheckPlan) -> Result<Option<CheckRun>, ForgeError> {
    let runs = forge.check_runs(&plan.revision, &plan.name).await?;
    Ok(runs.into_iter().find(|run| run.external_id == plan.external_id))
}

async fn write(
    forge: &Forge,
    id: u64,
    content: &CheckContent,
    with_annotations: bool,
) -> Result<(), ForgeError> {
    if !with_annotations {
        return forge.update_check_run(id, content, &[]).await;
    }
    for batch in content.annotations.chunks(BATCH) {
        forge.update_check_run(id, content, batch).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
