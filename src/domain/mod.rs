//! The pure core: no clock, no `await`, no client, no file. What it needs comes as arguments, what it decides leaves
//! as values with their reasons.

pub mod id;

pub mod pull_request;

pub mod event;

pub mod naming;
pub mod notice;

pub mod plain;
pub mod policy;

pub mod selection;

pub mod lifetime;

pub mod decision;
pub mod gate;
pub mod power;
pub mod queue;

pub mod changes;

pub mod definitions;

pub mod dns;

pub mod document;

pub mod positions;

pub mod file_tree;

pub mod preview_file;

pub mod render_inputs;

pub mod bundle;
pub mod carry_over;

pub mod bundle_diff;

pub mod contest;
pub mod drift;

pub mod finding;

pub mod guard;
pub mod guardrails;
pub mod quota;

pub mod admit;
pub mod halt;
pub mod healing;
pub mod health;
pub mod hosts;
pub mod rate;
pub mod reachable;
pub mod redact;

pub mod status;

pub mod stuck;
pub mod waves;

pub mod check;
pub mod command;
pub mod comment;
pub mod deployment;
