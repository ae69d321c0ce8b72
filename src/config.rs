//! Settings of `serve`: flags and `BIVOUAC_*` variables (raw) → [`Settings`] (valid). Reads nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::domain::guardrails::INGRESS_NAMESPACES;
use crate::domain::naming::{Instance, Label};
use crate::domain::policy::parse_duration;
use crate::gate::Origin;
use crate::probe::{InvalidProbeAddress, ProbeAddress};
use crate::render::confined::ToolSettings;

/// How the service is set up. Every flag has an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Raw {
    /// Name of this installation: part of labels and markers, so that two keep out of each other's way
    #[arg(long, env = "BIVOUAC_INSTANCE")]
    instance: String,
    /// Namespace of our own resources: Repositories, Environments and their Secrets
    #[arg(long, env = "BIVOUAC_NAMESPACE", default_value = "bivouac-system")]
    namespace: String,
    /// Service account we run as, in that namespace; empty when we are a cluster administrator
    #[arg(long, env = "BIVOUAC_SERVICE_ACCOUNT", default_value = "bivouac")]
    service_account: String,
    /// What the namespaces of camps begin with
    #[arg(long, env = "BIVOUAC_NAMESPACE_PREFIX", default_value = "camp-")]
    namespace_prefix: String,
    /// Address for webhooks (POST /webhook) and for /healthz and /readyz
    #[arg(long, env = "BIVOUAC_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address for metrics (GET /metrics), as 0.0.0.0:9090; empty: there are none. Whoever reaches it reads figures of all
    /// Repositories
    #[arg(long, env = "BIVOUAC_METRICS_LISTEN", default_value = "")]
    metrics_listen: String,
    /// Folder for fetched commits; may be lost at any time
    #[arg(long, env = "BIVOUAC_CACHE_DIR", default_value = "/var/cache/bivouac")]
    cache_dir: PathBuf,
    /// How often open pull requests are compared with the records, as 5m or 1h
    #[arg(long, env = "BIVOUAC_SWEEP_INTERVAL", default_value = "5m", value_parser = duration)]
    sweep_interval: Duration,
    /// Lease by which several replicas elect the one that works; `bivouac-INSTANCE` when it is not given. Empty: there
    /// is no election, and never more than one replica
    #[arg(long, env = "BIVOUAC_LEASE")]
    lease_name: Option<String>,
    /// Name of this replica in the Lease, for people; in a pod, its name
    #[arg(long, env = "HOSTNAME", default_value = "bivouac", hide_env_values = true)]
    replica: String,
    /// ConfigMap in our namespace with templates of guardrails, which stand in the place of ours; it need not be there
    #[arg(long, env = "BIVOUAC_GUARDRAILS", default_value = "bivouac-guardrails")]
    guardrails: String,
    /// Namespaces of ingress controllers, from which camps may be reached; comma separated [default: those that the
    /// charts of common controllers use]
    #[arg(long, env = "BIVOUAC_INGRESS_NAMESPACES", value_delimiter = ',')]
    ingress_namespaces: Vec<String>,
    /// Service in our namespace whose pods answer for environments that sleep; without it, their addresses answer 503
    #[arg(long, env = "BIVOUAC_GATE_SERVICE")]
    gate_service: Option<String>,
    /// Address of the gate, which answers for environments that sleep and for those whose visitors are counted or asked
    /// who they are, as 0.0.0.0:8081; empty: this replica has none
    #[arg(long, env = "BIVOUAC_GATE_LISTEN", default_value = "")]
    gate_listen: String,
    #[arg(
        long,
        env = "BIVOUAC_GATE_URL",
        default_value = "",
        help = "The gate's own address, as https://gate.example.com: people sign in there who want to see a protected \
                preview. Not within a domain of previews. Without it protected previews are closed to people"
    )]
    gate_url: String,
    /// How long connections through the gate go on after the service was asked to end, as 2m. A pod needs that time, too
    #[arg(long, env = "BIVOUAC_GATE_DRAIN", default_value = "2m", value_parser = duration)]
    gate_drain: Duration,
    /// Most environments at a time, of all Repositories; further ones wait for their turn
    #[arg(long, env = "BIVOUAC_MAX_ENVIRONMENTS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_environments: Option<u32>,
    /// Talk to forges over plain http too: for a forge on this machine only
    #[arg(long, env = "BIVOUAC_ALLOW_HTTP", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    allow_http: bool,
    /// Where the ingress controller is reached, as HOST:PORT, when the previews' wildcard name does not lead there from
    /// where the service runs. Every preview is asked there, under its own host
    #[arg(long, env = "BIVOUAC_PROBE_ADDRESS")]
    probe_address: Option<String>,
    #[arg(
        long,
        env = "BIVOUAC_PROMETHEUS_URL",
        default_value = "",
        help = "Prometheus, or what speaks its API, that has the ingress controllers' figures, as \
                http://prometheus.monitoring:9090: by them previews sleep that got no requests (lifetime.sleepAfter with \
                measure: Ingress)"
    )]
    prometheus_url: String,
    /// What it is asked: requests to the camp in $namespace, which stands in a regular expression, within $window. Default:
    /// as ingress-nginx counts them
    #[arg(long, env = "BIVOUAC_PROMETHEUS_QUERY", default_value = "", hide_default_value = true)]
    prometheus_query: String,
    /// Notices may go to private networks and over plain http, too. Whoever writes a Repository can then have requests sent
    /// to what is there
    #[arg(long, env = "BIVOUAC_NOTIFY_PRIVATE", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    notify_private: bool,
    /// Image registries, which are asked for images that previews wait for, may be at private addresses. Those of the
    /// machine, of its link and of cloud metadata are never asked
    #[arg(long, env = "BIVOUAC_PRIVATE_REGISTRIES", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    private_registries: bool,
}

