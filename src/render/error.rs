//! What can be wrong with a commit, and where. No I/O.

use std::fmt;

use super::tools::ToolError;
use crate::domain::document::Position;

/// Place of a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path in the repository.
    pub file: String,
    /// Line and column, when the mistake has them.
    pub position: Option<Position>,
}

impl Place {
    pub(super) fn file(file: &str) -> Self {
        Self { file: file.to_owned(), position: None }
    }

    pub(super) fn at(file: &str, position: Position) -> Self {
        Self { file: file.to_owned(), position: Some(position) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.position.map_or(Ok(()), |position| write!(f, ":{position}"))
    }
}

/// What people should know, though nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where, when it is about one place.
    pub place: Option<Place>,
    /// What.
    pub message: String,
}

impl Note {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }

    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why nothing could be rendered. None repeats a value from a manifest, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The preview file says something that is not allowed.
    #[error("{place}: {message}")]
    PreviewFile {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// A value of a parameter is not allowed, or missing.
    #[error("{place}: {message}")]
    Parameter {
        /// Where it is declared.
        place: Place,
        /// Names the parameter and what is allowed.
        message: String,
    },
    /// A path of the preview file, or every conventional one, is not in the commit.
    #[error("{place}: {message}")]
    PathMissing {
        /// Where it was asked for.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// Text that is no YAML as the Kubernetes tools read it.
    #[error("{place}: {message}")]
    Yaml {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// A template that can't be filled.
    #[error("{place}: {message}")]
    Template {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// A document that is no Kubernetes object.
    #[error("{place}: {message}")]
    Manifest {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// Helm or Kustomize did not like what it was given.
    #[error("{place}: {message}")]
    Tool {
        /// Where, as far as the tool says.
        place: Place,
        /// The tool's words.
        message: String,
    },
    /// Objects of more than one namespace, or of one where that is not allowed.
    #[error("{place}: {message}")]
    Namespaces {
        /// The first place.
        place: Place,
        /// Which, and what to do.
        message: String,
    },
    /// Two objects would overwrite each other.
    #[error("{second}: {object} is already defined at {first}; take one of them out")]
    Duplicate {
        /// Kind and name.
        object: String,
        /// Where it is defined first.
        first: Place,
        /// Where it comes again.
        second: Place,
    },
    /// Files that are to be rendered in another way than the one that was asked for.
    #[error("{place}: {message}")]
    Unsupported {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// More than the limits allow.
    #[error("{place}: {message}")]
    TooMuch {
        /// The file in which the limit was reached.
        place: Place,
        /// Which limit, with its figure.
        message: String,
    },
    /// Helm or Kustomize is not there. Nothing that the author of the commit can mend.
    #[error("{place}: {message}")]
    Unavailable {
        /// What needs it.
        place: Place,
        /// What is missing and how to get it.
        message: String,
    },
    /// The machine failed; worth another try.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
    },
    /// A mistake of ours: a name that we made could break out of a template.
    #[error("context value {name} has characters that may not be put into a template")]
    Inputs {
        /// The variable.
        name: String,
    },
}

impl RenderError {
    /// Where, when it is about one place.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::PreviewFile { place, .. }
            | Self::Parameter { place, .. }
            | Self::PathMissing { place, .. }
            | Self::Yaml { place, .. }
            | Self::Template { place, .. }
            | Self::Manifest { place, .. }
            | Self::Tool { place, .. }
            | Self::Namespaces { place, .. }
            | Self::Unsupported { place, .. }
            | Self::TooMuch { place, .. }
            | Self::Unavailable { place, .. } => Some(place),
            Self::Duplicate { second, .. } => Some(second),
            Self::Failed { .. } | Self::Inputs { .. } => None,
        }
    }

    /// What is wrong and what to do, without the place.
    #[must_use]
    pub fn message(&self) -> String {
        let whole = self.to_string();
        let place = self.place().map(|place| format!("{place}: ")).unwrap_or_default();
        whole.strip_prefix(&place).map_or(whole.clone(), str::to_owned)
    }

    /// What a tool said about the app at `path`.
    pub(super) fn of_tool(error: ToolError, path: &str) -> Self {
        match error {
            ToolError::Input { file, line, message } => {
                let position = line.map(|line| Position { line, column: 1 });
                let file = file.filter(|file| !file.is_empty()).unwrap_or_else(|| path.to_owned());
                Self::Tool { place: Place { file, position }, message }
            }
            ToolError::TooMuch { message } => Self::TooMuch { place: Place::file(path), message },
            ToolError::Unavailable { message } => {
                Self::Unavailable { place: Place::file(path), message }
            }
            ToolError::Failed { .. } => Self::Failed { message: error.to_string() },
        }
    }
}
