//! From what the API server stores to what the domain decides by. No I/O.

use super::address::{Gateway, Probe, Protect, TlsSource, UrlPolicy};
use super::admission::AwaitImages;
use super::entries::{Condition, WhyLine};
use super::environment::{Environment, EnvironmentStatus, LifetimeWish, Power, SourcePhase, Want};
use super::isolation::{Isolation, Namespaces, PodSecurity, YieldRule};
use super::lifetime::{Lifetime, Measure, Schedule, SleepAfter};
use super::repository::{At, Forks, ParameterRule, RepositorySpec};
use super::time::Timestamp;
use crate::domain::status::{Judgement, bounded, transition_time};
use crate::domain::{
    admit, command, decision, gate, lifetime, policy, power, preview_file, pull_request,
};

/// A value of a Repository that its schema lets through and that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field} of the Repository is {value:?}: {rule}")]
pub struct InvalidPolicy {
    /// Path below `spec`.
    pub field: &'static str,
    /// What stands there.
    pub value: String,
    /// What should.
    pub rule: &'static str,
}

/// Visits are written down each five minutes: a shorter rest could not be told from none.
const LEAST_IDLE: std::time::Duration = std::time::Duration::from_secs(600);
const DURATION: &str = "write a number with m, h or d, at most ten years";

impl RepositorySpec {
    /// The valid form, or the first value that has none.
    pub fn policy(&self) -> Result<policy::Policy, InvalidPolicy> {
        let Self {
            forge: _,
            source,
            select,
            branches,
            forks,
            r#await,
            lifetime,
            url,
            isolation,
            limits,
            parameters,
            // In `guardrails`.
            secrets: _,
            // Their values need no other form.
            report: _,
            notify: _,
            // In `commands`.
            commands: _,
        } = self;
        self.commands()?;
        let duration = |field, text: &str| {
            policy::parse_duration(text).ok_or_else(|| InvalidPolicy {
                field,
                value: text.to_owned(),
                rule: DURATION,
            })
        };
        let number = |field, value: i64| {
            u64::try_from(value).ok().filter(|value| *value > 0).ok_or_else(|| InvalidPolicy {
                field,
                value: value.to_string(),
                rule: "write a number above 0",
            })
        };
        let count = |field, value: i32| {
            number(field, value.into()).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
        };
        Ok(policy::Policy {
            at: match source.at {
                At::Head => policy::At::Head,
                At::Merge => policy::At::Merge,
            },
            select: policy::Select {
                base_branches: select.base_branches.clone(),
                head_branches: select.head_branches.clone(),
                labels_all: select.labels.all.clone(),
                labels_none: select.labels.none.clone(),
                drafts: select.drafts,
                authors: select.authors.clone(),
                bots: select.bots.clone(),
                paths: select.paths.clone(),
            },
            forks: match forks {
                Forks::Deny => policy::Forks::Deny,
                Forks::Approve => policy::Forks::Approve,
                Forks::Allow => policy::Forks::Allow,
            },
            branches: branches.clone(),
            admit: admit::Rules {
                checks: r#await.checks.clone(),
                images: match r#await.images {
                    AwaitImages::Never => admit::Images::Never,
                    AwaitImages::Required => admit::Images::Required,
                    AwaitImages::Pin => admit::Images::Pin,
                },
                token_hosts: r#await.token_hosts.clone(),
                timeout: duration("await.timeout", &r#await.timeout)?,
            },
            lifetime: policy::Lifetime {
                ttl: duration("lifetime.ttl", &lifetime.ttl)?,
                max_ttl: duration("lifetime.maxTtl", &lifetime.max_ttl)?,
                warn_before: duration("lifetime.warnBefore", &lifetime.warn_before)?,
            },
            sleep: sleep_of(lifetime)?,
            gate: gate_of(url)?,
            url: url_of(url)?,
            isolation: isolation_of(isolation),
            limits: policy::Limits {
                objects: count("limits.objects", limits.objects)?,
                files: count("limits.files", limits.files)?,
                file_bytes: number("limits.fileBytes", limits.file_bytes)?,
                tree_bytes: number("limits.treeBytes", limits.tree_bytes)?,
                rendered_bytes: number("limits.renderedBytes", limits.rendered_bytes)?,
                render_time: policy::parse_render_time(&limits.render_time).ok_or_else(|| {
                    InvalidPolicy {
                        field: "limits.renderTime",
                        value: limits.render_time.clone(),
                        rule: "write a number with s or m, from 1s to 10m",
                    }
                })?,
            },
            progress_deadline: policy::parse_progress_deadline(&limits.progress_deadline)
                .ok_or_else(|| InvalidPolicy {
                    field: "limits.progressDeadline",
                    value: limits.progress_deadline.clone(),
                    rule: "write a number with s, m or h, from 10s to 24h",
                })?,
            parameters: parameters.iter().map(parameter).collect(),
            guardrails: self.guardrails()?,
        })
    }
}