/// Valid settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names and labels of this installation.
    pub instance: Instance,
    /// Namespace and name of the service's own service account.
    pub service_account: Option<(String, String)>,
    /// Where webhooks are taken.
    pub listen: SocketAddr,
    /// Where metrics are shown.
    pub metrics_listen: Option<SocketAddr>,
    /// Folder for fetched commits.
    pub cache_dir: PathBuf,
    /// How often open pull requests are compared with the records.
    pub sweep_interval: Duration,
    /// Lease by which the replicas elect a leader; `None`: this is the only one.
    pub lease: Option<String>,
    /// Name of this replica.
    pub replica: String,
    /// ConfigMap with templates of guardrails.
    pub guardrails: String,
    /// Namespaces of ingress controllers.
    pub ingress_namespaces: Vec<String>,
    /// Service whose pods answer for camps that sleep.
    pub gate_service: Option<String>,
    /// Where the gate answers.
    pub gate_listen: Option<SocketAddr>,
    /// The gate's own address, where people sign in.
    pub gate_url: Option<Origin>,
    /// How long connections through the gate go on after the end was asked for.
    pub gate_drain: Duration,
    /// Most camps at a time.
    pub max_environments: Option<usize>,
    /// Plain http to forges is allowed.
    pub allow_http: bool,
    /// Where previews are asked, in place of where their names lead.
    pub probe_address: Option<ProbeAddress>,
    /// Where the ingress controllers' figures are, and what is asked there.
    pub figures: Option<FiguresSettings>,
    /// Notices may go to private networks.
    pub notify_private: bool,
    /// Image registries may be at private addresses.
    pub private_registries: bool,
}

/// Where the ingress controllers' figures are, and what is asked there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiguresSettings {
    /// Address of a Prometheus, without a slash at its end.
    pub url: String,
    /// What is asked, with `$namespace` and `$window`.
    pub query: String,
}

