//! How the parts of a world reach one another, and what is put between them.

use std::sync::Arc;

use crate::seams::Transport;

/// How the parts reach one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// Over loopback, for browsers and `kubectl`.
    Sockets,
    /// In process: no socket, no child process, no thread.
    InProcess,
}

/// Something between the service and a peer of it.
pub type Wire = Arc<dyn Fn(Transport) -> Transport + Send + Sync>;

/// What is put between the service and its peers; for a world in process.
#[derive(Clone, Default)]
pub struct Wires {
    /// On the way to the API server.
    pub cluster: Option<Wire>,
    /// On the way to the forge.
    pub forge: Option<Wire>,
}

impl Wires {
    pub(super) fn to_cluster(&self, transport: Transport) -> Transport {
        match &self.cluster {
            Some(wire) => wire(transport),
            None => transport,
        }
    }

    pub(super) fn to_forge(&self, transport: Transport) -> Transport {
        match &self.forge {
            Some(wire) => wire(transport),
            None => transport,
        }
    }
}