fn parameter(
    (name, ParameterRule { default, allowed }): (&String, &ParameterRule),
) -> (String, preview_file::ParameterRule) {
    let (default, allowed) = (default.clone(), allowed.clone());
    (name.clone(), preview_file::ParameterRule { default, allowed })
}

/// When camps sleep.
fn sleep_of(lifetime: &Lifetime) -> Result<policy::Sleep, InvalidPolicy> {
    let schedule = lifetime.schedule.as_ref().map(|Schedule { time_zone, asleep }| {
        power::Schedule::parse(time_zone, asleep).map_err(|error| match error {
            power::InvalidSchedule::Zone(value) => InvalidPolicy {
                field: "lifetime.schedule.timeZone",
                value,
                rule: "write a time zone of IANA's database, as Europe/Berlin",
            },
            power::InvalidSchedule::Window(value) => InvalidPolicy {
                field: "lifetime.schedule.asleep",
                value,
                rule: "write 22:00-07:00, Mon-Fri 20:00-07:00, Sat or Sat-Sun",
            },
            power::InvalidSchedule::Count(count) => InvalidPolicy {
                field: "lifetime.schedule.asleep",
                value: count.to_string(),
                rule: "write from 1 to 20 times to sleep",
            },
        })
    });
    let after = lifetime.sleep_after.as_ref().map(|SleepAfter { idle, measure: _ }| {
        policy::parse_duration(idle).filter(|idle| *idle >= LEAST_IDLE).ok_or_else(|| {
            InvalidPolicy {
                field: "lifetime.sleepAfter.idle",
                value: idle.clone(),
                rule: "write a number with m, h or d, from 10m to ten years",
            }
        })
    });
    Ok(policy::Sleep {
        schedule: schedule.transpose()?,
        after: after.transpose()?,
        by_ingress: lifetime
            .sleep_after
            .as_ref()
            .is_some_and(|after| after.measure == Measure::Ingress),
        wake_on_push: lifetime.wake_on_push,
    })
}

/// What the gate is asked for.
fn gate_of(url: &UrlPolicy) -> Result<gate::Asked, InvalidPolicy> {
    match &url.protect {
        Some(Protect { sign_in: None, password: None, bypass: _ }) => Err(InvalidPolicy {
            field: "url.protect",
            value: "neither signIn nor password".into(),
            rule: "write signIn: GitHub, or name the Secret of a password",
        }),
        protect => Ok(gate::Asked { protect: protect.is_some(), noindex: url.noindex }),
    }
}

impl RepositorySpec {
    /// Who may give which command.
    pub fn commands(&self) -> Result<command::Rules, InvalidPolicy> {
        let wrong = |value: &str, rule| InvalidPolicy {
            field: "commands.verbs",
            value: value.to_owned(),
            rule,
        };
        let rules = self.commands.verbs.iter().map(|(name, rule)| {
            let verb = command::Verb::of(name).ok_or_else(|| {
                wrong(name, "the keys are names of commands, as `help` lists them")
            })?;
            let rule = command::Rule::parse(rule).map_err(|_| {
                wrong(
                    rule,
                    "write read, triage, author, write, maintain, admin, nobody or team:NAME",
                )
            })?;
            Ok((verb, rule))
        });
        Ok(command::Rules::with(rules.collect::<Result<_, InvalidPolicy>>()?))
    }
}

fn url_of(url: &UrlPolicy) -> Result<policy::Url, InvalidPolicy> {
    Ok(policy::Url {
        host: url.host.clone(),
        scheme: url.scheme.clone(),
        port: url
            .port
            .map(|port| {
                u16::try_from(port).map_err(|_| InvalidPolicy {
                    field: "url.port",
                    value: port.to_string(),
                    rule: "write a number from 1 to 65535",
                })
            })
            .transpose()?,
        ingress_class: url.ingress_class.clone(),
        gateway: url.gateway.as_ref().map(|Gateway { namespace, name, section }| policy::Gateway {
            namespace: namespace.clone(),
            name: name.clone(),
            section: section.clone(),
        }),
        tls: tls(url)?,
        probe: url.probe == Probe::Required,
    })
}

