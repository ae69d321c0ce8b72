//! Bivouac gives every pull request an environment of its own: an isolated Kubernetes namespace, rendered from the
//! infrastructure-as-code found at that commit, reachable at a URL that is posted on the pull request, and gone
//! without a trace when the pull request closes or its time is up.
//!
//! The modules stand in the order of the flow:
//!
//! ```text
//!  GitHub ──webhook──▶ a record, or a hint that a source should be looked at again
//!                        ▼
//!  controller: observe ▶ decide ▶ source ▶ render ▶ guard ▶ apply ▶ health ▶ status ▶ report ▶ GitHub
//!              I/O       PURE     I/O      PURE     PURE    I/O     I/O      I/O      I/O
//! ```
//!
//! Which module may use which, and what of the outside, is a table in `tests/layering.rs`.

pub mod seams;

pub mod domain;

pub mod confine;

pub mod crd;

pub mod webhook;

pub mod source;

pub mod render;

pub mod apply;

pub mod forge;

pub mod report;

pub mod outward;

pub mod probe;

pub mod registry;

pub mod controller;

pub mod gate;

pub mod sandbox;

pub mod telemetry;

pub mod traffic;

pub mod config;

pub mod app;

pub mod cli;
