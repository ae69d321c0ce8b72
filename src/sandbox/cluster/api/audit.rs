//! The list of every request that was answered: who, what, where, with which result. In memory.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// When the answer began.
    pub at: DateTime<Utc>,
    /// Who sent it.
    pub user: String,
    /// Whom he wanted to be taken for.
    pub impersonated: Option<String>,
    /// RBAC's verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group, empty for core; empty for paths that are no resource.
    pub group: String,
    /// Plural of the kind; empty for paths that are no resource.
    pub resource: String,
    /// `status`, `scale` …
    pub subresource: String,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Nothing was to be stored.
    pub dry_run: bool,
    /// `fieldManager` of the request.
    pub field_manager: String,
    /// The whole path with its query, without any token.
    pub uri: String,
    /// HTTP status of the answer.
    pub code: u16,
}

/// The newest events; older ones are dropped at the limit.
#[derive(Debug)]
pub(crate) struct Audit {
    events: VecDeque<AuditEvent>,
    limit: usize,
}

impl Audit {
    pub(crate) fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit }
    }

    pub(crate) fn add(&mut self, event: AuditEvent) {
        if self.limit == 0 {
            return;
        }
        while self.events.len() >= self.limit {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(crate) fn count(&self, of: impl Fn(&AuditEvent) -> bool) -> usize {
        self.events.iter().filter(|event| of(event)).count()
    }

    pub(crate) fn all(&self) -> Vec<AuditEvent> {
        self.events.iter().cloned().collect()
    }
}
