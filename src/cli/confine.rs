//! `bivouac __confine`: takes rights away from itself and becomes a tool. Not for people; `confine` starts it.

use std::ffi::OsString;

use clap::Args;

use super::Outcome;
use crate::confine::{ConfineError, Orders, become_program};

/// Give up what the orders do not leave and become the program; without one, say what would be in force.
#[derive(Args, Debug)]
pub(super) struct Confine {
    /// What is left to the program, as JSON
    orders: String,
    /// The program and its arguments
    #[arg(last = true)]
    program: Vec<OsString>,
}

impl Confine {
    pub(super) fn run(self) -> Outcome {
        let Self { orders, program } = self;
        let orders: Orders = serde_json::from_str(&orders).map_err(ConfineError::Orders)?;
        Ok(become_program(&orders, &program)?)
    }
}
