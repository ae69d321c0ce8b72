//! PURE · what is changed in the objects after they were rendered, the same for every renderer.

mod accounts;
mod expose;
mod hooks;
mod images;
mod namespaces;
mod restart;
mod strings;

pub(super) use self::accounts::accounts;
pub(super) use self::expose::expose;
pub(super) use self::hooks::{declared_hooks, place};
pub(super) use self::images::images;
pub(super) use self::namespaces::namespaces;
pub(super) use self::restart::restart;
