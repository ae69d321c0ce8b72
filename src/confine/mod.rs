//! Child processes that confine themselves before they touch anything hostile. I/O: starts, watches and ends children;
//! [`confine`] changes the process that calls it and can't be taken back.
//!
//! The child is this program again (`bivouac __confine`): it takes away what the work does not need, says on its first
//! line of stderr what is in force, and becomes the tool by `exec`. No privilege is needed for it, so it works in a
//! restricted pod, where namespaces can't be had.
//!
//! What is taken away, each on its own, so that a kernel that lacks one still has the others:
//!
//! * Landlock: files other than those named, TCP, signals and abstract sockets of others;
//! * a seccomp filter: every socket but an unconnected `AF_UNIX` one, new processes, and the system calls with which
//!   others got out of such a place;
//! * a network namespace of its own, where the filter can't be had;
//! * limits of the kernel, capabilities, inherited file descriptors, the environment.

mod child;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod impose;
mod orders;
mod scratch;

pub use self::child::{Bounds, Ended, Stop, confined, run};
#[cfg(target_os = "linux")]
pub use self::impose::{become_program, confine};
pub use self::orders::{ConfineError, InForce, KernelLimits, Network, Orders};
pub use self::scratch::{Scratch, ScratchError};

/// Name of the hidden subcommand that confines itself and becomes a tool.
pub const SUBCOMMAND: &str = "__confine";

/// No confinement is known for this system.
#[cfg(not(target_os = "linux"))]
pub fn confine(_: &Orders) -> Result<InForce, ConfineError> {
    Err(ConfineError::NotLinux)
}

/// No confinement is known for this system.
#[cfg(not(target_os = "linux"))]
pub fn become_program(_: &Orders, _: &[std::ffi::OsString]) -> Result<(), ConfineError> {
    Err(ConfineError::NotLinux)
}
