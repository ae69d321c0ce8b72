//! PURE · the policy of a Repository in its valid form: what the controller decides by.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::guardrails::Rules;
use super::power::Schedule;
use super::preview_file::ParameterRule;

/// Everything the platform team said about one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which commit of a pull request is rendered.
    pub at: At,
    /// Which pull requests get a camp.
    pub select: Select,
    /// Patterns for branches that have an environment each.
    pub branches: Vec<String>,
    /// What happens to untrusted ones.
    pub forks: Forks,
    /// What a commit waits for before it is applied. Nothing that is rendered depends on it.
    pub admit: super::admit::Rules,
    /// How long a camp stands.
    pub lifetime: Lifetime,
    /// When a camp sleeps.
    pub sleep: Sleep,
    /// Where camps are reached.
    pub url: Url,
    /// What the gate is asked for.
    pub gate: super::gate::Asked,
    /// How a camp is fenced in.
    pub isolation: Isolation,
    /// Bounds for what comes out of the repository.
    pub limits: Limits,
    /// From a bundle's application to its readiness: `limits.progressDeadline`. No bound of what is rendered.
    pub progress_deadline: Duration,
    /// What parameters of preview files may be.
    pub parameters: BTreeMap<String, ParameterRule>,
    /// What camps are fenced in with, and what is put into them.
    pub guardrails: Rules,
}

/// Which commit of a pull request is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// What is proposed.
    #[default]
    Head,
    /// The forge's test merge of it into the base branch.
    Merge,
}

/// Which pull requests get a camp; an empty list asks nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Patterns for the base branch.
    pub base_branches: Vec<String>,
    /// Patterns for the head branch.
    pub head_branches: Vec<String>,
    /// Labels that must all be there.
    pub labels_all: Vec<String>,
    /// Labels of which none may be there.
    pub labels_none: Vec<String>,
    /// Whether drafts get a camp.
    pub drafts: bool,
    /// Patterns for the author's login.
    pub authors: Vec<String>,
    /// Logins of bots that are trusted.
    pub bots: Vec<String>,
    /// Patterns for paths of which the pull request changes one at least.
    pub paths: Vec<String>,
}

/// What happens to untrusted pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forks {
    /// No camp.
    Deny,
    /// A camp for an approved head.
    Approve,
    /// A camp like any other.
    Allow,
}

/// How long a camp stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From the last push, reopening or `want: Up`.
    pub ttl: Duration,
    /// From the making of the camp.
    pub max_ttl: Duration,
    /// People are warned so long before the end.
    pub warn_before: Duration,
}

/// When a camp sleeps by itself, and what wakes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sleep {
    /// Times to sleep.
    pub schedule: Option<Schedule>,
    /// It sleeps after so long without a visit, a push or a command.
    pub after: Option<Duration>,
    /// Requests of any kind count in place of visits, by the ingress controllers' figures.
    pub by_ingress: bool,
    /// A push wakes it.
    pub wake_on_push: bool,
}

impl Sleep {
    /// Whether visits count, which the gate sees where everything passes it.
    #[must_use]
    pub fn asks_for_gate(&self) -> bool {
        self.after.is_some() && !self.by_ingress
    }
}

/// Where camps are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Wildcard domain, without `*.`.
    pub host: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Port, when it is not the scheme's own.
    pub port: Option<u16>,
    /// The one ingress class that may be named.
    pub ingress_class: Option<String>,
    /// The Gateway that routes are attached to, in place of an Ingress.
    pub gateway: Option<Gateway>,
    /// Where certificates come from.
    pub tls: Tls,
    /// A camp is ready only when its URLs answer.
    pub probe: bool,
}

/// A Gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of one of its listeners; `None`: all that fit.
    pub section: Option<String>,
}

/// Where the certificate of a camp's host comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Tls {
    /// The ingress controller has one for the wildcard domain.
    #[default]
    ControllerDefault,
    /// The Gateway's listener has one.
    Gateway,
    /// cert-manager makes one for each host.
    PerHost {
        /// Name of the `ClusterIssuer`.
        cluster_issuer: String,
    },
}

impl Url {
    /// The address of `host`.
    #[must_use]
    pub fn of(&self, host: &str) -> String {
        match self.port {
            Some(port) => format!("{}://{host}:{port}", self.scheme),
            None => format!("{}://{host}", self.scheme),
        }
    }
}

