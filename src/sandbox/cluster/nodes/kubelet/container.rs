//! One container's life: from its last status and the present time to its next status. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::super::controllers::kit::json;
use super::super::rules::Fate;

/// When each stage of a pod's containers began. The API's times are whole seconds; stages are shorter.
pub(super) type Marks = BTreeMap<String, DateTime<Utc>>;

/// All that a step of a container depends on.
pub(super) struct Life<'a> {
    pub(super) pod: &'a Value,
    pub(super) container: &'a Value,
    /// Its last status; null when it has none.
    pub(super) before: &'a Value,
    pub(super) fate: Fate,
    /// Why its environment can't be made.
    pub(super) missing: Option<String>,
    /// Restarted whatever its exit code; never; or after failures only.
    pub(super) policy: &'a str,
    /// When it gets ready after its start; `None` says never.
    pub(super) ready: Option<Duration>,
    /// Waits for its start.
    pub(super) start: Duration,
    /// Runs for this time when it ends by itself and doesn't say when.
    pub(super) run: Duration,
    pub(super) now: DateTime<Utc>,
}

/// The next status, and when there may be another.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) status: Value,
    pub(super) again: Option<Duration>,
    /// Reason and text of what people should hear, and whether it is a warning.
    pub(super) events: Vec<(bool, &'static str, String)>,
}

/// Reason of the event about a probe that fails. Told once for each run of a container, though its status stays as it is.
pub(super) const UNHEALTHY: &str = "Unhealthy";

/// How long an image that can't be pulled is `ErrImagePull` before kubelet backs off.
const PULL: Duration = Duration::from_secs(1);

