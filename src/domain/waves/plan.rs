//! PURE · a bundle → the steps of its apply, in order: what is sent side by side, what is waited for, which hooks run.
//!
//! Configuration and storage go first, then the hooks `beforeApply` one after the other, then everything else by its
//! wave. Between two waves that somebody wrote down, everything of the earlier ones gets ready first. Between the kinds
//! of one wave nothing is waited for: Kubernetes sorts that out by itself, and a camp stands sooner.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::asked::{Asked, Moment, asked};
use crate::domain::bundle::{Bundle, BundleObject, ObjectIdentity, Wave};

/// What one bundle asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'a> {
    /// Up to the point where everything stands.
    pub steps: Vec<Step<'a>>,
    /// Hooks that run when everything is ready, in order.
    pub after_ready: Vec<&'a BundleObject>,
    /// Held back until the camp is taken down, in order: hooks, and what they need.
    pub before_delete: Vec<&'a BundleObject>,
}

/// Stands for a wave in [`Step::Settle`]: everything of a camp that wakes gets ready before routes lead to it again.
pub const AWAKE: i32 = i32::MAX;

impl Plan<'_> {
    /// For a camp that goes to sleep: what brings people to it goes first, nothing is waited for, and no hook runs.
    pub fn fall_asleep(&mut self) {
        let (routes, rest) = self.parts();
        self.steps = routes.into_iter().map(Step::Send).chain(rest).collect();
        self.steps.retain(|step| matches!(step, Step::Send(_)));
    }

    /// For a camp that wakes: what brings people to it goes last, when the rest is ready, or when that is `late`.
    /// `again`: the bundle ran here before, and its hooks with it.
    pub fn wake(&mut self, again: bool, late: bool) {
        let (routes, rest) = self.parts();
        self.steps = rest;
        if again {
            self.steps.retain(|step| !matches!(step, Step::Hook(_)));
        }
        if let Some(routes) = routes {
            self.steps.extend([Step::Settle(AWAKE), Step::Send(routes)]);
        }
        if late {
            // In its place, so that steps that are done stay counted.
            for step in self.steps.iter_mut().filter(|step| matches!(step, Step::Settle(_))) {
                *step = Step::Send(Vec::new());
            }
        }
    }
}

impl<'a> Plan<'a> {
    /// All routes that are sent, and all other steps.
    fn parts(&mut self) -> (Option<Vec<&'a BundleObject>>, Vec<Step<'a>>) {
        let mut routes = Vec::new();
        let mut rest = Vec::new();
        for step in std::mem::take(&mut self.steps) {
            let Step::Send(objects) = step else {
                rest.push(step);
                continue;
            };
            let (those, others): (Vec<_>, Vec<_>) =
                objects.into_iter().partition(|object| object.wave == Wave::Routes);
            routes.extend(those);
            if !others.is_empty() {
                rest.push(Step::Send(others));
            }
        }
        ((!routes.is_empty()).then_some(routes), rest)
    }
}

/// One step of an apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// These are sent, side by side.
    Send(Vec<&'a BundleObject>),
    /// Everything that was sent gets ready, before this wave begins.
    Settle(i32),
    /// This hook runs to its end.
    Hook(&'a BundleObject),
}

/// One hook of a run, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// `Job`, or `Pod`.
    pub kind: String,
    /// Name in the camp's namespace.
    pub name: String,
    /// When it runs.
    pub moment: Moment,
    /// The run that this is about.
    pub run: String,
    /// How far it is.
    pub state: HookState,
    /// When it began.
    pub since: Option<DateTime<Utc>>,
    /// Why it failed, or what keeps it.
    pub message: String,
    /// `pod/container` of the log.
    pub log_of: String,
    /// The end of its log, when it failed.
    pub log: String,
}

/// How far a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    /// It has not begun.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It did not, and is not tried again in this run.
    Failed,
}

impl HookRecord {
    /// A hook that has not begun.
    #[must_use]
    pub fn pending(object: &BundleObject, moment: Moment, run: &str) -> Self {
        let text = |pointer| object.json.pointer(pointer).and_then(Value::as_str);
        Self {
            api_version: text("/apiVersion").unwrap_or_default().to_owned(),
            kind: text("/kind").unwrap_or_default().to_owned(),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            moment,
            run: run.to_owned(),
            state: HookState::Pending,
            since: None,
            message: String::new(),
            log_of: String::new(),
            log: String::new(),
        }
    }

