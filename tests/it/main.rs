//! Stories: the whole program with embedded Kubernetes and GitHub, in one process, under a paused clock. Each test is a
//! sentence that a user may rely on.

mod bad_input;
mod determinism;
mod hints;
mod identities;
mod lifetime;
mod prune;
mod replicas;
mod restarts;
mod steady;
mod supersede;
mod support;
