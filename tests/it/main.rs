//! Stories: the whole program with embedded Kubernetes and GitHub, in one process, under a paused clock. Each test is a
//! sentence that a user may rely on.

mod apps;
mod bad_input;
mod changes;
mod determinism;
mod drift;
mod escape;
mod facts;
mod hints;
mod hostile;
mod identities;
mod lifetime;
mod merges;
mod prune;
mod replicas;
mod restarts;
mod rights;
mod steady;
mod supersede;
mod support;