/// Where the programs are that render charts and overlays, and what they may use. For every command that renders.
#[derive(Args, Clone, Debug)]
pub struct RawTools {
    /// Helm 3.12 to 4; else `helm` in PATH
    #[arg(long, env = "BIVOUAC_HELM")]
    helm: Option<PathBuf>,
    /// Kustomize 5, or a kubectl that has it; else `kustomize` or `kubectl` in PATH
    #[arg(long, env = "BIVOUAC_KUSTOMIZE")]
    kustomize: Option<PathBuf>,
    /// Folder for the files that Helm and Kustomize read while they run; else memory (/dev/shm), then disk
    #[arg(long, env = "BIVOUAC_RENDER_DIR")]
    render_dir: Option<PathBuf>,
    /// Most memory of one run of Helm or Kustomize, in MiB
    #[arg(long, env = "BIVOUAC_RENDER_MEMORY", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(64..=65536))]
    render_memory: u64,
    /// Runs of Helm and Kustomize at once
    #[arg(long, env = "BIVOUAC_RENDERERS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=256))]
    renderers: u16,
}

impl RawTools {
    /// The settings; `temporary` is a folder on disk, used where there is none in memory.
    #[must_use]
    pub fn settings(self, temporary: PathBuf) -> ToolSettings {
        let Self { helm, kustomize, render_dir, render_memory, renderers } = self;
        let mut settings = ToolSettings::new(std::env::var_os("PATH"), temporary);
        if let Some(folder) = render_dir {
            settings.scratch = vec![folder];
        }
        settings.helm = helm;
        settings.kustomize = kustomize;
        settings.memory_bytes = render_memory << 20;
        settings.at_once = usize::from(renderers);
        settings
    }
}

/// A setting that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} {value:?}: {rule}")]
pub struct InvalidSetting {
    flag: &'static str,
    value: String,
    rule: &'static str,
}

/// What Kubernetes takes as the name of most objects; a part of it may be longer than a DNS label.
fn is_subdomain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 253
        && text.split('.').all(|part| {
            part.bytes().all(|b| inner(b) || b == b'-')
                && part.bytes().next().is_some_and(inner)
                && part.bytes().last().is_some_and(inner)
        })
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number with m, h or d".to_owned())
}

fn gate_url_of(text: &str) -> Result<Option<Origin>, InvalidSetting> {
    if text.is_empty() {
        return Ok(None);
    }
    Origin::parse(text).map(Some).map_err(|_| InvalidSetting {
        flag: "gate-url",
        value: text.to_owned(),
        rule: "write https://HOST or https://HOST:PORT, without a path; http is for localhost only",
    })
}

fn figures_of(url: &str, query: &str) -> Result<Option<FiguresSettings>, InvalidSetting> {
    let invalid = |flag, value: &str, rule| InvalidSetting { flag, value: value.to_owned(), rule };
    if url.is_empty() {
        return match query {
            "" => Ok(None),
            query => {
                Err(invalid("prometheus-query", query, "say with --prometheus-url who is asked it"))
            }
        };
    }
    let parsed: Option<http::Uri> = url.parse().ok();
    let fine = parsed.as_ref().is_some_and(|uri| {
        let authority = uri.authority().is_some_and(|at| !at.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && authority && uri.query().is_none()
    });
    if !fine {
        let rule = "write http://HOST:PORT or https://HOST, with a path where it has one, without user and password";
        return Err(invalid("prometheus-url", url, rule));
    }
    let query = if query.is_empty() { crate::traffic::NGINX } else { query };
    if !query.contains("$namespace") || !query.contains("$window") {
        let rule = "write PromQL that has $namespace and $window in it";
        return Err(invalid("prometheus-query", query, rule));
    }
    let url = url.trim_end_matches('/').to_owned();
    Ok(Some(FiguresSettings { url, query: query.to_owned() }))
}

fn probe_address_of(text: Option<String>) -> Result<Option<ProbeAddress>, InvalidSetting> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|InvalidProbeAddress| InvalidSetting {
        flag: "probe-address",
        value: text,
        rule: "write HOST:PORT, a name or an address of the ingress controller and its port",
    })
}

