//! Which cluster a command talks to, and whose installation there. I/O: the kubeconfig.

use std::path::PathBuf;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::{Misuse, Trouble};
use crate::domain::naming::Label;

/// The cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct Cluster {
    /// How the API server is reached; else KUBECONFIG, or the cluster that this runs in
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; the current one when it is not given
    #[arg(long)]
    context: Option<String>,
    /// Namespace of the service's own resources
    #[arg(long, env = "BIVOUAC_NAMESPACE", default_value = "bivouac-system")]
    pub(super) namespace: String,
}

impl Cluster {
    /// A client with the rights of the person who calls.
    pub(super) async fn client(&self) -> Result<Client, Trouble> {
        let Self { kubeconfig, context, namespace } = self;
        if Label::parse(namespace).is_none() {
            let text = format!("--namespace {namespace:?}: write a DNS label");
            return Err(Misuse::says(text).into());
        }
        let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
        let unusable = |path: &str, error| {
            Trouble::from(Misuse::with(
                format!("the kubeconfig {path} can't be used"),
                Trouble::from(error),
            ))
        };
        let config = match (kubeconfig, context) {
            (Some(path), _) => {
                let shown = path.display().to_string();
                let file = Kubeconfig::read_from(path)
                    .map_err(|error| unusable(&shown, Box::new(error) as Trouble))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| unusable(&shown, Box::new(error) as Trouble))?
            }
            (None, Some(_)) => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| unusable("of KUBECONFIG", Box::new(error) as Trouble))?,
            (None, None) => Config::infer().await?,
        };
        Ok(Client::try_from(config)?)
    }
}

/// The name of an installation, when it is one.
pub(super) fn instance(text: &str) -> Result<String, String> {
    Label::parse(text)
        .map(|label| label.as_str().to_owned())
        .ok_or_else(|| "write a DNS label: a-z, 0-9 and -, at most 63 characters".to_owned())
}

/// A time-out as 90s, 5m, 1h.
pub(super) fn timeout(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || "write a number with s, m or h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(std::time::Duration::from_secs(u64::from(number).saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_out_has_a_unit() {
        assert_eq!(timeout("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(timeout("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(timeout("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "5", "m", "5 m", "-5m", "5ä"] {
            assert!(timeout(wrong).is_err(), "{wrong:?}");
        }
    }
}