fn isolation_of(isolation: &Isolation) -> policy::Isolation {
    policy::Isolation {
        pod_security: match isolation.pod_security {
            PodSecurity::Baseline => "baseline",
            PodSecurity::Restricted => "restricted",
        },
        allowed_kinds: isolation.allowed_kinds.clone(),
        deployer_role: isolation.deployer_role.clone(),
        namespaces: match isolation.namespaces {
            Namespaces::Rewrite => policy::Namespaces::Rewrite,
            Namespaces::Refuse => policy::Namespaces::Refuse,
        },
        image_registries: isolation.image_registries.clone(),
        ignored_cluster_scoped: isolation.cluster_scoped.ignore.clone(),
        yields: yields(isolation),
    }
}

/// Fields that are left to others.
fn yields(isolation: &Isolation) -> Vec<policy::YieldRule> {
    let rules = isolation.r#yield.iter().cloned();
    rules
        .map(|YieldRule { kind, field, manager }| policy::YieldRule { kind, field, manager })
        .collect()
}

/// Where certificates come from; what it needs must be there.
fn tls(url: &UrlPolicy) -> Result<policy::Tls, InvalidPolicy> {
    let UrlPolicy { tls, gateway, .. } = url;
    let wrong =
        |value: &str, rule| Err(InvalidPolicy { field: "url.tls", value: value.to_owned(), rule });
    match (tls.source, &tls.cluster_issuer) {
        (TlsSource::ControllerDefault, None) => Ok(policy::Tls::ControllerDefault),
        (TlsSource::Gateway, None) if gateway.is_some() => Ok(policy::Tls::Gateway),
        (TlsSource::Gateway, None) => wrong("Gateway", "name the Gateway in url.gateway too"),
        (TlsSource::PerHost, Some(_)) if gateway.is_some() => {
            wrong("PerHost", "a listener of url.gateway has the certificate: write Gateway")
        }
        (TlsSource::PerHost, Some(issuer)) => {
            Ok(policy::Tls::PerHost { cluster_issuer: issuer.clone() })
        }
        (TlsSource::PerHost, None) => {
            wrong("PerHost", "name the ClusterIssuer in url.tls.clusterIssuer too")
        }
        (TlsSource::ControllerDefault | TlsSource::Gateway, Some(issuer)) => {
            wrong(issuer, "a clusterIssuer is for the source PerHost only")
        }
    }
}

impl From<Want> for decision::Want {
    fn from(want: Want) -> Self {
        match want {
            Want::Auto => Self::Auto,
            Want::Up => Self::Up,
            Want::Down => Self::Down,
        }
    }
}

impl From<Power> for power::Wish {
    fn from(power: Power) -> Self {
        match power {
            Power::Auto => Self::Auto,
            Power::Awake => Self::Awake,
            Power::Asleep => Self::Asleep,
        }
    }
}

impl From<&LifetimeWish> for lifetime::Wish {
    fn from(wish: &LifetimeWish) -> Self {
        let LifetimeWish { until, pinned } = wish;
        Self { until: until.map(|until| until.0), pinned: *pinned }
    }
}

impl From<SourcePhase> for pull_request::State {
    fn from(phase: SourcePhase) -> Self {
        match phase {
            SourcePhase::Open => Self::Open,
            SourcePhase::Closed => Self::Closed,
        }
    }
}

impl From<pull_request::State> for SourcePhase {
    fn from(state: pull_request::State) -> Self {
        match state {
            pull_request::State::Open => Self::Open,
            pull_request::State::Closed => Self::Closed,
        }
    }
}

impl From<&decision::Why> for WhyLine {
    fn from(why: &decision::Why) -> Self {
        Self { rule: why.rule.to_owned(), answer: bounded(&why.answer, 512), decided: why.decided }
    }
}

/// Writes `judgement` into `conditions`; the time changes only with the status.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    judgement: &Judgement,
    generation: Option<i64>,
    now: chrono::DateTime<chrono::Utc>,
) {
    let at = conditions.iter().position(|condition| condition.r#type == judgement.name);
    let before =
        at.and_then(|at| conditions.get(at)).map(|c| (c.status.as_str(), c.last_transition_time.0));
    let condition = Condition {
        r#type: judgement.name.to_owned(),
        status: judgement.status().to_owned(),
        reason: judgement.reason.to_owned(),
        message: bounded(&judgement.message, 2048),
        last_transition_time: Timestamp::from(transition_time(before, judgement, now)),
        observed_generation: generation,
    };
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

impl EnvironmentStatus {
    /// The condition of that name.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == name)
    }

    /// Whether the condition of that name says `True`.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.condition(name).is_some_and(|condition| condition.status == "True")
    }
}

