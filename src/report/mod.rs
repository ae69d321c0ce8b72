//! I/O · tells the forge what happened. Text and decision come from `domain`; here it is only brought there, once.

pub mod check;
pub mod comment;
pub mod deployment;
