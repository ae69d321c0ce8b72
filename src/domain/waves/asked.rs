//! PURE · annotations of one object → when it is applied, whether it is a hook, and whether it may be pruned.
//!
//! Ours stand before Argo CD's, and those before Helm's. A value that can't be read is an error and no default: an order
//! that somebody wrote down and that does not hold is worse than none.

use std::time::Duration;

use serde_json::Value;

use crate::domain::document::pointer_token;

/// Wave of an object: a whole number, lower ones first.
pub const WAVE: &str = "bivouac.dev/wave";
/// Makes a Job a hook: `beforeApply`, `afterReady` or `beforeDelete`.
pub const HOOK: &str = "bivouac.dev/hook";
/// How long a hook may take: `5m`.
pub const HOOK_TIMEOUT: &str = "bivouac.dev/hook-timeout";
/// How often a Job that failed is tried again.
pub const HOOK_RETRIES: &str = "bivouac.dev/hook-retries";
/// On a hook in the camp: the run that it was made for.
pub const HOOK_RUN: &str = "bivouac.dev/hook-run";
/// `"false"`: stays in the camp when it leaves the commit.
const PRUNE: &str = "bivouac.dev/prune";

/// All of ours that a file may write.
pub const ASKING: [&str; 5] = [WAVE, HOOK, HOOK_TIMEOUT, HOOK_RETRIES, PRUNE];

const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const ARGO_DELETE: &str = "argocd.argoproj.io/hook-delete-policy";
const ARGO_OPTIONS: &str = "argocd.argoproj.io/sync-options";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
const HELM_DELETE: &str = "helm.sh/hook-delete-policy";
const HELM_POLICY: &str = "helm.sh/resource-policy";

/// Time of a hook that says none; Helm's.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest time of a hook.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Most retries of a hook.
pub const MAX_RETRIES: u32 = 10;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// After configuration and storage, before the workloads change.
    BeforeApply,
    /// When everything is ready.
    AfterReady,
    /// Before the camp is taken down.
    BeforeDelete,
}

impl Moment {
    /// As the preview file writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BeforeApply => "beforeApply",
            Self::AfterReady => "afterReady",
            Self::BeforeDelete => "beforeDelete",
        }
    }

    /// The moment of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::BeforeApply, Self::AfterReady, Self::BeforeDelete]
            .into_iter()
            .find(|moment| moment.word() == word)
    }
}

/// When a hook runs in a camp's first apply, in each later one, and at its end. Helm tells the first two apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// In the first apply of a camp.
    pub first: Option<Moment>,
    /// In every later one.
    pub later: Option<Moment>,
    /// Before the camp goes.
    pub at_end: bool,
}

impl Timing {
    fn at(moment: Moment) -> Self {
        match moment {
            Moment::BeforeDelete => Self { at_end: true, ..Self::default() },
            other => Self { first: Some(other), later: Some(other), at_end: false },
        }
    }

    /// The earliest moment that there is.
    #[must_use]
    pub fn earliest(self) -> Option<Moment> {
        let of_apply = [self.first, self.later].into_iter().flatten().min();
        of_apply.or(self.at_end.then_some(Moment::BeforeDelete))
    }
}

/// Which hooks are deleted when they have run. Before they run again they always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteAfter {
    /// When it succeeded.
    pub success: bool,
    /// When it failed.
    pub failure: bool,
}

/// What an object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its wave, when it names one.
    pub wave: Option<i32>,
    /// It is a hook, and when.
    pub timing: Option<Timing>,
    /// It is a hook of a moment that a camp does not have: whose, and which.
    pub never: Option<&'static str>,
    /// How long it may take, as a hook.
    pub timeout: Duration,
    /// Retries of its Job; `None`: as the Job says.
    pub retries: Option<u32>,
    /// Deletion after it ran.
    pub delete_after: DeleteAfter,
    /// Stays when it leaves the commit.
    pub keep: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            wave: None,
            timing: None,
            never: None,
            timeout: DEFAULT_TIMEOUT,
            retries: None,
            delete_after: DeleteAfter::default(),
            keep: false,
        }
    }
}

/// An annotation whose value can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAnnotation {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub rule: String,
}

