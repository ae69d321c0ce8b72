//! Who asks and may he: tokens, impersonation, RBAC, and the reviews that ask the same questions by API.

pub(crate) mod authn;
pub(crate) mod defaults;
pub(crate) mod escalation;
pub(crate) mod rbac;
pub(crate) mod reviews;