impl Life<'_> {
    fn name(&self) -> &str {
        json::text(self.container, "/name")
    }

    fn image(&self) -> &str {
        json::text(self.container, "/image")
    }

    fn restarts(&self) -> i64 {
        json::int(self.before, "/restartCount").unwrap_or(0)
    }

    /// How long `stage` has lasted; it begins now when it has not begun.
    fn since(&self, marks: &mut Marks, stage: &str) -> Duration {
        let key = format!("{stage}/{}/{}", self.name(), self.restarts());
        let began = *marks.entry(key).or_insert(self.now);
        (self.now - began).to_std().unwrap_or_default()
    }

    /// One step. Several may follow at once: a status without `again` is where it rests.
    pub(super) fn step(&self, marks: &mut Marks) -> Next {
        let state = self.before.get("state").unwrap_or(&Value::Null);
        if state.get("running").is_some() {
            return self.running(marks);
        }
        if state.get("terminated").is_some() {
            return self.terminated();
        }
        if json::text(state, "/waiting/reason") == "CrashLoopBackOff" {
            return self.backing_off();
        }
        self.waiting(marks)
    }

    fn waiting(&self, marks: &mut Marks) -> Next {
        let image = self.image();
        match self.fate {
            Fate::BadImage => {
                let message = format!(
                    "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
                );
                let event = (true, "InspectFailed", message.clone());
                return self.wait("InvalidImageName", &message, None, vec![event]);
            }
            Fate::NoImage => return self.pulling(marks),
            Fate::Runs | Fate::Ends { .. } => {}
        }
        if let Some(missing) = &self.missing {
            let event = (true, "Failed", format!("Error: {missing}"));
            return self.wait("CreateContainerConfigError", missing, None, vec![event]);
        }
        let waited = self.since(marks, "start");
        if waited < self.start {
            return self.wait(
                "ContainerCreating",
                "",
                Some(self.start.saturating_sub(waited)),
                Vec::new(),
            );
        }
        let mut next = self.run_from(&json!({}), self.restarts());
        next.events = vec![
            (false, "Pulled", format!("Container image \"{image}\" already present on machine")),
            (false, "Created", format!("Container created: {}", self.name())),
            (false, "Started", format!("Container started: {}", self.name())),
        ];
        next
    }

    fn pulling(&self, marks: &mut Marks) -> Next {
        let image = self.image();
        let waited = self.since(marks, "pull");
        let failure = format!(
            "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
        );
        if waited < PULL {
            let events = vec![
                (false, "Pulling", format!("Pulling image \"{image}\"")),
                (true, "Failed", format!("Failed to pull image \"{image}\": {failure}")),
                (true, "Failed", "Error: ErrImagePull".to_owned()),
            ];
            return self.wait("ErrImagePull", &failure, Some(PULL.saturating_sub(waited)), events);
        }
        let events = vec![
            (false, "BackOff", format!("Back-off pulling image \"{image}\"")),
            (true, "Failed", "Error: ImagePullBackOff".to_owned()),
        ];
        let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {failure}");
        self.wait("ImagePullBackOff", &message, None, events)
    }

    fn wait(
        &self,
        reason: &str,
        message: &str,
        again: Option<Duration>,
        mut events: Vec<(bool, &'static str, String)>,
    ) -> Next {
        let mut state = json!({ "waiting": { "reason": reason } });
        if !message.is_empty() {
            json::set(&mut state, &["waiting", "message"], message.into());
        }
        if self.before.get("state") == Some(&state) {
            events.clear();
        }
        let last = self.before.get("lastState").cloned().unwrap_or_else(|| json!({}));
        Next { status: self.status(&state, &last, self.restarts(), false), again, events }
    }

    fn run_from(&self, last: &Value, restarts: i64) -> Next {
        let state = json!({ "running": { "startedAt": json::stamp(self.now) } });
        let at_once = self.ready == Some(Duration::ZERO);
        let status = self.status(&state, last, restarts, at_once);
        Next { status, again: Some(Duration::ZERO), events: Vec::new() }
    }

    fn running(&self, marks: &mut Marks) -> Next {
        let ran = self.since(marks, "run");
        if let Fate::Ends { code, after } = self.fate {
            let lasts = after.unwrap_or(self.run);
            if ran >= lasts {
                return self.end(code);
            }
            let mut next = self.on(ran, marks);
            let left = lasts.saturating_sub(ran);
            next.again = Some(next.again.map_or(left, |again| again.min(left)));
            return next;
        }
        self.on(ran, marks)
    }

    /// It goes on running, and gets ready when it is time.
    fn on(&self, ran: Duration, marks: &mut Marks) -> Next {
        let ready = self.ready.is_some_and(|after| ran >= after);
        let again = self.ready.filter(|_| !ready).map(|after| after.saturating_sub(ran));
        let mut events = Vec::new();
        let told = format!("unhealthy/{}/{}", self.name(), self.restarts());
        if self.ready.is_none() && marks.insert(told, self.now).is_none() {
            events.push((
                true,
                UNHEALTHY,
                format!("Readiness probe failed: {}", self.probe_failure()),
            ));
        }
        let state = self.before.get("state").cloned().unwrap_or_default();
        let last = self.before.get("lastState").cloned().unwrap_or_else(|| json!({}));
        Next { status: self.status(&state, &last, self.restarts(), ready), again, events }
    }

    /// What a probe finds that never succeeds, in kubelet's words; a command says nothing.
    fn probe_failure(&self) -> String {
        let probe = self.container.get("readinessProbe").unwrap_or(&Value::Null);
        if probe.get("httpGet").is_some() {
            return "HTTP probe failed with statuscode: 503".to_owned();
        }
        match probe.pointer("/tcpSocket/port") {
            Some(port) => {
                let address = json::text(self.pod, "/status/podIP");
                let port = port.as_str().map_or_else(|| port.to_string(), str::to_owned);
                format!("dial tcp {address}:{port}: connect: connection refused")
            }
            None => String::new(),
        }
    }

    fn end(&self, code: i64) -> Next {
        let started = json::text(self.before, "/state/running/startedAt");
        let state = json!({ "terminated": {
            "exitCode": code,
            "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": started,
            "finishedAt": json::stamp(self.now),
            "containerID": self.id(self.restarts()),
        } });
        let last = self.before.get("lastState").cloned().unwrap_or_else(|| json!({}));
        let again = self.restarts_after(code).then_some(Duration::ZERO);
        let status = self.status(&state, &last, self.restarts(), false);
        Next { status, again, events: Vec::new() }
    }

    fn restarts_after(&self, code: i64) -> bool {
        match self.policy {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        }
    }

    fn terminated(&self) -> Next {
        let code = json::int(self.before, "/state/terminated/exitCode").unwrap_or(0);
        if !self.restarts_after(code) {
            return Next { status: self.before.clone(), again: None, events: Vec::new() };
        }
        let last = self.before.get("state").cloned().unwrap_or_default();
        if self.restarts() == 0 {
            // The first restart comes without a wait.
            return self.run_from(&last, 1);
        }
        let state = self.back_off_state();
        let name = self.name();
        let event = format!(
            "Back-off restarting failed container {name} in pod {}_{}({})",
            json::name(self.pod),
            json::namespace(self.pod),
            json::uid(self.pod)
        );
        Next {
            status: self.status(&state, &last, self.restarts(), false),
            again: Some(self.back_off()),
            events: vec![(true, "BackOff", event)],
        }
    }

    /// 10 s, doubled with each restart, at most 5 minutes.
    fn back_off(&self) -> Duration {
        let doublings = u32::try_from((self.restarts() - 1).clamp(0, 10)).unwrap_or(0);
        Duration::from_secs((10 << doublings).min(300))
    }

    fn back_off_state(&self) -> Value {
        let name = self.name();
        let wait = self.back_off();
        let (minutes, seconds) = (wait.as_secs() / 60, wait.as_secs() % 60);
        let wait =
            if minutes > 0 { format!("{minutes}m{seconds}s") } else { format!("{seconds}s") };
        json!({ "waiting": {
            "reason": "CrashLoopBackOff",
            "message": format!(
                "back-off {wait} restarting failed container={name} pod={}_{}({})",
                json::name(self.pod), json::namespace(self.pod), json::uid(self.pod)
            ),
        } })
    }

    fn backing_off(&self) -> Next {
        let ended = json::time(self.before, "/lastState/terminated/finishedAt").unwrap_or(self.now);
        let waited = (self.now - ended).to_std().unwrap_or_default();
        let wait = self.back_off();
        if waited < wait {
            let again = Some(wait.saturating_sub(waited));
            return Next { status: self.before.clone(), again, events: Vec::new() };
        }
        let last = self.before.get("lastState").cloned().unwrap_or_else(|| json!({}));
        self.run_from(&last, self.restarts() + 1)
    }

    fn id(&self, restarts: i64) -> String {
        let seed = format!("{}/{}/{restarts}", json::uid(self.pod), self.name());
        format!("containerd://{}", long_hash(&seed))
    }

    fn status(&self, state: &Value, last: &Value, restarts: i64, ready: bool) -> Value {
        let started = state.get("running").is_some();
        let exists = started || state.get("terminated").is_some();
        let pulled = exists || last.get("terminated").is_some();
        let image = self.image();
        let digest = long_hash(image);
        let mut status = json!({
            "name": self.name(),
            "image": image,
            "imageID": if pulled { format!("{}@sha256:{digest}", image.split([':', '@']).next().unwrap_or(image)) } else { String::new() },
            "ready": ready,
            "restartCount": restarts,
            "started": started,
            "state": state,
            "lastState": last,
        });
        if exists {
            json::set(&mut status, &["containerID"], self.id(restarts).into());
        }
        status
    }
}

/// As many hex digits as a SHA-256 has.
fn long_hash(text: &str) -> String {
    let part = |n: u8| json::hash(&format!("{text}/{n}"));
    format!("{:016x}{:016x}{:016x}{:016x}", part(0), part(1), part(2), part(3))
}
