//! Out: a bundle into the target cluster, and everything of it out again. I/O with the target only: nothing here can
//! reach the cluster that holds our own resources.
//!
//! Guardrails are written by the service's own identity; objects of a bundle only by [`Deployer`], which impersonates
//! the camp's own service account. That is a type and not a habit: no other type here takes an object of a bundle.

mod bundle;

mod camp;

pub mod census;

mod deployer;

mod discovery;

mod drift;

mod dry_run;

mod error;

mod facts;

mod fields;

mod health;

mod hooks;

mod logs;

mod memory;

mod own;

mod prepare;

mod prune;

mod refusals;

mod replace;

mod rights;

mod target;

mod teardown;

mod yields;

pub use bundle::{Applied, End, Entry, Fence, Ran, Stock, Work, apply_bundle, union};
pub use camp::{CampId, labels};
pub use deployer::{Deployer, Sharing};
pub use drift::{
    Difference, Kind, Mark, Marks, Place, PutBack, Shown, WatchTrouble, compare, put_back,
    watch_kind,
};
pub use dry_run::{Remark, dry_run};
pub use error::{ApplyError, Class};
pub use health::{CampHealth, observe_health};
pub use hooks::{Turn, as_health, in_turn, stop};
pub use logs::{ContainerLog, logs};
pub use prepare::{Guardrails, Preparation, Prepared, quotas};
pub use replace::REPLACE_ANNOTATION;
pub use target::{As, Target, client_over};
pub use teardown::{CampState, delete_namespace, observe_namespace};
pub use yields::Yielded;

/// The one field manager of everything we apply.
pub const FIELD_MANAGER: &str = "bivouac";
