//! Settings of `serve`: flags and `BIVOUAC_*` variables (raw) → [`Settings`] (valid). Reads nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::domain::naming::{Instance, Label};
use crate::domain::policy::parse_duration;

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
    /// Talk to forges over plain http too: for a forge on this machine only
    #[arg(long, env = "BIVOUAC_ALLOW_HTTP", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    allow_http: bool,
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
    /// Folder for fetched commits.
    pub cache_dir: PathBuf,
    /// How often open pull requests are compared with the records.
    pub sweep_interval: Duration,
    /// Lease by which the replicas elect a leader; `None`: this is the only one.
    pub lease: Option<String>,
    /// Name of this replica.
    pub replica: String,
    /// Plain http to forges is allowed.
    pub allow_http: bool,
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

impl Raw {
    /// The valid form, or the first setting that has none.
    pub fn settings(self) -> Result<Settings, InvalidSetting> {
        let Self {
            instance,
            namespace,
            service_account,
            namespace_prefix,
            listen,
            cache_dir,
            sweep_interval,
            lease_name,
            replica,
            allow_http,
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
            cache_dir,
            sweep_interval,
            lease: (!lease.is_empty()).then_some(lease),
            replica,
            allow_http,
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
        assert!(settings(&["--lease-name", "a_b"]).is_err());
        assert_eq!(settings(&["--lease-name", ""]).expect("none is fine").lease, None);
        assert!(settings(&["--sweep-interval", "5 minutes"]).is_err());
        assert!(
            settings(&["--service-account", ""]).expect("none is fine").service_account.is_none()
        );
    }
}
