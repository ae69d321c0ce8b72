//! What controllers and nodes share: an API client over JSON values, watches with caches, a queue of keys and the loop
//! that brings them together. No resource has rules of its own here.

mod api;
mod client;
mod discovery;
mod engine;
mod informer;
pub(crate) mod json;
mod plan;
pub(crate) mod quantity;
mod queue;
pub(crate) mod resource;
mod store;

pub(crate) use api::{Api, ApiError, Deletion};
pub use client::{client_over, client_over_with_token};
pub(crate) use discovery::{Found, discover};
pub(crate) use engine::{Controller, Engine, Work};
pub(crate) use informer::{Change, Informer, Scope};
pub(crate) use plan::{Action, Event};
pub(crate) use queue::Queue;
pub(crate) use resource::Resource;
pub(crate) use store::{Caches, Key};