/// How a camp is fenced in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// `baseline` or `restricted`: the value of the Pod Security label.
    pub pod_security: &'static str,
    /// Kinds that a bundle may hold; empty for the built-in list.
    pub allowed_kinds: Vec<String>,
    /// ClusterRole that the deployer gets in the camp.
    pub deployer_role: String,
    /// What becomes of one foreign namespace in a bundle.
    pub namespaces: Namespaces,
    /// Registries that images may come from, as prefixes (`ghcr.io/acme/`); empty allows any.
    pub image_registries: Vec<String>,
    /// Cluster-scoped kinds that are left out of a bundle with a note, as `Kind` or `Kind.group`.
    pub ignored_cluster_scoped: Vec<String>,
    /// Fields that are left to others who write them.
    pub yields: Vec<YieldRule>,
}

/// A field that is left to another manager who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YieldRule {
    /// Kind, as `Kind` or `Kind.group`; `None`: any.
    pub kind: Option<String>,
    /// The field as managed fields name it, with all below it: `.spec.replicas`; `[*]` stands for any element.
    pub field: String,
    /// Name of the manager; `None`: any.
    pub manager: Option<String>,
}

/// What becomes of a bundle whose objects all name one namespace that is not the camp's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Namespaces {
    /// It is replaced by the camp's.
    #[default]
    Rewrite,
    /// The bundle is refused.
    Refuse,
}

/// Bounds for what comes out of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects in a bundle.
    pub objects: usize,
    /// Files read of a commit.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files.
    pub tree_bytes: u64,
    /// Bytes of a rendered bundle.
    pub rendered_bytes: u64,
    /// Time that Helm or Kustomize may take for one app.
    pub render_time: Duration,
}

/// A limit that the platform team may set, for `docs/limits.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettableLimit {
    /// Its name below `spec.limits`.
    pub name: &'static str,
    /// When nothing is said.
    pub default: u64,
    /// The most that can be set.
    pub most: u64,
}

/// Every limit of `spec.limits`; `renderTime` in seconds.
pub const SETTABLE_LIMITS: [SettableLimit; 6] = [
    SettableLimit { name: "objects", default: 200, most: 500 },
    SettableLimit { name: "files", default: 1_000, most: 20_000 },
    SettableLimit { name: "fileBytes", default: 1 << 20, most: 32 << 20 },
    SettableLimit { name: "treeBytes", default: 16 << 20, most: 256 << 20 },
    SettableLimit { name: "renderedBytes", default: 4 << 20, most: 32 << 20 },
    SettableLimit { name: "renderTime", default: 60, most: 600 },
];

/// Reads `45s` or `2m`: from one second to ten minutes.
#[must_use]
pub fn parse_render_time(text: &str) -> Option<Duration> {
    let (number, factor) = match text.strip_suffix('s') {
        Some(number) => (number, 1),
        None => (text.strip_suffix('m')?, 60),
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(factor)?;
    (1..=600).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// Reads `90s`, `10m` or `2h`: from ten seconds to a day.
#[must_use]
pub fn parse_progress_deadline(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit)?;
    (10..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// Reads `90m`, `72h` or `14d`; `None` for anything else, and for more than ten years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    let seconds = number.checked_mul(unit)?;
    (number > 0 && seconds <= 10 * 366 * 86_400).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit_and_a_bound() {
        assert_eq!(parse_duration("90m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("14d"), Some(Duration::from_secs(14 * 86_400)));
        for bad in
            ["", "h", "0h", "-1h", "1", "1s", "1h30m", "99999999999999999999d", "5000d", "1 h", "ä"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_render_time_is_between_a_second_and_ten_minutes() {
        assert_eq!(parse_render_time("45s"), Some(Duration::from_secs(45)));
        assert_eq!(parse_render_time("10m"), Some(Duration::from_secs(600)));
        for bad in ["", "s", "0s", "601s", "11m", "1h", "+5s", "1.5m", "5 s"] {
            assert_eq!(parse_render_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_progress_deadline_is_between_ten_seconds_and_a_day() {
        assert_eq!(parse_progress_deadline("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_progress_deadline("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse_progress_deadline("24h"), Some(Duration::from_secs(86_400)));
        for bad in ["", "m", "9s", "25h", "1d", "+5m", "1.5m", "5 m", "ä"] {
            assert_eq!(parse_progress_deadline(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_port_is_in_the_address_only_when_it_is_not_the_schemes_own() {
        let mut url = Url {
            host: "x.test".into(),
            scheme: "http".into(),
            port: None,
            ingress_class: None,
            gateway: None,
            tls: Tls::default(),
            probe: true,
        };
        assert_eq!(url.of("a.x.test"), "http://a.x.test");
        url.port = Some(8080);
        assert_eq!(url.of("a.x.test"), "http://a.x.test:8080");
    }
}
