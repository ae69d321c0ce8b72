//! I/O · the edge to the forge: one GitHub API, one login, one repository in; types of `domain` out.
//!
//! octocrab and the shapes of GitHub's answers stop here. What goes out: [`Forge`] with its methods, [`ForgeError`]
//! with its class, and the transport with sockets for it.

mod adapter;
mod api;
mod api_url;
mod apis;
mod app;
mod branches;
mod call;
mod checks;
mod client;
mod deployments;
mod error;
mod etag;
mod governor;
mod itself;
mod manifest;
mod pass;
mod talk;
mod transport;
mod wire;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_app;

pub use api::Api;
pub use api_url::{ApiUrl, InvalidApiUrl};
pub use apis::Apis;
pub use app::{AppLogin, AppProblem, InvalidApp, Lacks, Login, Missing, lacks};
pub use checks::CheckRun;
pub use client::{Comment, Forge, Permission, RepositoryInfo};
pub use deployments::{Deployment, DeploymentText};
pub use error::{Class, ForgeError};
pub use itself::{AppInfo, AppItself, HookConfig, LastResponse, RepositoryHook, Which};
pub use manifest::{
    MadeApp, Wanted as WantedApp, convert as convert_app, manifest as app_manifest,
};
pub use talk::{LabelEvent, Reaction};
pub use transport::{TransportError, https_transport};
