//! Out: a bundle into the target cluster, and everything of it out again. I/O with the target only: nothing here can
//! reach the cluster that holds our own resources.
//!
//! Guardrails are written by the service's own identity; objects of a bundle only by [`Deployer`], which impersonates
//! the camp's own service account. That is a type and not a habit: no other type here takes an object of a bundle.

mod bundle;

mod camp;

mod deployer;

mod drift;

mod error;

mod facts;

mod health;

mod prepare;

mod target;

mod teardown;

pub use bundle::{Applied, Entry, Fence, apply_bundle, union};
pub use camp::{CampId, labels};
pub use deployer::Deployer;
pub use drift::{
    Difference, Kind, Mark, Marks, Place, PutBack, Shown, WatchTrouble, compare, put_back, told,
    watch_kind,
};
pub use error::{ApplyError, Class};
pub use health::{CampHealth, observe_health};
pub use prepare::{Guardrails, Prepared, prepare};
pub use target::{As, Target, client_over};
pub use teardown::{CampState, delete_namespace, observe_namespace};

/// The one field manager of everything we apply.
pub const FIELD_MANAGER: &str = "bivouac";