impl Environment {
    /// The hint that waits, if it was not acted on yet.
    #[must_use]
    pub fn open_hint(&self) -> Option<&str> {
        let hint = self.metadata.annotations.as_ref()?.get(super::HINT_ANNOTATION)?;
        let handled = self.status.as_ref().and_then(|status| status.handled_hint.as_deref());
        // Cut as it will be written: a value that somebody made longer must not be open for ever.
        let hint = hint.get(..100).unwrap_or(hint);
        (handled != Some(hint)).then_some(hint)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(changes: &serde_json::Value) -> RepositorySpec {
        let mut spec = json!({
            "forge": {"github": {"owner": "acme", "name": "shop", "credentials": {"secretName": "shop"}}},
            "url": {"host": "preview.test"},
        });
        for (key, value) in changes.as_object().expect("changes are a map") {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).expect("the spec fits")
    }

    #[test]
    fn what_is_left_out_has_a_default_that_is_valid() {
        let policy = spec(&json!({})).policy().expect("defaults are valid");
        assert!(policy.select.drafts);
        assert_eq!(policy.forks, policy::Forks::Approve);
        assert_eq!(policy.lifetime.ttl.as_secs(), 72 * 3600);
        assert_eq!(policy.limits.objects, 200);
        assert_eq!(policy.url.of("a"), "https://a");
    }

    #[test]
    fn a_value_without_meaning_is_named() {
        let error = spec(&json!({"lifetime": {"ttl": "9999d", "maxTtl": "1d"}}))
            .policy()
            .expect_err("too long");
        assert_eq!(
            error.to_string(),
            "spec.lifetime.ttl of the Repository is \"9999d\": write a number with m, h or d, at most ten years"
        );
    }

    #[test]
    fn what_rendering_works_by_is_taken_over_whole() {
        let policy = spec(&json!({
            "url": {"host": "x.test", "gateway": {"namespace": "infra", "name": "gw"}, "tls": {"source": "Gateway"}},
            "isolation": {"namespaces": "Refuse", "imageRegistries": ["ghcr.io/acme/"],
                "clusterScoped": {"ignore": ["PriorityClass.scheduling.k8s.io"]}},
            "limits": {"renderTime": "2m"},
            "parameters": {"seed": {"default": "small", "allowed": ["small"]}},
        }))
        .policy()
        .expect("valid");
        let gateway = policy.url.gateway.expect("a gateway");
        assert_eq!((gateway.namespace.as_str(), gateway.section), ("infra", None));
        assert_eq!(policy.url.tls, policy::Tls::Gateway);
        assert_eq!(policy.isolation.namespaces, policy::Namespaces::Refuse);
        assert_eq!(policy.isolation.image_registries, ["ghcr.io/acme/"]);
        assert_eq!(policy.isolation.ignored_cluster_scoped, ["PriorityClass.scheduling.k8s.io"]);
        assert_eq!(policy.limits.render_time.as_secs(), 120);
        assert_eq!(policy.parameters["seed"].allowed, ["small"]);
    }

    #[test]
    fn tls_names_what_it_needs() {
        let tls = |url: serde_json::Value| spec(&json!({"url": url})).policy().map(|p| p.url.tls);
        let issuer = json!({"host": "x", "tls": {"source": "PerHost", "clusterIssuer": "le"}});
        assert_eq!(tls(issuer), Ok(policy::Tls::PerHost { cluster_issuer: "le".into() }));
        for bad in [
            json!({"host": "x", "tls": {"source": "PerHost"}}),
            json!({"host": "x", "tls": {"source": "Gateway"}}),
            json!({"host": "x", "tls": {"clusterIssuer": "le"}}),
        ] {
            assert_eq!(tls(bad.clone()).expect_err("refused").field, "url.tls", "{bad}");
        }
    }

    #[test]
    fn a_hint_is_open_until_it_was_handled() {
        let mut environment: Environment = serde_json::from_value(json!({
            "apiVersion": "bivouac.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "x", "annotations": {"bivouac.dev/hint": "d1"}},
            "spec": {"repository": "shop", "source": {"pullRequest": {"number": 7}}},
        }))
        .expect("the environment fits");
        assert_eq!(environment.open_hint(), Some("d1"));
        environment.status =
            Some(EnvironmentStatus { handled_hint: Some("d1".into()), ..Default::default() });
        assert_eq!(environment.open_hint(), None);
    }
}
