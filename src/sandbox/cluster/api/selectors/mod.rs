//! Selectors of lists and watches, by labels and by fields. No I/O.

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::{LabelSelector, key_problem, value_problem};
