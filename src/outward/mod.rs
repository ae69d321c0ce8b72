//! The one way over sockets to hosts whose names come from outside: previews, receivers of notices, image registries. In: a
//! [`Policy`]; out: a transport that checks each address after its name was resolved. I/O: DNS and TCP.
//!
//! No proxy (it would resolve names itself, behind our back), no redirect, no referrer. What may be asked at all is decided
//! by who asks; where a name may lead is decided here, and here alone. The gate, which asks Services by a client of its own,
//! takes the decision from here.

mod address;
mod classify;
mod client;

use std::time::Duration;

pub use address::is_allowed;
pub use client::transport;

/// Which networks may be asked. The machine itself, its link, metadata and what is reserved never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The public internet.
    Public,
    /// Private networks, too.
    Private,
    /// Whatever a cluster may give its Services: also what is reserved for later (240.0.0.0/4), which some do.
    Services,
}

/// What names of this machine (`localhost` and all below it) lead to. No server of names is ever asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThisMachine {
    /// To nothing: refused as an address that is never asked.
    Refused,
    /// To its loopback addresses: somebody tries the service on one machine.
    Asked,
}

/// What may be asked, and how long.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Networks.
    pub reach: Reach,
    /// Names of this machine.
    pub this_machine: ThisMachine,
    /// Host and port that are asked in place of all others, under the others' names; they are taken as they are.
    pub instead: Option<(String, u16)>,
    /// Nothing is sent without TLS.
    pub https_only: bool,
    /// Connections are kept for the next request.
    pub keep: bool,
    /// A connection comes about within this time, or it does not.
    pub connect: Duration,
    /// The whole of a request, with its answer.
    pub total: Duration,
}

/// The client can't be made: the machine has no certificates of public authorities.
#[derive(Debug, thiserror::Error)]
#[error(
    "the client that asks other hosts can't be made; is there a package of public certificates (ca-certificates)?"
)]
pub struct OutwardError(#[source] reqwest::Error);

#[cfg(test)]
mod tests;
