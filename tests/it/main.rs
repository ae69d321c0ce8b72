//! Stories: the whole program with embedded Kubernetes and GitHub, in one process, under a paused clock. Each test is a
//! sentence that a user may rely on.

mod accounts;
mod apps;
mod apps_at_forge;
mod bad_input;
mod changes;
mod conflicts;
mod custom_kinds;
mod definitions;
mod determinism;
mod drift;
mod dry_run;
mod escape;
mod facts;
mod guardrails;
mod halt;
mod health;
mod hints;
mod hooks;
mod hostile;
mod identities;
mod immutable;
mod lifetime;
mod merges;
mod network;
mod orphans;
mod prune;
mod replicas;
mod restarts;
mod rights;
mod rollback;
mod steady;
mod supersede;
mod support;
mod teardown;
mod waves;
