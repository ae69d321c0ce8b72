//! PURE · what can go wrong at the forge, in words for people, and what to do about it. Never holds a token.

use chrono::{DateTime, Utc};

use super::app::AppProblem;
use crate::seams::BoxError;

/// Why a call to the forge did not give what was asked. `call` is method and path.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// 404. GitHub also says this when the token may not see what is there: it is no proof that something is gone.
    #[error("{call}: not found, or the token may not see it")]
    NotFound {
        /// Method and path.
        call: String,
    },
    /// 401: the token is wrong, expired or withdrawn.
    #[error(
        "{call}: the forge does not accept the token; put a valid one into the credentials' Secret"
    )]
    Unauthorized {
        /// Method and path.
        call: String,
    },
    /// The GitHub App that the service logs in as can't act for the repository.
    #[error("{call}: {problem}")]
    App {
        /// Method and path.
        call: String,
        /// Why not, and who has to do what.
        problem: AppProblem,
    },
    /// 403 that is no rate limit: a right is missing, or the repository is archived.
    #[error("{call}: forbidden by the forge: {message}")]
    Forbidden {
        /// Method and path.
        call: String,
        /// What the forge says, shortened.
        message: String,
    },
    /// The forge wants fewer requests.
    #[error("{call}: the forge's rate limit is reached; the next request may go out at {until}")]
    RateLimited {
        /// Method and path.
        call: String,
        /// Not before this time.
        until: DateTime<Utc>,
    },
    /// 410 or 451: taken away, for now or for ever.
    #[error("{call}: the forge says it is gone (HTTP {status})")]
    Gone {
        /// Method and path.
        call: String,
        /// 410 or 451.
        status: u16,
    },
    /// 5xx, no connection, or no answer in time; worth another try.
    #[error("{call}: the forge can't be reached now ({reason})")]
    Unavailable {
        /// Method and path.
        call: String,
        /// What was seen.
        reason: String,
        /// The cause, when there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// 422, 400: the forge refuses what was sent.
    #[error("{call}: the forge refuses the request: {message}")]
    Invalid {
        /// Method and path.
        call: String,
        /// What the forge says, shortened.
        message: String,
    },
    /// More came than we are ready to take.
    #[error("{call}: the answer is bigger than the limit of {limit}")]
    TooLarge {
        /// Method and path.
        call: String,
        /// The limit with its unit.
        limit: String,
    },
    /// An answer that GitHub does not give: unknown status, or a body that could not be read.
    #[error("{call}: unexpected answer: {reason}")]
    Unexpected {
        /// Method and path.
        call: String,
        /// What was seen.
        reason: String,
    },
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Trying again does not help before somebody changes something.
    UserMustAct,
    /// Try again, not before the given time.
    Transient {
        /// Known when the forge said so.
        not_before: Option<DateTime<Utc>>,
    },
}

impl ForgeError {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::RateLimited { until, .. } => Class::Transient { not_before: Some(*until) },
            Self::Unavailable { .. } | Self::Unexpected { .. } => {
                Class::Transient { not_before: None }
            }
            Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::App { .. }
            | Self::Forbidden { .. }
            | Self::Gone { .. }
            | Self::Invalid { .. }
            | Self::TooLarge { .. } => Class::UserMustAct,
        }
    }

    /// Name of the variant: for metric labels and event reasons.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "NotFound",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::App { problem, .. } => problem.category(),
            Self::Forbidden { .. } => "Forbidden",
            Self::RateLimited { .. } => "RateLimited",
            Self::Gone { .. } => "Gone",
            Self::Unavailable { .. } => "Unavailable",
            Self::Invalid { .. } => "Invalid",
            Self::TooLarge { .. } => "TooLarge",
            Self::Unexpected { .. } => "Unexpected",
        }
    }

    /// True for what will not change by telling the forge again: 401, 403, 404, 410, 451. A teardown stops telling then.
    #[must_use]
    pub fn ends_the_telling(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. }
                | Self::App { .. }
                | Self::Forbidden { .. }
                | Self::NotFound { .. }
                | Self::Gone { .. }
        )
    }
}

impl ForgeError {
    /// The forge does not take what stands in the Secret; anything else could be wrong with the repository alone.
    #[must_use]
    pub fn is_about_the_secret(&self) -> bool {
        match self {
            Self::Unauthorized { .. } => true,
            Self::App { problem, .. } => problem.is_about_the_secret(),
            _ => false,
        }
    }

    /// The same once more, for another who waited for the same answer; the cause becomes words.
    pub(super) fn again(&self) -> Self {
        let call = self.call().to_owned();
        match self {
            Self::NotFound { .. } => Self::NotFound { call },
            Self::Unauthorized { .. } => Self::Unauthorized { call },
            Self::App { problem, .. } => Self::App { call, problem: problem.clone() },
            Self::Forbidden { message, .. } => Self::Forbidden { call, message: message.clone() },
            Self::RateLimited { until, .. } => Self::RateLimited { call, until: *until },
            Self::Gone { status, .. } => Self::Gone { call, status: *status },
            Self::Unavailable { reason, source, .. } => {
                let source =
                    source.as_ref().map(|cause| BoxError::from(one_line(&cause.to_string())));
                Self::Unavailable { call, reason: reason.clone(), source }
            }
            Self::Invalid { message, .. } => Self::Invalid { call, message: message.clone() },
            Self::TooLarge { limit, .. } => Self::TooLarge { call, limit: limit.clone() },
            Self::Unexpected { reason, .. } => Self::Unexpected { call, reason: reason.clone() },
        }
    }

    fn call(&self) -> &str {
        match self {
            Self::NotFound { call }
            | Self::Unauthorized { call }
            | Self::App { call, .. }
            | Self::Forbidden { call, .. }
            | Self::RateLimited { call, .. }
            | Self::Gone { call, .. }
            | Self::Unavailable { call, .. }
            | Self::Invalid { call, .. }
            | Self::TooLarge { call, .. }
            | Self::Unexpected { call, .. } => call,
        }
    }
}

/// Text from outside for one line of a message: no control characters, at most 300 characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
