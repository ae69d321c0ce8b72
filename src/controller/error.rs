//! What can end a run. No I/O.

use crate::apply::{self, ApplyError};
use crate::crd::InvalidPolicy;
use crate::domain::guardrails::UnusableOverride;
use crate::forge::{self, ForgeError};
use crate::render::RenderError;
use crate::seams::FetchError;
use crate::source::SourceError;

/// Why a run ended before its goal. Display is the stage; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The record could not be read or written.
    #[error("failed to {what}")]
    Record {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// Somebody else wrote the record meanwhile; the next run begins with what they wrote.
    #[error("the record changed meanwhile")]
    Stale,
    /// The Repository can't be used.
    #[error("the Repository can't be used")]
    Policy(#[source] InvalidPolicy),
    /// The Repository's credentials are not there yet.
    #[error("the credentials of Repository {repository} were not read yet")]
    NoCredentials {
        /// Its name.
        repository: String,
    },
    /// There is no such Repository.
    #[error(
        "there is no Repository {repository} in this namespace: make it, or delete this record"
    )]
    NoRepository {
        /// Its name.
        repository: String,
    },
    /// The forge's repository is another one than the one that is served.
    #[error(
        "{name} is another repository than the one that was served under this name (id {found} instead of {expected}): nothing is fetched from it"
    )]
    AnotherRepository {
        /// Owner and name.
        name: String,
        /// The id that is served.
        expected: i64,
        /// The id that answered.
        found: u64,
    },
    /// The forge could not be asked or told.
    #[error("the forge failed")]
    Forge(#[source] ForgeError),
    /// The commit could not be read.
    #[error("the commit could not be read")]
    Source(#[source] SourceError),
    /// The machine, and not the commit, is why nothing could be rendered.
    #[error("the commit could not be rendered here")]
    Render(#[source] RenderError),
    /// The namespace is there, and what a bundle needs in it does not come.
    #[error("the camp could not be prepared within {seconds} s: {what}")]
    CampUnusable {
        /// What is missing.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A template of the platform team makes no guardrails.
    #[error("the camp can't be fenced in")]
    Guardrails(#[source] UnusableOverride),
    /// A Secret that the Repository puts into camps can't be.
    #[error("Secret {secret} can't be put into the camp: {why}")]
    Grant {
        /// Its name.
        secret: String,
        /// Why not.
        why: &'static str,
    },
    /// The target failed.
    #[error("the target cluster failed")]
    Apply(#[source] ApplyError),
}

/// Who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A person; the run is repeated when something changes, and once in a while.
    UserMustAct,
    /// Nobody; repeated with growing pauses.
    Transient,
    /// Something that is on its way; repeated soon.
    Waiting,
}

impl ReconcileError {
    /// The one place that says what an error asks for.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Stale | Self::NoCredentials { .. } => Class::Waiting,
            // Nothing that comes again by itself within seconds: a token, an address, a limit, a role is to be changed.
            Self::Source(SourceError::Fetch(
                FetchError::Denied { .. }
                | FetchError::NotAllowed { .. }
                | FetchError::TooBig { .. },
            ))
            // Helm or Kustomize has to be installed; the next look finds it.
            | Self::Render(RenderError::Unavailable { .. })
            | Self::Policy(_)
            | Self::NoRepository { .. }
            | Self::Guardrails(_)
            | Self::Grant { .. }
            | Self::AnotherRepository { .. } => Class::UserMustAct,
            Self::Record { .. }
            | Self::Source(_)
            | Self::Render(_)
            | Self::CampUnusable { .. } => Class::Transient,
            Self::Forge(error) => match error.class() {
                forge::Class::UserMustAct => Class::UserMustAct,
                forge::Class::Transient { .. } => Class::Transient,
            },
            Self::Apply(error) => match error.class() {
                apply::Class::UserMustAct => Class::UserMustAct,
                apply::Class::Transient => Class::Transient,
                apply::Class::Waiting => Class::Waiting,
            },
        }
    }

    /// Name of the variant: for metric labels and event reasons.
    pub(super) fn category(&self) -> &'static str {
        match self {
            Self::Record { .. } => "Record",
            Self::Stale => "Stale",
            Self::Policy(_) => "Policy",
            Self::NoCredentials { .. } => "NoCredentials",
            Self::NoRepository { .. } => "NoRepository",
            Self::AnotherRepository { .. } => "AnotherRepository",
            Self::Forge(error) => error.category(),
            Self::Source(_) => "Source",
            Self::Render(_) => "Render",
            Self::CampUnusable { .. } => "CampUnusable",
            Self::Guardrails(_) => "Guardrails",
            Self::Grant { .. } => "Grant",
            Self::Apply(_) => "Apply",
        }
    }

    /// An error of a call about our own resources; 409 means that somebody else was faster.
    pub(super) fn record(what: &'static str, error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Stale,
            _ => Self::Record { what, source: Box::new(error) },
        }
    }
}

/// The whole chain in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = words_of(error);
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&words_of(cause));
        next = cause.source();
    }
    text
}

/// What an API server answered is said in its words, without the type around them.
fn words_of(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }
}
