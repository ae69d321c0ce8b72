//! The sandbox: an embedded Kubernetes and an embedded GitHub, for the demo, tests and simulation.
//!
//! Both are real HTTP servers on loopback that can also be called in process as tower services
//! ([`crate::seams::Transport`]). What is not supported is answered 501 with its name, never with a guess.

pub mod cluster;

pub mod github;

pub mod registry;