impl BadAnnotation {
    /// JSON pointer of the annotation.
    #[must_use]
    pub fn pointer(&self) -> String {
        format!("/metadata/annotations/{}", pointer_token(self.name))
    }

    /// One sentence.
    #[must_use]
    pub fn message(&self) -> String {
        format!("annotation {} must be {}", self.name, self.rule)
    }
}

/// Reads the annotations of an object.
pub fn asked(object: &Value) -> Result<Asked, BadAnnotation> {
    let Some(annotations) = object.pointer("/metadata/annotations") else {
        return Ok(Asked::default());
    };
    let text = |name: &str| annotations.get(name).and_then(Value::as_str);
    let bad = |name, rule: &str| Err(BadAnnotation { name, rule: rule.to_owned() });
    let mut found = Asked::default();

    if let Some(word) = text(HOOK) {
        let Some(moment) = Moment::of(word) else {
            return bad(HOOK, "beforeApply, afterReady or beforeDelete");
        };
        if object["kind"] != "Job" {
            return bad(HOOK, "on a Job: nothing else ends by itself and says how");
        }
        found.timing = Some(Timing::at(moment));
    } else if let Some(words) = text(ARGO_HOOK) {
        (found.timing, found.never) = argo(words);
    } else if let Some(words) = text(HELM_HOOK) {
        (found.timing, found.never) = helm(words);
    }

    let is_helm_hook = text(HELM_HOOK).is_some();
    let waves = [(WAVE, true), (ARGO_WAVE, true), (HELM_WEIGHT, is_helm_hook)];
    if let Some((name, written)) = waves
        .into_iter()
        .filter(|(_, counts)| *counts)
        .find_map(|(name, _)| Some((name, text(name)?)))
    {
        match written.trim().parse() {
            Ok(wave) => found.wave = Some(wave),
            Err(_) => return bad(name, "a whole number in quotes, like \"-1\" or \"2\""),
        }
    }
    if let Some(written) = text(HOOK_TIMEOUT) {
        match seconds_of(written) {
            Some(time) if !time.is_zero() && time <= MAX_TIMEOUT => found.timeout = time,
            _ => return bad(HOOK_TIMEOUT, "a time from 1s to 1h, like 90s or 5m"),
        }
    }
    if let Some(written) = text(HOOK_RETRIES) {
        match written.parse() {
            Ok(retries) if retries <= MAX_RETRIES => found.retries = Some(retries),
            _ => return bad(HOOK_RETRIES, "a whole number from 0 to 10 in quotes"),
        }
    }
    let policies = text(ARGO_DELETE).into_iter().chain(text(HELM_DELETE)).flat_map(words);
    for policy in policies {
        match policy {
            "HookSucceeded" | "hook-succeeded" => found.delete_after.success = true,
            "HookFailed" | "hook-failed" => found.delete_after.failure = true,
            _ => {}
        }
    }
    match text(PRUNE) {
        None | Some("true") => {}
        Some("false") => found.keep = true,
        Some(_) => return bad(PRUNE, "\"true\" or \"false\""),
    }
    found.keep |= text(ARGO_OPTIONS).is_some_and(|all| words(all).any(|one| one == "Prune=false"));
    found.keep |=
        text(HELM_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"));
    Ok(found)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Argo CD's words. `Sync` is applied with the rest.
fn argo(text: &str) -> (Option<Timing>, Option<&'static str>) {
    let mut never = None;
    let mut moments = Vec::new();
    for word in words(text) {
        match word {
            "PreSync" => moments.push(Moment::BeforeApply),
            "PostSync" => moments.push(Moment::AfterReady),
            "PreDelete" => moments.push(Moment::BeforeDelete),
            "SyncFail" => never = Some("SyncFail hook of Argo CD"),
            "PostDelete" => never = Some("PostDelete hook of Argo CD"),
            "Skip" => never = Some("Skip hook of Argo CD"),
            // `Sync`, and what we don't know: an object like others.
            _ => return (None, None),
        }
    }
    let at_end = moments.contains(&Moment::BeforeDelete);
    let of_apply = moments.into_iter().filter(|moment| *moment != Moment::BeforeDelete).min();
    known(Timing { first: of_apply, later: of_apply, at_end }, never)
}

/// Helm's words, which know installing from upgrading.
fn helm(text: &str) -> (Option<Timing>, Option<&'static str>) {
    let mut never = None;
    let mut timing = Timing::default();
    let earlier = |old: Option<Moment>, new| Some(old.map_or(new, |old: Moment| old.min(new)));
    for word in words(text) {
        match word {
            "pre-install" => timing.first = earlier(timing.first, Moment::BeforeApply),
            "post-install" => timing.first = earlier(timing.first, Moment::AfterReady),
            "pre-upgrade" => timing.later = earlier(timing.later, Moment::BeforeApply),
            "post-upgrade" => timing.later = earlier(timing.later, Moment::AfterReady),
            "pre-delete" => timing.at_end = true,
            "test" | "test-success" | "test-failure" => never = Some("test hook of Helm"),
            "post-delete" => never = Some("delete hook of Helm"),
            "pre-rollback" | "post-rollback" => never = Some("rollback hook of Helm"),
            // `crd-install`, of Helm 2, and what we don't know: an object like others.
            _ => return (None, None),
        }
    }
    known(timing, never)
}

fn known(timing: Timing, never: Option<&'static str>) -> (Option<Timing>, Option<&'static str>) {
    match timing.earliest() {
        Some(_) => (Some(timing), None),
        None => (None, never),
    }
}

/// `1h30m`, `5m`, `90s`: each unit at most once and in this order.
#[must_use]
pub fn seconds_of(text: &str) -> Option<Duration> {
    crate::domain::preview_file::parse_duration(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, annotations: &Value) -> Result<Asked, String> {
        let object = json!({"kind": kind, "metadata": {"name": "x", "annotations": annotations}});
        asked(&object).map_err(|bad| bad.message())
    }

    #[test]
    fn waves_of_argo_cd_and_weights_of_helm_are_numbers_and_may_be_negative() {
        for (annotations, wave) in [
            (json!({}), None),
            (json!({(WAVE): "3"}), Some(3)),
            (json!({(WAVE): "-2"}), Some(-2)),
            (json!({(ARGO_WAVE): "-5"}), Some(-5)),
            (json!({(ARGO_WAVE): "0"}), Some(0)),
            (json!({(WAVE): "1", (ARGO_WAVE): "2"}), Some(1)),
            (json!({(ARGO_WAVE): "2", (HELM_HOOK): "pre-install", (HELM_WEIGHT): "7"}), Some(2)),
            (json!({(HELM_HOOK): "pre-install", (HELM_WEIGHT): "-7"}), Some(-7)),
            // Helm reads a weight on hooks alone.
            (json!({(HELM_WEIGHT): "7"}), None),
            (json!({(HELM_WEIGHT): "heavy"}), None),
        ] {
            assert_eq!(of("Job", &annotations).expect("fine").wave, wave, "{annotations}");
        }
        for (annotations, name) in [
            (json!({(WAVE): "soon"}), WAVE),
            (json!({(WAVE): ""}), WAVE),
            (json!({(WAVE): "1.5"}), WAVE),
            (json!({(ARGO_WAVE): "99999999999"}), ARGO_WAVE),
            (json!({(HELM_HOOK): "pre-install", (HELM_WEIGHT): "heavy"}), HELM_WEIGHT),
        ] {
            let error = of("Job", &annotations).expect_err("no number");
            let wanted =
                format!("annotation {name} must be a whole number in quotes, like \"-1\" or \"2\"");
            assert_eq!(error, wanted, "{annotations}");
        }
    }

    #[test]
    fn hooks_of_all_three_have_their_moments() {
        use Moment::{AfterReady, BeforeApply};
        let timing = |first, later, at_end| Some(Timing { first, later, at_end });
        for (name, text, wanted) in [
            (HOOK, "beforeApply", timing(Some(BeforeApply), Some(BeforeApply), false)),
            (HOOK, "afterReady", timing(Some(AfterReady), Some(AfterReady), false)),
            (HOOK, "beforeDelete", timing(None, None, true)),
            (ARGO_HOOK, "PreSync", timing(Some(BeforeApply), Some(BeforeApply), false)),
            (ARGO_HOOK, "PreSync,PostSync", timing(Some(BeforeApply), Some(BeforeApply), false)),
            (ARGO_HOOK, "PostSync", timing(Some(AfterReady), Some(AfterReady), false)),
            (ARGO_HOOK, "PreDelete", timing(None, None, true)),
            (ARGO_HOOK, "Sync", None),
            (HELM_HOOK, "pre-install", timing(Some(BeforeApply), None, false)),
            (HELM_HOOK, "pre-upgrade", timing(None, Some(BeforeApply), false)),
            (
                HELM_HOOK,
                "post-install,pre-upgrade",
                timing(Some(AfterReady), Some(BeforeApply), false),
            ),
            (
                HELM_HOOK,
                "post-install, post-upgrade",
                timing(Some(AfterReady), Some(AfterReady), false),
            ),
            (HELM_HOOK, "post-install,post-delete", timing(Some(AfterReady), None, false)),
            (HELM_HOOK, "pre-delete", timing(None, None, true)),
            (HELM_HOOK, "crd-install", None),
            (HELM_HOOK, "", None),
        ] {
            let found = of("Job", &json!({(name): text})).expect("fine");
            assert_eq!((found.timing, found.never), (wanted, None), "{name} {text}");
        }
        for (name, text, wanted) in [
            (HELM_HOOK, "test", "test hook of Helm"),
            (HELM_HOOK, "post-delete", "delete hook of Helm"),
            (HELM_HOOK, "post-rollback", "rollback hook of Helm"),
            (ARGO_HOOK, "SyncFail", "SyncFail hook of Argo CD"),
            (ARGO_HOOK, "Skip", "Skip hook of Argo CD"),
        ] {
            let found = of("Job", &json!({(name): text})).expect("fine");
            assert_eq!((found.timing, found.never), (None, Some(wanted)), "{name} {text}");
        }
        // Ours stands before the others.
        let both = json!({(HOOK): "afterReady", (HELM_HOOK): "pre-install"});
        let found = of("Job", &both).expect("fine").timing.and_then(Timing::earliest);
        assert_eq!(found, Some(AfterReady));
    }

    #[test]
    fn what_a_hook_says_of_itself_is_read_or_refused() {
        let found =
            of("Job", &json!({(HOOK): "afterReady", (HOOK_TIMEOUT): "1m30s", (HOOK_RETRIES): "2"}));
        let found = found.expect("fine");
        assert_eq!((found.timeout, found.retries), (Duration::from_secs(90), Some(2)));
        for (kind, annotations) in [
            ("Deployment", json!({(HOOK): "afterReady"})),
            ("Job", json!({(HOOK): "whenever"})),
            ("Job", json!({(HOOK_TIMEOUT): "2h"})),
            ("Job", json!({(HOOK_TIMEOUT): "0s"})),
            ("Job", json!({(HOOK_RETRIES): "11"})),
            ("Job", json!({(HOOK_RETRIES): "-1"})),
            ("ConfigMap", json!({(PRUNE): "no"})),
        ] {
            assert!(of(kind, &annotations).is_err(), "{annotations}");
        }
    }

    #[test]
    fn each_tools_word_for_keeping_an_object_is_known() {
        for (annotations, keep) in [
            (json!({(PRUNE): "false"}), true),
            (json!({(PRUNE): "true"}), false),
            (json!({(ARGO_OPTIONS): "Validate=false, Prune=false"}), true),
            (json!({(ARGO_OPTIONS): "Prune=true"}), false),
            (json!({(HELM_POLICY): "keep"}), true),
            (json!({(HELM_POLICY): "delete"}), false),
        ] {
            assert_eq!(of("Secret", &annotations).expect("fine").keep, keep, "{annotations}");
        }
        let policy = json!({(HELM_HOOK): "pre-install", (HELM_DELETE): "before-hook-creation,hook-succeeded"});
        let wanted = DeleteAfter { success: true, failure: false };
        assert_eq!(of("Job", &policy).expect("fine").delete_after, wanted);
        let policy = json!({(ARGO_HOOK): "PreSync", (ARGO_DELETE): "HookFailed"});
        let wanted = DeleteAfter { success: false, failure: true };
        assert_eq!(of("Job", &policy).expect("fine").delete_after, wanted);
    }
}
