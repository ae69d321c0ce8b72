//! `bivouac sandbox agents`: the sandbox's controllers, nodes and ingress against any API server. I/O: that server, and a
//! listener for pages.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::serve::stop_on_signal;
use crate::sandbox::cluster::controllers;
use crate::sandbox::cluster::nodes::agents;
use crate::seams::{Clock, Rng};

/// Run the sandbox's controllers, nodes and ingress against any API server, until Ctrl-C.
///
/// For an API server that has neither: never for a cluster with nodes of its own, with which they would fight over the
/// same objects.
#[derive(Args, Debug)]
pub(super) struct Agents {
    /// How the API server is reached, as somebody who may do everything
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Context of that file; the current one when it is not given
    #[arg(long)]
    context: Option<String>,
    /// The API server has a controller manager of its own: run nodes and ingress only
    #[arg(long)]
    without_controllers: bool,
    /// Where the pages of Ingress hosts are served; a free port when it is 0
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// `text` for people, `json` for one JSON object
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

/// Why the agents did not start.
#[derive(Debug, thiserror::Error)]
enum AgentsError {
    #[error("the kubeconfig {path} can't be used")]
    Kubeconfig {
        path: String,
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("the API server {address} can't be asked")]
    Unreachable {
        address: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("can't listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

impl Agents {
    #[expect(clippy::print_stdout, reason = "the addresses are what the command is for")]
    pub(super) fn run(self) -> Outcome {
        let Self { kubeconfig, context, without_controllers, listen, output } = self;
        super::runtime()?.block_on(async {
            let config = read(&kubeconfig, context).await?;
            let address = config.cluster_url.to_string();
            let options = if without_controllers {
                agents::Options::beside_a_controller_manager()
            } else {
                let controllers = controllers::Options::for_authority(&config);
                agents::Options { controllers: Some(controllers), ..agents::Options::default() }
            };
            let unreachable = |source| AgentsError::Unreachable {
                // A path may hold the sandbox's token.
                address: address_of(&address),
                source: Box::new(source),
            };
            let client = Client::try_from(config).map_err(unreachable)?;
            let version = client.apiserver_version().await.map_err(unreachable)?.git_version;
            let failed = |source| AgentsError::Listen { address: listen, source };
            let listener = TcpListener::bind(listen).await.map_err(failed)?;
            let door = listener.local_addr()?;

            let stop = CancellationToken::new();
            tokio::spawn(stop_on_signal(stop.clone()));
            let agents = agents::start(client, Clock::system(), &Rng::system(), options);
            if output == "json" {
                let all = serde_json::json!({
                    "cluster": address_of(&address),
                    "kubernetes": version,
                    "ingress": format!("http://{door}"),
                });
                println!("{all:#}");
            } else {
                println!("API server  {} ({version})", address_of(&address));
                println!(
                    "ingress     http://{door}          (curl -H 'Host: NAME' http://{door}/)"
                );
                println!("Ctrl-C ends it.");
            }
            agents.ingress().serve(listener, stop.clone()).await?;
            agents.stop().await;
            Ok(())
        })
    }
}

/// The part of an address that may be shown.
fn address_of(url: &str) -> String {
    let uri: Option<http::Uri> = url.parse().ok();
    let shown = uri.and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
    shown.unwrap_or_else(|| "of the kubeconfig".into())
}

async fn read(path: &PathBuf, context: Option<String>) -> Result<Config, AgentsError> {
    let wrong = |source| AgentsError::Kubeconfig {
        path: path.display().to_string(),
        source: Box::new(source),
    };
    let file = Kubeconfig::read_from(path).map_err(wrong)?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(file, &options).await.map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_token() {
        assert_eq!(address_of("http://127.0.0.1:7/user/secret"), "http://127.0.0.1:7");
        assert_eq!(address_of("no address"), "of the kubeconfig");
    }
}