impl Raw {
    /// The valid form, or the first setting that has none.
    pub fn settings(self) -> Result<Settings, InvalidSetting> {
        let Self {
            instance,
            namespace,
            service_account,
            namespace_prefix,
            listen,
            metrics_listen,
            cache_dir,
            sweep_interval,
            lease_name,
            replica,
            guardrails,
            ingress_namespaces,
            gate_service,
            gate_listen,
            gate_url,
            gate_drain,
            max_environments,
            allow_http,
            probe_address,
            prometheus_url,
            prometheus_query,
            notify_private,
            private_registries,
        } = self;
        let label = |flag, value: &str| {
            Label::parse(value).ok_or_else(|| InvalidSetting {
                flag,
                value: value.to_owned(),
                rule: "write a DNS label: a-z, 0-9 and -, at most 63 characters",
            })
        };
        let name = label("instance", &instance)?;
        let own = label("namespace", &namespace)?;
        if namespace_prefix.len() > 20 || Label::parse(&format!("{namespace_prefix}x")).is_none() {
            let rule = "write at most 20 of a-z, 0-9 and -, beginning with a letter or digit";
            return Err(InvalidSetting { flag: "namespace-prefix", value: namespace_prefix, rule });
        }
        let lease = lease_name.unwrap_or_else(|| format!("bivouac-{}", name.as_str()));
        if !lease.is_empty() && !is_subdomain(&lease) {
            let rule = "write a DNS name: a-z, 0-9, - and dots, at most 253 characters";
            return Err(InvalidSetting { flag: "lease-name", value: lease, rule });
        }
        if !is_subdomain(&guardrails) {
            let rule = "write a DNS name: a-z, 0-9, - and dots, at most 253 characters";
            return Err(InvalidSetting { flag: "guardrails", value: guardrails, rule });
        }
        for namespace in &ingress_namespaces {
            label("ingress-namespaces", namespace)?;
        }
        let address = |flag, text: String, rule| match text.as_str() {
            "" => Ok(None),
            written => match written.parse() {
                Ok(address) => Ok(Some(address)),
                Err(_) => Err(InvalidSetting { flag, value: text, rule }),
            },
        };
        let rule = "write ADDRESS:PORT, as 0.0.0.0:9090, or nothing";
        let metrics_listen = address("metrics-listen", metrics_listen, rule)?;
        let rule = "write ADDRESS:PORT, as 0.0.0.0:8081, or nothing";
        let gate_listen = address("gate-listen", gate_listen, rule)?;
        let gate_service = gate_service.filter(|name| !name.is_empty());
        if let Some(name) = &gate_service {
            label("gate-service", name)?;
        }
        let probe_address = probe_address_of(probe_address)?;
        let gate_url = gate_url_of(&gate_url)?;
        Ok(Settings {
            instance: Instance {
                name,
                own_namespace: own.as_str().to_owned(),
                target: "in-cluster".into(),
                namespace_prefix,
            },
            service_account: (!service_account.is_empty())
                .then(|| (own.as_str().to_owned(), service_account)),
            listen,
            metrics_listen,
            cache_dir,
            sweep_interval,
            lease: (!lease.is_empty()).then_some(lease),
            replica,
            guardrails,
            ingress_namespaces: if ingress_namespaces.is_empty() {
                INGRESS_NAMESPACES.iter().map(|name| (*name).to_owned()).collect()
            } else {
                ingress_namespaces
            },
            gate_service,
            gate_listen,
            gate_url,
            gate_drain,
            max_environments: max_environments.and_then(|most| usize::try_from(most).ok()),
            allow_http,
            probe_address,
            figures: figures_of(&prometheus_url, &prometheus_query)?,
            notify_private,
            private_registries,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        raw: Raw,
        #[command(flatten)]
        tools: RawTools,
    }

    fn settings(flags: &[&str]) -> Result<Settings, String> {
        let named: &[&str] =
            if flags.contains(&"--instance") { &[] } else { &["--instance", "main"] };
        let all = ["x"].iter().chain(named).chain(flags);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        cli.raw.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = settings(&[]).expect("the defaults are valid");
        assert_eq!(settings.service_account, Some(("bivouac-system".into(), "bivouac".into())));
        assert_eq!(settings.sweep_interval, Duration::from_secs(300));
        assert_eq!(settings.lease.as_deref(), Some("bivouac-main"));
    }

    #[test]
    fn a_setting_without_meaning_is_named_with_its_rule() {
        assert_eq!(
            settings(&["--instance", "A b"]).expect_err("no label"),
            "--instance \"A b\": write a DNS label: a-z, 0-9 and -, at most 63 characters"
        );
        assert!(settings(&["--namespace-prefix", "-x"]).is_err());
        assert!(settings(&["--probe-address", "ingress"]).is_err());
        assert!(settings(&["--lease-name", "a_b"]).is_err());
        assert!(settings(&["--metrics-listen", "9090"]).is_err());
        assert!(settings(&["--gate-url", "http://gate.example.com"]).is_err());
        let gate = settings(&["--gate-url", "https://gate.example.com/"]).expect("valid").gate_url;
        assert_eq!(gate.expect("an address").to_string(), "https://gate.example.com");
        let figures = |flags: &[&str]| settings(flags).map(|settings| settings.figures);
        assert_eq!(figures(&[]), Ok(None));
        let plain = figures(&["--prometheus-url", "http://prometheus.monitoring:9090/"]);
        let plain = plain.expect("valid").expect("figures");
        assert_eq!(plain.url, "http://prometheus.monitoring:9090");
        assert_eq!(plain.query, crate::traffic::NGINX);
        for url in ["prometheus:9090", "ftp://x", "http://u:p@x", "http://x/?a=b", "http://"] {
            assert!(figures(&["--prometheus-url", url]).is_err(), "{url}");
        }
        assert!(figures(&["--prometheus-query", "$namespace $window"]).is_err(), "nobody to ask");
        let query = ["--prometheus-url", "https://x/prom", "--prometheus-query", "up"];
        assert!(figures(&query).is_err(), "it asks for no camp");
        assert!(settings(&["--gate-listen", "8081"]).is_err());
        let gate = settings(&["--gate-listen", "0.0.0.0:8081"]).expect("valid");
        assert_eq!(gate.gate_listen, Some(([0, 0, 0, 0], 8081).into()));
        assert_eq!(gate.gate_drain, Duration::from_secs(120));
        let listen = |flags: &[&str]| settings(flags).expect("valid").metrics_listen;
        assert_eq!((listen(&[]), listen(&["--metrics-listen", ""])), (None, None));
        let local = listen(&["--metrics-listen", "127.0.0.1:9090"]);
        assert_eq!(local, Some(([127, 0, 0, 1], 9090).into()));
        assert_eq!(settings(&["--lease-name", ""]).expect("none is fine").lease, None);
        assert!(settings(&["--sweep-interval", "5 minutes"]).is_err());
        assert!(
            settings(&["--service-account", ""]).expect("none is fine").service_account.is_none()
        );
    }

    #[test]
    fn tools_have_settings_of_their_own() {
        let parse = |flags: &[&str]| {
            let all = ["x", "--instance", "main"].iter().chain(flags);
            let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
            Ok::<_, String>(cli.tools.settings("/tmp".into()))
        };
        let settings = parse(&["--helm", "/opt/helm", "--render-memory", "256"]).expect("valid");
        assert_eq!(settings.helm, Some(PathBuf::from("/opt/helm")));
        assert_eq!((settings.memory_bytes, settings.at_once), (256 << 20, 4));
        assert_eq!(settings.scratch, [PathBuf::from("/dev/shm"), PathBuf::from("/tmp")]);
        let folder = parse(&["--render-dir", "/var/x"]).expect("valid").scratch;
        assert_eq!(folder, [PathBuf::from("/var/x")]);
        assert!(parse(&["--renderers", "1"]).is_err() && parse(&["--render-memory", "1"]).is_err());
    }
}
