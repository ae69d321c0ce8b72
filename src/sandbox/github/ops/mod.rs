//! What can be done in the sandbox GitHub, whoever asks: the REST API and the handle both end here.

pub(super) mod branches;
pub(super) mod changes;
pub(super) mod checks;
pub(super) mod comments;
pub(super) mod deployments;
pub(super) mod people;
pub(super) mod pulls;
pub(super) mod repos;
pub(super) mod suites;
