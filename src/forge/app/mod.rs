//! I/O · logging in as a GitHub App: the App signs a JWT with its key, and gets tokens for one repository at a time.
//!
//! In: what a Repository's Secret holds. Out: passes for requests and for fetching, and why there is none.

mod grants;
mod lacking;
mod login;
mod problem;
mod tokens;

pub use self::lacking::{Lacks, lacks};
pub use self::login::{AppLogin, InvalidApp, Login};
pub use self::problem::{AppProblem, Missing};
pub(super) use self::tokens::Tokens;