    /// Whether this is about `object`.
    #[must_use]
    pub fn is_of(&self, object: &BundleObject) -> bool {
        let ObjectIdentity { group, kind, name, .. } = object.identity();
        let same = crate::domain::bundle::group_of(&self.api_version) == group;
        same && self.kind == kind && self.name == name
    }

    /// What the object in the camp is marked with: an object may be the hook of two moments.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{}-{}", self.run, self.moment.word())
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, HookState::Succeeded | HookState::Failed)
    }
}

/// What identifies a run: the same commit with the same objects. Its hooks run once.
#[must_use]
pub fn run_id(revision: &str, digest: &str) -> String {
    let short = |text: &str| text.get(..12).unwrap_or(text).to_owned();
    format!("{}-{}", short(revision), short(digest))
}

/// Whether an object ends by itself and says how: only such hooks are waited for.
#[must_use]
pub fn is_runner(object: &BundleObject) -> bool {
    let identity = object.identity();
    matches!((identity.group.as_str(), identity.kind.as_str()), ("batch", "Job") | ("", "Pod"))
}

/// Whether an object is a hook that runs: it comes and goes, and is not missed when it is gone.
#[must_use]
pub fn is_hook(object: &BundleObject) -> bool {
    is_runner(object) && read(object).timing.is_some()
}

/// The wave that an object names.
#[must_use]
pub fn number_of(object: &BundleObject) -> Option<i32> {
    read(object).wave
}

/// What rendering has checked is read again; what it has not seen asks for nothing.
fn read(object: &BundleObject) -> Asked {
    asked(&object.json).unwrap_or_default()
}

/// The steps of `bundle`, whose objects are in apply order. `first`: nothing was applied in this camp before.
#[must_use]
pub fn plan(bundle: &Bundle, first: bool) -> Plan<'_> {
    let mut plan = Plan::default();
    let mut config = Vec::new();
    let mut before = Vec::new();
    let mut main: Vec<(i32, Wave, &BundleObject)> = Vec::new();
    for object in &bundle.objects {
        let Asked { wave: number, timing, .. } = read(object);
        let timing = timing.unwrap_or_default();
        if timing.at_end && timing.earliest() == Some(Moment::BeforeDelete) {
            plan.before_delete.push(object);
            continue;
        }
        if timing.at_end {
            plan.before_delete.push(object);
        }
        let runs = timing.earliest().is_some() && is_runner(object);
        let moment = if first { timing.first } else { timing.later };
        match (runs, moment, timing.earliest()) {
            (true, Some(Moment::BeforeApply), _) => {
                before.push((number.unwrap_or(0), true, object));
            }
            (true, Some(_), _) => plan.after_ready.push(object),
            // A hook of another time.
            (true, None, _) => {}
            // What hooks need: in their order, and not waited for.
            (false, _, Some(Moment::BeforeApply)) => {
                before.push((number.unwrap_or(0), false, object));
            }
            (false, _, Some(_)) => main.push((i32::MAX, object.wave, object)),
            (false, _, None) if object.wave == Wave::Config && number.is_none() => {
                config.push(object);
            }
            (false, _, None) => main.push((number.unwrap_or(0), object.wave, object)),
        }
    }
    if !config.is_empty() {
        plan.steps.push(Step::Send(config));
    }
    // What hooks of one wave need stands before them, whatever its kind.
    before.sort_by_key(|(number, runs, _)| (*number, *runs));
    for (_, runs, object) in before {
        match plan.steps.last_mut() {
            _ if runs => plan.steps.push(Step::Hook(object)),
            Some(Step::Send(side_by_side)) => side_by_side.push(object),
            _ => plan.steps.push(Step::Send(vec![object])),
        }
    }
    plan.after_ready.sort_by_key(|object| number_of(object).unwrap_or(0));
    plan.before_delete.sort_by_key(|object| (number_of(object).unwrap_or(0), is_runner(object)));
    main.sort_by_key(|(number, wave, _)| (*number, *wave));
    waves(&mut plan.steps, &main);
    plan
}

