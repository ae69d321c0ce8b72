//! Out: a bundle into the target cluster, and everything of it out again. I/O with the target only: nothing here can
//! reach the cluster that holds our own resources.
//!
//! Guardrails are written by the service's own identity; objects of a bundle only by [`Deployer`], which impersonates
//! the camp's own service account. That is a type and not a habit: no other type here takes an object of a bundle.

mod bundle;

mod camp;

mod deployer;

mod error;

mod facts;

mod health;

mod hooks;

mod prepare;

mod prune;

mod target;

mod teardown;

pub use bundle::{Applied, End, Entry, Fence, Ran, Stock, Work, apply_bundle, union};
pub use camp::{CampId, labels};
pub use deployer::Deployer;
pub use error::{ApplyError, Class};
pub use health::{CampHealth, observe_health};
pub use hooks::{Turn, as_health, in_turn, stop};
pub use prepare::{Guardrails, Prepared, prepare};
pub use target::{As, Target, client_over};
pub use teardown::{CampState, delete_namespace, observe_namespace};

/// The one field manager of everything we apply.
pub const FIELD_MANAGER: &str = "bivouac";
