//! PURE · what a host of a camp leads to, as the records at home say. In: an Environment and its Repository; out: how the
//! camp is, and which Service a path is for.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;

use crate::crd::{
    Environment, EnvironmentStatus, LAST_VISIT_ANNOTATION, PathType, Phase, Power, Repository,
    RouteEntry,
};
use crate::domain::naming::Label;
use crate::domain::power::GATE;

/// Requests of one camp that are passed on at once.
const AT_ONCE: usize = 200;
/// How long a camp takes to wake about which nothing is known.
const UNKNOWN: TimeDelta = TimeDelta::seconds(30);

/// What one path of a host leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) exact: bool,
    pub(super) service: String,
    pub(super) port: u16,
}

/// How the camp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Requests are passed on.
    Awake,
    /// Nothing of it runs, and a visitor may wake it.
    Asleep,
    /// It falls asleep or wakes: in a moment it is one or the other.
    Turning,
    /// Something is wrong with it, which its reason says; it is tried to pass requests on where there is a way.
    Troubled,
}

/// What is kept of an Environment that has a camp.
#[derive(Clone, Debug)]
pub(super) struct Camp {
    pub(super) environment: String,
    pub(super) uid: String,
    /// `resourceVersion` of the record.
    pub(super) version: String,
    pub(super) repository: String,
    pub(super) namespace: String,
    pub(super) hosts: Vec<String>,
    pub(super) routes: Vec<Route>,
    pub(super) state: State,
    /// Since when it is asleep or awake; which sleep it is.
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) reason: String,
    pub(super) last_visit: Option<DateTime<Utc>>,
    /// How long it takes from an apply until everything is ready, as the last time.
    pub(super) takes: TimeDelta,
    /// Room for requests that are passed on.
    pub(super) room: Arc<Semaphore>,
}

/// A known host.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The host as it was asked for: lower case, without port.
    pub(super) host: String,
    /// The camp that it is of.
    pub(super) camp: Arc<Camp>,
    /// Its Repository, with the rules of protection.
    pub(super) repository: Arc<Repository>,
}

impl State {
    fn of(record: &Environment, status: &EnvironmentStatus) -> Self {
        use Phase::{Degraded, Failed, Progressing, Ready, Refused};
        let asleep = status.power.is_some_and(|power| power.asleep);
        let is_asked = record.spec.power == Power::Awake;
        match status.phase {
            Some(Ready) if !asleep => Self::Awake,
            _ if !asleep => Self::Troubled,
            Some(Progressing) => Self::Turning,
            // What is said of a new commit is said of a camp that sleeps, too: the one of before can be woken.
            _ if !is_asked => Self::Asleep,
            Some(Degraded | Failed | Refused) => Self::Troubled,
            _ => Self::Turning,
        }
    }
}

