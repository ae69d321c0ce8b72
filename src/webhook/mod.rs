//! I/O · in: HTTP request → signature → identities → a record and a hint. Decides nothing and reads nothing back.

mod asked;
mod follow;
mod recorder;
mod secrets;
mod server;

#[cfg(test)]
mod tests;

pub use follow::Follower;
pub use recorder::{RecordError, Recorder};
pub use secrets::{Secrets, Served};
pub use server::{MOST_BYTES, Outcome, Webhook, router};