/// Wave by wave, and in a wave kind by kind.
fn waves<'a>(steps: &mut Vec<Step<'a>>, main: &[(i32, Wave, &'a BundleObject)]) {
    let mut before: Option<i32> = None;
    for same_number in main.chunk_by(|a, b| a.0 == b.0) {
        let Some((number, ..)) = same_number.first() else { continue };
        // What hooks that run at the end need is no wave that anybody wrote down.
        if before.is_some() && *number != i32::MAX {
            steps.push(Step::Settle(*number));
        }
        before = Some(*number);
        for same_kind in same_number.chunk_by(|a, b| a.1 == b.1) {
            steps.push(Step::Send(same_kind.iter().map(|(_, _, object)| *object).collect()));
        }
    }
}

/// The hooks of a run: what is known of them from before when it is the same run, else nothing yet.
///
/// Hooks of the camp's end are those of what runs: they change when a bundle was applied whole (`applied`).
#[must_use]
pub fn records(plan: &Plan<'_>, run: &str, old: &[HookRecord], applied: bool) -> Vec<HookRecord> {
    let of = |object: &BundleObject, moment: Moment| {
        let fresh = HookRecord::pending(object, moment, run);
        let known =
            old.iter().find(|one| one.run == run && one.moment == moment && one.is_of(object));
        known.cloned().unwrap_or(fresh)
    };
    let before = plan.steps.iter().filter_map(|step| match step {
        Step::Hook(object) => Some(of(object, Moment::BeforeApply)),
        _ => None,
    });
    let after = plan.after_ready.iter().map(|object| of(object, Moment::AfterReady));
    let mut all: Vec<HookRecord> = before.chain(after).collect();
    if applied {
        let runners = plan.before_delete.iter().filter(|object| is_runner(object));
        all.extend(runners.map(|object| of(object, Moment::BeforeDelete)));
    } else {
        all.extend(old.iter().filter(|one| one.moment == Moment::BeforeDelete).cloned());
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::bundle::{Origin, group_of, wave_of};

    fn object(api_version: &str, kind: &str, name: &str, annotations: &Value) -> BundleObject {
        let json = json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "annotations": annotations}});
        let wave = match asked(&json)
            .expect("annotations")
            .timing
            .and_then(super::super::asked::Timing::earliest)
        {
            Some(moment) => Wave::from(moment),
            None => wave_of(group_of(api_version), kind),
        };
        let origin = Origin { file: "a.yaml".into(), line: 1 };
        BundleObject {
            json,
            origin,
            app: "web".into(),
            wave,
            positions: crate::domain::positions::Positions::default(),
        }
    }

    fn names(objects: &[&BundleObject]) -> String {
        objects.iter().map(|object| object.identity().name).collect::<Vec<_>>().join(" ")
    }

    fn steps(bundle: &Bundle, first: bool) -> Vec<String> {
        let steps = plan(bundle, first).steps;
        let text = |step: &Step<'_>| match step {
            Step::Send(objects) => names(objects),
            Step::Settle(wave) => format!("settle before {wave}"),
            Step::Hook(object) => format!("run {}", names(&[object])),
        };
        steps.iter().map(text).collect()
    }

    fn ordinary() -> Vec<BundleObject> {
        vec![
            object("networking.k8s.io/v1", "Ingress", "ingress", &json!({})),
            object("apps/v1", "Deployment", "web", &json!({})),
            object("v1", "Service", "service", &json!({})),
            object("v1", "ConfigMap", "config", &json!({})),
        ]
    }

    #[test]
    fn an_ordinary_bundle_waits_for_nothing() {
        let bundle = Bundle::new(ordinary(), "i".into());
        assert_eq!(steps(&bundle, true), ["config", "service web", "ingress"]);
    }

    #[test]
    fn waves_that_are_written_down_wait_for_the_ones_before() {
        let mut objects = ordinary();
        let argo = |n: &str| json!({"argocd.argoproj.io/sync-wave": n});
        objects.push(object("apps/v1", "StatefulSet", "db", &argo("-2")));
        objects.push(object("v1", "Secret", "db-secret", &argo("-2")));
        objects.push(object("apps/v1", "Deployment", "late", &json!({"bivouac.dev/wave": "10"})));
        objects.push(object("apps/v1", "Deployment", "later", &json!({"bivouac.dev/wave": "11"})));
        let bundle = Bundle::new(objects, "i".into());
        let wanted = [
            "config",
            "db-secret",
            "db",
            "settle before 0",
            "service web",
            "ingress",
            "settle before 10",
            "late",
            "settle before 11",
            "later",
        ];
        assert_eq!(steps(&bundle, true), wanted);
    }

    #[test]
    fn hooks_run_one_after_the_other_by_weight_and_what_they_need_stands_before() {
        let hook =
            |when: &str, weight: &str| json!({"helm.sh/hook": when, "helm.sh/hook-weight": weight});
        let mut objects = ordinary();
        objects.push(object("batch/v1", "Job", "second", &hook("pre-install,pre-upgrade", "5")));
        objects.push(object("batch/v1", "Job", "first", &hook("pre-install,pre-upgrade", "-5")));
        objects.push(object("v1", "ConfigMap", "script", &hook("pre-install,pre-upgrade", "-5")));
        objects.push(object("batch/v1", "Job", "seed", &hook("post-install,pre-upgrade", "0")));
        objects.push(object(
            "batch/v1",
            "Job",
            "smoke",
            &json!({"bivouac.dev/hook": "afterReady"}),
        ));
        objects.push(object(
            "batch/v1",
            "Job",
            "dump",
            &json!({"bivouac.dev/hook": "beforeDelete"}),
        ));
        let bundle = Bundle::new(objects, "i".into());
        let first = plan(&bundle, true);
        let wanted = ["config script", "run first", "run second", "service web", "ingress"];
        assert_eq!(steps(&bundle, true), wanted);
        assert_eq!(names(&first.after_ready), "seed smoke");
        assert_eq!(names(&first.before_delete), "dump");
        let wanted =
            ["config script", "run first", "run seed", "run second", "service web", "ingress"];
        assert_eq!(steps(&bundle, false), wanted);
        assert_eq!(names(&plan(&bundle, false).after_ready), "smoke");
    }

    #[test]
    fn routes_go_first_into_sleep_and_last_out_of_it() {
        let mut objects = ordinary();
        objects.push(object("apps/v1", "Deployment", "late", &json!({"bivouac.dev/wave": "10"})));
        objects.push(object(
            "batch/v1",
            "Job",
            "migrate",
            &json!({"bivouac.dev/hook": "beforeApply"}),
        ));
        let bundle = Bundle::new(objects, "i".into());
        let of = |change: &dyn Fn(&mut Plan<'_>)| {
            let mut plan = plan(&bundle, false);
            change(&mut plan);
            let text = |step: &Step<'_>| match step {
                Step::Send(objects) => names(objects),
                Step::Settle(AWAKE) => "settle".to_owned(),
                Step::Settle(wave) => format!("settle before {wave}"),
                Step::Hook(object) => format!("run {}", names(&[object])),
            };
            plan.steps.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(of(&|plan| plan.fall_asleep()), ["ingress", "config", "service web", "late"]);
        let wanted = ["config", "service web", "settle before 10", "late", "settle", "ingress"];
        assert_eq!(of(&|plan| plan.wake(true, false)), wanted);
        let another = of(&|plan| plan.wake(false, false));
        assert_eq!(another[1], "run migrate");
        let wanted = ["config", "service web", "", "late", "", "ingress"];
        assert_eq!(of(&|plan| plan.wake(true, true)), wanted, "as many steps, and no wait");
    }

    #[test]
    fn a_run_knows_its_own_hooks_and_forgets_those_of_another() {
        let hooks = [
            object("batch/v1", "Job", "migrate", &json!({"bivouac.dev/hook": "beforeApply"})),
            object("batch/v1", "Job", "dump", &json!({"bivouac.dev/hook": "beforeDelete"})),
        ];
        let bundle = Bundle::new(hooks.to_vec(), "i".into());
        let plan = plan(&bundle, true);
        let mut known = records(&plan, "one", &[], true);
        assert_eq!(
            known.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["migrate", "dump"]
        );
        known[0].state = HookState::Succeeded;
        assert_eq!(records(&plan, "one", &known, true), known);
        let next = records(&plan, "two", &known, false);
        assert_eq!((next[0].state, next[1].run.as_str()), (HookState::Pending, "one"));
        assert_eq!(records(&plan, "two", &known, true)[1].run, "two");
    }
}
