//! PURE · what the API server says to an object that is only tried: passes, is a note, is on its way, or is a finding with
//! object, field, place and what to do. In: an object and a `Status`; out: a verdict. Values of Secrets are never shown.

use std::collections::BTreeSet;

use kube::core::Status;

use super::error::{is_settling, is_terminating};
use super::{fields, replace};
use crate::domain::bundle::{Bundle, BundleObject, Origin};
use crate::domain::finding::{Finding, Severity};

/// Longest value that is shown out of the API server's words.
const SHOWN: usize = 80;
/// Longest text of one finding.
const LONGEST: usize = 900;

/// Why the cluster refuses an object. Ids never change their meaning and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// BA001: the kind's schema or validation.
    Schema,
    /// BA002: a field that can't be changed.
    Fixed,
    /// BA003: the deployer has no right to it.
    NotAllowed,
    /// BA004: Pod Security.
    PodSecurity,
    /// BA005: an admission policy.
    Policy,
    /// BA006: the cluster lacks the kind.
    KindUnknown,
    /// BA007: a quota or a limit range.
    Quota,
    /// BA008: an admission webhook.
    Webhook,
    /// BA009: something else.
    Other,
}

impl Reason {
    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Schema => (
                "BA001",
                "cluster-schema",
                "write the object as the cluster's API has it: `kubectl explain` shows the fields",
            ),
            Self::Fixed => ("BA002", "immutable-field", ""),
            Self::NotAllowed => (
                "BA003",
                "cluster-rights",
                "ask the platform team for a rule in the ClusterRole that bundles are applied with (`isolation.deployerRole`)",
            ),
            Self::PodSecurity => (
                "BA004",
                "pod-security",
                "take out what the message names, or ask the platform team about `isolation.podSecurity`",
            ),
            Self::Policy => (
                "BA005",
                "admission-policy",
                "do as the policy says, or ask the platform team about it",
            ),
            Self::KindUnknown => (
                "BA006",
                "kind-unknown",
                "ask the platform team to install what brings this kind; the camp then goes on by itself",
            ),
            Self::Quota => {
                ("BA007", "cluster-quota", "ask for less, or ask the platform team for more")
            }
            Self::Webhook => (
                "BA008",
                "admission-webhook",
                "do as the webhook says, or ask the platform team about it",
            ),
            Self::Other => ("BA009", "cluster-refused", "do as the message says"),
        }
    }
}

/// What an answer to a dry run means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The object can be applied, as far as a dry run can tell.
    Passes,
    /// It could not be tried, and that is no mistake.
    Note(String),
    /// A fresh camp says this for a moment.
    Settling,
    /// The object is refused.
    Refused(Vec<Finding>),
    /// The API server did not judge the object: tried again.
    Failed,
}

/// The names of what a bundle brings: what is missing before its turn is no mistake.
#[derive(Clone, Debug, Default)]
pub(super) struct Brought(BTreeSet<(String, String)>);

impl Brought {
    pub(super) fn by(bundle: &Bundle) -> Self {
        let all = bundle.objects.iter().map(BundleObject::identity);
        Self(all.map(|identity| (identity.kind.to_lowercase(), identity.name)).collect())
    }

    /// The object of the bundle, as `kind "name"`, that `message` misses: `configmaps "x" not found`.
    fn missed_by(&self, message: &str) -> Option<String> {
        let (before, _) = message.split_once("\" not found")?;
        let (before, name) = before.rsplit_once('"')?;
        // A group may stand behind the plural: `networkpolicies.networking.k8s.io`.
        let word = before.split_whitespace().next_back()?.split('.').next()?.to_lowercase();
        let is_of = |kind: &str| word == kind || word == plural(kind);
        let missed = self.0.iter().find(|(kind, has)| has == name && is_of(kind));
        missed.map(|(kind, name)| format!("{kind} \"{name}\""))
    }

    fn has_kind(&self, kind: &str) -> bool {
        self.0.iter().any(|(has, _)| has == kind)
    }
}

/// The plural of a kind, both in lower case.
fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

