//! What is done with objects: read, create, change, delete, and their subresources.

mod bindings;
mod change;
mod create;
mod decode;
mod delete;
mod patch;
mod prepare;
mod read;
mod rules;
mod scale;
mod tokens;

pub(crate) use create::DEFAULT_SERVICE_ADDRESS;
pub(crate) use delete::{DeleteOptions, Deleted};
pub(crate) use read::{ListOptions, Page, Selectors};