impl Camp {
    /// `None`: the record has no camp.
    pub(super) fn of(record: &Environment) -> Option<Self> {
        let status = record.status.as_ref()?;
        let namespace = status.namespace.clone()?;
        let power = status.power;
        let last_visit =
            record.metadata.annotations.as_ref().and_then(|all| all.get(LAST_VISIT_ANNOTATION));
        let last = status.history.iter().find_map(|one| Some(one.ready_at?.0 - one.at.0));
        let state = State::of(record, status);
        Some(Self {
            environment: record.metadata.name.clone()?,
            uid: record.metadata.uid.clone().unwrap_or_default(),
            version: record.metadata.resource_version.clone().unwrap_or_default(),
            repository: record.spec.repository.clone(),
            namespace,
            hosts: status.hosts.clone(),
            routes: status.routes.iter().map(Route::of).collect(),
            state,
            since: power.map(|power| power.since.0),
            reason: status.reason.clone().unwrap_or_default(),
            last_visit: last_visit.and_then(|at| at.parse().ok()),
            takes: last.unwrap_or(UNKNOWN).clamp(TimeDelta::seconds(5), TimeDelta::minutes(10)),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// The Service that `path` of `host` is for, as Ingress has it: an exact path before prefixes, the longest of those.
    pub(super) fn route(&self, host: &str, path: &str) -> Option<&Route> {
        let fits = self.routes.iter().filter(|route| route.host == host && route.fits(path));
        // Of two that are equal, the first.
        fits.rev().max_by_key(|route| (route.exact, route.path.len())).filter(|r| r.is_sound())
    }
}

impl Route {
    fn of(entry: &RouteEntry) -> Self {
        Self {
            host: entry.host.to_ascii_lowercase(),
            path: entry.path.clone(),
            exact: entry.path_type == PathType::Exact,
            service: entry.service.clone(),
            port: u16::try_from(entry.port).unwrap_or_default(),
        }
    }

    fn fits(&self, path: &str) -> bool {
        if self.exact {
            return self.path == path;
        }
        let prefix = self.path.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The name becomes a part of an address, and the gate itself is never what it passes on to.
    fn is_sound(&self) -> bool {
        self.service != GATE && self.port != 0 && Label::parse(&self.service).is_some()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::gate) fn camp(routes: &[(&str, bool, &str)]) -> Camp {
        let routes = routes.iter().map(|(path, exact, service)| Route {
            host: "a.test".into(),
            path: (*path).into(),
            exact: *exact,
            service: (*service).into(),
            port: 80,
        });
        Camp {
            environment: "e".into(),
            uid: "u".into(),
            version: "1".into(),
            repository: "r".into(),
            namespace: "n".into(),
            hosts: vec!["a.test".into()],
            routes: routes.collect(),
            state: State::Awake,
            since: None,
            reason: String::new(),
            last_visit: None,
            takes: UNKNOWN,
            room: Arc::new(Semaphore::new(1)),
        }
    }

    #[test]
    fn what_sleeps_can_be_woken_whatever_is_said_of_a_new_commit() {
        let of = |phase: &str, asleep: bool, power: &str| {
            let record = serde_json::from_value(serde_json::json!({
                "apiVersion": "bivouac.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "e"},
                "spec": {"repository": "r", "source": {"branch": {"name": "b"}}, "power": power},
                "status": {"phase": phase, "namespace": "n", "power": {
                    "asleep": asleep, "since": "2026-01-01T00:00:00Z", "askedAt": "2026-01-01T00:00:00Z",
                }},
            }));
            Camp::of(&record.expect("a record")).expect("a camp").state
        };
        assert_eq!(of("Asleep", true, "Asleep"), State::Asleep);
        assert_eq!(of("Refused", true, "Auto"), State::Asleep);
        assert_eq!(of("Asleep", true, "Awake"), State::Turning, "it is asked for, and not begun");
        assert_eq!(of("Progressing", true, "Awake"), State::Turning);
        assert_eq!(of("Progressing", true, "Asleep"), State::Turning, "it falls asleep");
        assert_eq!(of("Failed", true, "Awake"), State::Troubled);
        assert_eq!(of("Ready", false, "Auto"), State::Awake);
        assert_eq!(of("Degraded", false, "Auto"), State::Troubled);
    }

    #[test]
    fn a_path_leads_where_an_ingress_leads_it() {
        let camp = camp(&[
            ("/", false, "web"),
            ("/api", false, "api"),
            ("/api/", false, "later"),
            ("/api", true, "exact"),
            ("/own", false, GATE),
            ("/odd", false, "a.b"),
        ]);
        let of = |path: &str| camp.route("a.test", path).map(|route| route.service.as_str());
        for (path, service) in [
            ("/", Some("web")),
            ("/apis", Some("web")),
            ("/api", Some("exact")),
            ("/api/x", Some("later")),
            ("/x/api", Some("web")),
            ("/own/x", None),
            ("/odd", None),
        ] {
            assert_eq!(of(path), service, "{path}");
        }
        assert_eq!(camp.route("b.test", "/"), None);
    }
}
