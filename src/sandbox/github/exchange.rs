//! PURE · what was asked of the API and what it answered, word for word, for whoever judges both.

use bytes::Bytes;

/// So many are kept when nobody asked for them: those of a start.
const FIRST: usize = 256;

/// A request to the API and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// `GET`, `POST` …
    pub method: String,
    /// Without the API's prefix.
    pub path: String,
    /// As it was sent, without `?`.
    pub query: String,
    /// What was sent.
    pub body: Bytes,
    /// Status of the answer.
    pub status: u16,
    /// The answer's body.
    pub answer: Bytes,
    /// A fault, and no answer of the API.
    pub fault: bool,
}

/// Those that are kept.
#[derive(Debug)]
pub(super) struct Exchanges {
    kept: Vec<Exchange>,
    most: usize,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self { kept: Vec::new(), most: FIRST }
    }
}

impl Exchanges {
    /// From now on all are kept.
    pub(super) fn keep_all(&mut self) {
        self.most = usize::MAX;
    }

    pub(super) fn take(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.kept)
    }

    /// Whether the next one is kept.
    pub(super) fn wants(&self) -> bool {
        self.kept.len() < self.most
    }

    pub(super) fn keep(&mut self, exchange: Exchange) {
        self.kept.push(exchange);
    }
}
