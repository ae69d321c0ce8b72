//! PURE · why a GitHub App can't act for a repository, in words that say who has to do what. Never holds a token or key.

use std::fmt;

/// A permission that an installation lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// GitHub's name of it, as `pull_requests`.
    pub name: &'static str,
    /// `read` or `write`.
    pub level: &'static str,
    /// It has the permission at a lower level.
    pub has_some: bool,
}

impl fmt::Display for Missing {
    /// As GitHub's settings page has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.name.replace('_', " ");
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        write!(f, "{words}: {}{}", self.level, if self.has_some { " (it has read)" } else { "" })
    }
}

/// Why a GitHub App can't act for a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppProblem {
    /// The forge knows no installation of the App that covers the repository.
    #[error(
        "the GitHub App {app} is not installed on {repository}: its owner installs it from the App's page and chooses this \
         repository there"
    )]
    NotInstalled {
        /// Id of the App.
        app: String,
        /// Owner and name.
        repository: String,
    },
    /// There is no installation of the id in the Secret.
    #[error(
        "the GitHub App {app} has no installation {installation}: correct installationId in the Secret, or leave it out"
    )]
    NoInstallation {
        /// Id of the App.
        app: String,
        /// The id that was written down.
        installation: u64,
    },
    /// The installation is there, and the repository is none of those that were chosen for it.
    #[error(
        "installation {installation} of the GitHub App {app} does not cover {repository}: add the repository in the \
         installation's settings{at}; if it was renamed, write its present name"
    )]
    NotCovered {
        /// Id of the App.
        app: String,
        /// Id of the installation.
        installation: u64,
        /// Owner and name, or the number.
        repository: String,
        /// The settings page, with words before it; may be empty.
        at: String,
    },
    /// Somebody suspended the installation.
    #[error(
        "installation {installation} of the GitHub App {app} is suspended: the owner of the account, or of the App, lifts \
         that in the settings{at}"
    )]
    Suspended {
        /// Id of the App.
        app: String,
        /// Id of the installation.
        installation: u64,
        /// The settings page, with words before it; may be empty.
        at: String,
    },
    /// The installation lacks permissions.
    #[error(
        "installation {installation} of the GitHub App {app} lacks the permission {}: add it in the App's settings, then the \
         owner of the account accepts it in the installation's settings{at}",
        list(.missing)
    )]
    Permissions {
        /// Id of the App.
        app: String,
        /// Id of the installation.
        installation: u64,
        /// Which.
        missing: Vec<Missing>,
        /// The settings page, with words before it; may be empty.
        at: String,
    },
    /// The forge does not take what the App signed.
    #[error(
        "the forge does not accept the login of the GitHub App {app} ({message}): appId and privateKey must belong together, \
         the key must not have been deleted there, and this machine's clock must be right"
    )]
    Refused {
        /// Id of the App.
        app: String,
        /// What the forge says, shortened.
        message: String,
    },
    /// A token that was given just now is not accepted.
    #[error(
        "the forge does not accept a token that it gave to the GitHub App {app} a moment ago; this is tried again"
    )]
    TokenRefused {
        /// Id of the App.
        app: String,
    },
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(" and ")
}

impl AppProblem {
    /// Name of the variant: for conditions, metric labels and event reasons.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotInstalled { .. } | Self::NoInstallation { .. } | Self::NotCovered { .. } => {
                "AppNotInstalled"
            }
            Self::Suspended { .. } => "AppSuspended",
            Self::Permissions { .. } => "AppPermissionMissing",
            Self::Refused { .. } | Self::TokenRefused { .. } => "AppRefused",
        }
    }

    /// The values in the Secret are wrong, and not what the App may do.
    pub(in crate::forge) fn is_about_the_secret(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::TokenRefused { .. } | Self::NoInstallation { .. }
        )
    }
}