/// What `status` says to `object`, which was tried and not written.
pub(super) fn judge(object: &BundleObject, status: &Status, brought: &Brought) -> Verdict {
    let message = status.message.as_str();
    if let Some(missing) = brought.missed_by(message) {
        return Verdict::Note(format!("it could not be tried before {missing} is there"));
    }
    if message.contains("does not support dry run") {
        return Verdict::Note(format!("it was not tried: {}", shown(message)));
    }
    if is_terminating(status) {
        return Verdict::Failed;
    }
    if is_settling(status) {
        return Verdict::Settling;
    }
    if message.contains("must specify limits") || message.contains("must specify requests") {
        // What a limit range of the bundle fills in later.
        if brought.has_kind("limitrange") {
            return Verdict::Note("it could not be tried before the limit range is there".into());
        }
    }
    if replace::fixed_fields(status).is_some() && replace::may_be_replaced(object) {
        return Verdict::Passes;
    }
    match status.code {
        500 if message.contains("failed to create typed patch object")
            || message.contains("field not declared in schema") =>
        {
            Verdict::Refused(untyped(object, message))
        }
        400 | 403 | 405 | 413 | 415 | 422 => Verdict::Refused(findings(object, status)),
        _ => Verdict::Failed,
    }
}

/// The finding for a right that did not come in time.
pub(super) fn not_allowed(object: &BundleObject, status: &Status) -> Vec<Finding> {
    findings(object, status)
}

/// The finding for a kind that the cluster lacks.
pub(super) fn kind_unknown(object: &BundleObject, api_version: &str, kind: &str) -> Finding {
    finding(
        object,
        Reason::KindUnknown,
        "/kind",
        &format!("the cluster has no {kind} in {api_version}"),
    )
}

/// A finding in words of ours.
pub(super) fn plain(object: &BundleObject, text: &str) -> Finding {
    finding(object, Reason::Other, "", text)
}

/// One finding for each cause.
fn findings(object: &BundleObject, status: &Status) -> Vec<Finding> {
    let reason = reason_of(status);
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    let causes = causes.unwrap_or_default();
    // What forbids the object as a whole has no causes, or causes that repeat the message.
    if causes.is_empty() || !matches!(reason, Reason::Schema) {
        return vec![finding(object, reason, "", &own_words(object, &status.message))];
    }
    let mut all: Vec<Finding> = causes
        .iter()
        .map(|cause| {
            let reason =
                if replace::is_fixed(&cause.message) { Reason::Fixed } else { Reason::Schema };
            let words = own_words(object, &cause.message);
            let text =
                if cause.field.is_empty() { words } else { format!("{}: {words}", cause.field) };
            finding(object, reason, &fields::pointer(&cause.field), &text)
        })
        .collect();
    all.dedup();
    all
}

/// The findings in `failed to create typed patch object (…): errors: .spec.a: field not declared in schema …`.
fn untyped(object: &BundleObject, message: &str) -> Vec<Finding> {
    let said = message.split_once("): ").map_or(message, |(_, said)| said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "errors:");
    lines
        .map(|line| {
            let line = line.strip_prefix("errors: ").unwrap_or(line);
            let field = line.split(": ").next().filter(|field| field.starts_with('.'));
            let pointer = field.and_then(|field| fields::pointer_of(&object.json, field));
            let line = if is_secret(object) {
                line.split(", got").next().unwrap_or_default()
            } else {
                line
            };
            finding(object, Reason::Schema, &pointer.unwrap_or_default(), &shown(line))
        })
        .collect()
}

fn reason_of(status: &Status) -> Reason {
    let message = status.message.as_str();
    let says = |words: &str| message.contains(words);
    if says("ValidatingAdmissionPolicy '") || says("MutatingAdmissionPolicy '") {
        Reason::Policy
    } else if says("admission webhook \"") {
        Reason::Webhook
    } else if says("violates PodSecurity ") {
        Reason::PodSecurity
    } else if says("is forbidden: User \"") && says("\" cannot ") {
        Reason::NotAllowed
    } else if says("exceeded quota: ")
        || says("failed quota: ")
        || says(" usage per ")
        || says("status unknown for quota: ")
    {
        Reason::Quota
    } else if status.code == 422 {
        if replace::fixed_fields(status).is_some_and(|fields| fields.is_empty()) {
            Reason::Fixed
        } else {
            Reason::Schema
        }
    } else {
        Reason::Other
    }
}

fn finding(object: &BundleObject, reason: Reason, pointer: &str, text: &str) -> Finding {
    let (rule, name, hint) = reason.row();
    let identity = object.identity();
    let hint = if reason == Reason::Fixed { replace::way_out(&identity.kind) } else { hint };
    let Origin { file, line } = object.place_of(pointer);
    let mut message = format!("{identity}: {text}");
    if message.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    Finding {
        rule,
        name,
        severity: Severity::Error,
        file: Some(file),
        line: Some(line),
        column: None,
        object: Some(identity.to_string()),
        field: (!pointer.is_empty()).then(|| pointer.to_owned()),
        message,
        hint: hint.to_owned(),
    }
}

