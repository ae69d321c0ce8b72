//! What renders charts and overlays: programs that are not ours, behind one interface. No I/O in here; the confined
//! child processes are one implementation, a refusal with its reason is the other.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::domain::file_tree::FileTree;

/// Runs Helm and Kustomize. A simulation has none: it starts no process.
pub trait Tools: Send + Sync {
    /// `helm template`.
    fn helm(&self, job: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>>;

    /// `kustomize build`.
    fn kustomize(&self, job: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>>;
}

/// One chart to be rendered.
#[derive(Clone, Debug)]
pub struct HelmJob {
    /// The files that may be read; paths as in the repository.
    pub files: FileTree,
    /// Directory of the chart, in `files`.
    pub chart: String,
    /// Name of the release.
    pub release: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Values files in `files`, later ones win.
    pub values: Vec<String>,
    /// Values set one by one, by Helm's path syntax (`image.tag`, `list[0].name`); typed, never parsed again.
    pub set: Vec<(String, Value)>,
    /// `major.minor` of the target, for `Capabilities`; empty: the tool's own.
    pub kubernetes_version: String,
    /// `group/version`s and `group/version/Kind`s for `Capabilities`.
    pub api_versions: Vec<String>,
    /// Bounds.
    pub limits: ToolLimits,
}

/// One overlay to be built.
#[derive(Clone, Debug)]
pub struct KustomizeJob {
    /// The files that may be read; paths as in the repository. Bases outside the overlay are in here too.
    pub files: FileTree,
    /// Directory of the overlay, in `files`.
    pub overlay: String,
    /// Bounds.
    pub limits: ToolLimits,
}

/// Bounds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolLimits {
    /// The child and all of its children end within this time.
    pub time: Duration,
    /// Bytes of output that are read; more ends the child.
    pub output_bytes: usize,
    /// Bytes of resident memory of the child's process group; more ends it.
    pub memory_bytes: u64,
}

/// What a tool printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// Documents in the order printed.
    pub documents: Vec<ToolDocument>,
    /// What people should know, though nothing is wrong.
    pub notes: Vec<String>,
    /// Fields that came out differently when the same input was rendered again (`randAlphaNum`, `genCA`, `now`).
    pub random: Vec<RandomOutput>,
}

/// The YAML of one document, and the file it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDocument {
    /// Path in the repository; the app's own path when the tool does not say.
    pub file: String,
    /// YAML of one document.
    pub yaml: String,
}

/// A field that is not the same twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RandomOutput {
    /// Index into [`ToolOutput::documents`].
    pub document: usize,
    /// JSON pointer of the field.
    pub pointer: String,
}

/// Why a tool gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The author of the commit has to mend something; the tool's own words, made short and without values.
    #[error("{message}")]
    Input {
        /// File in the repository, when the tool names one.
        file: Option<String>,
        /// Line, when the tool names one.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// More time, memory or output than allowed.
    #[error("{message}")]
    TooMuch {
        /// Which limit, with the figure.
        message: String,
    },
    /// The tool is not installed, has the wrong version, or may not be run on this machine.
    #[error("{message}")]
    Unavailable {
        /// What is missing and how to get it.
        message: String,
    },
    /// The machine failed; worth another try.
    #[error("{tool} could not be run: {message}")]
    Failed {
        /// `helm` or `kustomize`.
        tool: &'static str,
        /// What happened.
        message: String,
    },
}

/// No tool at all: every job is refused with one reason.
#[derive(Clone, Debug)]
pub struct NoTools {
    reason: String,
}

impl NoTools {
    /// `reason` says what is missing and what to do.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    fn refuse(&self) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        let message = self.reason.clone();
        Box::pin(async move { Err(ToolError::Unavailable { message }) })
    }
}

impl Tools for NoTools {
    fn helm(&self, _: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        self.refuse()
    }

    fn kustomize(&self, _: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        self.refuse()
    }
}
