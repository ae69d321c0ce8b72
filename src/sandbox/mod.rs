//! The sandbox: an embedded Kubernetes for the demo, tests and simulation.

pub mod cluster;