fn is_secret(object: &BundleObject) -> bool {
    let identity = object.identity();
    identity.group.is_empty() && identity.kind == "Secret"
}

/// The API server's words without values that are long or secret: `Invalid value: {…}: field is immutable`.
fn own_words(object: &BundleObject, message: &str) -> String {
    let mut text = message;
    // The name and kind stand before each finding already.
    if let Some((_, rest)) = message.split_once("\" is invalid: ") {
        text = rest;
    } else if let Some((head, rest)) = message.split_once("\" is forbidden: ")
        && !head.contains(": ")
    {
        text = rest;
    }
    let Some((before, after)) = text.split_once("nvalid value: ") else { return shown(text) };
    let Some((value, detail)) = after.rsplit_once(": ") else {
        return if is_secret(object) { format!("{before}nvalid value") } else { shown(text) };
    };
    if value.len() <= SHOWN && !is_secret(object) {
        return shown(text);
    }
    shown(&format!("{before}nvalid value: {detail}"))
}

/// One line without characters that do more than show something.
fn shown(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::Wave;
    use crate::domain::document::Position;
    use crate::domain::positions::Positions;
    use serde_json::{Value, json};

    fn object(kind: &str, name: &str) -> BundleObject {
        let position = |line| Position { line, column: 1 };
        BundleObject {
            json: json!({
                "apiVersion": "v1", "kind": kind, "metadata": {"name": name},
                "spec": {"ports": [{"port": 99_999}], "foo": 1},
            }),
            origin: Origin { file: "deploy/a.yaml".into(), line: 3 },
            app: "web".into(),
            wave: Wave::Config,
            positions: Positions::of_places(&[
                ("/spec", position(6)),
                ("/spec/ports/0/port", position(9)),
                ("/spec/foo", position(12)),
            ]),
        }
    }

    fn said(code: u16, message: &str, causes: &Value) -> Status {
        serde_json::from_value(
            json!({"code": code, "message": message, "details": {"causes": causes}}),
        )
        .expect("a status")
    }

    fn refused(object: &BundleObject, status: &Status) -> Vec<(String, usize, String)> {
        let Verdict::Refused(findings) = judge(object, status, &Brought::default()) else {
            return Vec::new();
        };
        findings
            .into_iter()
            .map(|f| (f.rule.to_owned(), f.line.unwrap_or_default(), f.message))
            .collect()
    }

    #[test]
    fn each_cause_is_a_finding_with_its_line() {
        let causes = json!([
            {"field": "spec.ports[0].port", "message": "Invalid value: 99999: must be between 1 and 65535, inclusive"},
            {"field": "spec.selector", "message": "Invalid value: {\"a\":\"b\"}: field is immutable"},
        ]);
        let status = said(422, "Service \"web\" is invalid: [a, b]", &causes);
        assert_eq!(
            refused(&object("Service", "web"), &status),
            [
                ("BA001".into(), 9, "Service/web: spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive".into()),
                ("BA002".into(), 6, "Service/web: spec.selector: Invalid value: {\"a\":\"b\"}: field is immutable".into()),
            ]
        );
    }

    #[test]
    fn a_field_that_the_schema_does_not_know_is_found_in_its_line() {
        let text = "failed to create typed patch object (camp/web; v1, Kind=Service): .spec.foo: field not declared in schema";
        assert_eq!(
            refused(&object("Service", "web"), &said(500, text, &json!([]))),
            [("BA001".into(), 12, "Service/web: .spec.foo: field not declared in schema".into())]
        );
        let two = "failed to create typed patch object (camp/web; v1, Kind=Service): errors:\n  .spec.foo: field not declared in schema\n  .spec.bar: field not declared in schema";
        assert_eq!(refused(&object("Service", "web"), &said(500, two, &json!([]))).len(), 2);
    }

    #[test]
    fn refusals_of_each_kind_are_told_apart() {
        for (code, message, rule) in [
            (
                403,
                "pods \"web\" is forbidden: violates PodSecurity \"baseline:latest\": privileged",
                "BA004",
            ),
            (
                422,
                "ingresses.networking.k8s.io \"web\" is forbidden: ValidatingAdmissionPolicy 'hosts' with binding 'hosts' denied request: no",
                "BA005",
            ),
            (
                403,
                "pods \"web\" is forbidden: exceeded quota: camp, requested: pods=1, used: pods=1, limited: pods=1",
                "BA007",
            ),
            (
                403,
                "pods \"web\" is forbidden: maximum cpu usage per Container is 1, but limit is 2",
                "BA007",
            ),
            (403, "admission webhook \"x.test\" denied the request: no", "BA008"),
            (
                400,
                "the API version in the data (v1) does not match the expected API version (v2)",
                "BA009",
            ),
        ] {
            let found = refused(&object("Pod", "web"), &said(code, message, &json!([])));
            assert_eq!(found.len(), 1, "{message}");
            assert_eq!(found[0].0, rule, "{message}");
        }
        let right = "pods is forbidden: User \"system:serviceaccount:camp:bivouac-deployer\" cannot patch resource \"pods\" in API group \"\" in the namespace \"camp\"";
        let status = said(403, right, &json!([]));
        let web = object("Pod", "web");
        assert_eq!(judge(&web, &status, &Brought::default()), Verdict::Settling);
        assert_eq!(not_allowed(&web, &status)[0].rule, "BA003");
        for (code, text) in [(429, "too many"), (500, "etcd"), (503, "not ready"), (504, "late")] {
            let status = said(code, text, &json!([]));
            assert_eq!(judge(&web, &status, &Brought::default()), Verdict::Failed, "{text}");
        }
    }

    #[test]
    fn what_the_bundle_itself_brings_later_is_no_mistake() {
        let bundle = Bundle::new(
            vec![
                object("ServiceAccount", "runner"),
                object("ConfigMap", "cfg"),
                object("NetworkPolicy", "np"),
            ],
            String::new(),
        );
        let brought = Brought::by(&bundle);
        let web = object("Pod", "web");
        for message in [
            "pods \"web\" is forbidden: error looking up service account camp/runner: serviceaccount \"runner\" not found",
            "admission webhook \"x.test\" denied the request: configmaps \"cfg\" not found",
            "admission webhook \"x.test\" denied the request: networkpolicies.networking.k8s.io \"np\" not found",
        ] {
            let verdict = judge(&web, &said(403, message, &json!([])), &brought);
            assert!(matches!(verdict, Verdict::Note(_)), "{message}: {verdict:?}");
        }
        let other = "pods \"web\" is forbidden: error looking up service account camp/x: serviceaccount \"x\" not found";
        assert_eq!(judge(&web, &said(403, other, &json!([])), &brought), Verdict::Settling);
        let denied = "admission webhook \"x.test\" denied the request: secret \"cfg\" not found";
        assert!(matches!(
            judge(&web, &said(403, denied, &json!([])), &brought),
            Verdict::Refused(_)
        ));
        let dry = "admission webhook \"x.test\" does not support dry run";
        assert!(matches!(judge(&web, &said(400, dry, &json!([])), &brought), Verdict::Note(_)));
    }

    #[test]
    fn no_value_of_a_secret_and_no_long_one_is_shown() {
        let secret = object("Secret", "s");
        let causes =
            json!([{"field": "type", "message": "Invalid value: \"hunter2\": field is immutable"}]);
        let found = refused(&secret, &said(422, "Secret \"s\" is invalid: type", &causes));
        assert_eq!(found[0].2, "Secret/s: type: Invalid value: field is immutable");
        let text = "failed to create typed patch object (camp/s; v1, Kind=Secret): .data.a: expected string, got &value.valueUnstructured{Value:\"hunter2\"}";
        let found = refused(&secret, &said(500, text, &json!([])));
        assert_eq!(found[0].2, "Secret/s: .data.a: expected string");
        let long = format!(
            "Invalid value: core.PodTemplateSpec{{{}}}: field is immutable",
            "x: y, ".repeat(200)
        );
        let causes = json!([{"field": "spec.template", "message": long}]);
        let found = refused(
            &object("Deployment", "web"),
            &said(422, "Deployment.apps \"web\" is invalid", &causes),
        );
        assert_eq!(found[0].2, "Deployment/web: spec.template: Invalid value: field is immutable");
    }

    #[test]
    fn a_job_that_changed_passes_since_it_may_be_made_anew() {
        let mut job = object("Job", "seed");
        let causes =
            json!([{"field": "spec.template", "message": "Invalid value: {}: field is immutable"}]);
        let status = said(422, "Job.batch \"seed\" is invalid", &causes);
        assert!(matches!(judge(&job, &status, &Brought::default()), Verdict::Refused(_)));
        job.json["apiVersion"] = "batch/v1".into();
        assert_eq!(judge(&job, &status, &Brought::default()), Verdict::Passes);
    }
}
