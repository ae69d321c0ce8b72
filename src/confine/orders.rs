//! PURE · what a child has to give up, and what it says of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a child may still do. Everything else is taken away as far as the kernel can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// Files and folders that may be read; what is not there is left out.
    pub read: Vec<PathBuf>,
    /// Files and folders that may be read and executed.
    pub execute: Vec<PathBuf>,
    /// Folders in which files may be made, changed and removed.
    pub write: Vec<PathBuf>,
    /// What of the network is left.
    pub network: Network,
    /// New processes may be made; they stay in the process group that is killed.
    pub may_fork: bool,
    /// Limits that the kernel holds.
    pub limits: KernelLimits,
    /// The whole environment of the tool.
    pub environment: BTreeMap<String, String>,
    /// Where the tool is started.
    pub directory: Option<PathBuf>,
    /// Process that started the child: when it is gone the child goes too.
    pub parent: u32,
}

/// What of the network is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Nothing.
    Refused,
    /// Outgoing connections to these TCP ports (as far as the kernel tells ports apart), and name look-ups.
    Ports(Vec<u16>),
    /// Outgoing connections to any port.
    Outgoing,
}

/// Limits that the kernel holds for one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelLimits {
    /// Seconds of processor time, all threads together.
    pub cpu_seconds: u64,
    /// Bytes of one file that is written.
    pub file_bytes: u64,
    /// Open files.
    pub open_files: u64,
}

/// What is in force in a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Landlock's ABI; 0: none.
    pub landlock: u32,
    /// The seccomp filter.
    pub filter: bool,
    /// A network namespace with nothing in it.
    pub namespace: bool,
}

impl InForce {
    /// Nothing can be sent or fetched over a network.
    #[must_use]
    pub fn network_refused(&self) -> bool {
        self.filter || self.namespace
    }

    /// Only named files can be opened.
    #[must_use]
    pub fn files_confined(&self) -> bool {
        self.landlock > 0
    }

    /// First line of the child's stderr.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { landlock, filter, namespace } = self;
        format!("bivouac-confined landlock={landlock} filter={filter} namespace={namespace}\n")
    }

    /// What [`InForce::line`] made, without the line break; `None` for anything else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("bivouac-confined ")?.split(' ');
        let mut next = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let found = Self {
            landlock: next("landlock")?.parse().ok()?,
            filter: next("filter")?.parse().ok()?,
            namespace: next("namespace")?.parse().ok()?,
        };
        words.next().is_none().then_some(found)
    }
}

/// Why a child could not confine itself.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The call came from a process that is not meant to be confined.
    #[error("failed to read what is to be taken away")]
    Orders(#[source] serde_json::Error),
    /// Only Linux has what this needs.
    #[error("child processes can be confined on Linux only")]
    NotLinux,
    /// One of the steps failed in a way that an old kernel does not explain.
    #[error("failed to {step}: {why}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        why: String,
    },
    /// The process that started this one is gone already.
    #[error("the process that asked for this is gone")]
    Orphan,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_comes_back_from_its_line() {
        let told = InForce { landlock: 7, filter: true, namespace: false };
        let line = told.line();
        assert_eq!(InForce::parse(line.trim_end()), Some(told));
        for not in [
            "",
            "Error: x",
            "bivouac-confined landlock=7",
            "bivouac-confined landlock=7 filter=true namespace=false more",
        ] {
            assert_eq!(InForce::parse(not), None, "{not}");
        }
    }

    #[test]
    fn a_namespace_alone_or_a_filter_alone_refuses_the_network() {
        assert!(!InForce { landlock: 7, filter: false, namespace: false }.network_refused());
        assert!(InForce { landlock: 0, filter: true, namespace: false }.network_refused());
        assert!(InForce { landlock: 0, filter: false, namespace: true }.network_refused());
    }
}
