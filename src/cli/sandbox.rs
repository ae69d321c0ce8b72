//! `bivouac sandbox`: the embedded Kubernetes and GitHub alone, for work against them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Outcome;
use super::agents::Agents;
use crate::app::stage::{self, Stage};
use crate::seams::{Clock, Rng};

/// Run the embedded Kubernetes and GitHub alone, until Ctrl-C.
///
/// The cluster has our definitions and roles and a Repository for the one repository at the embedded GitHub; start
/// `bivouac serve` beside it as the last lines show, or any client of your own.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Sandbox {
    #[command(subcommand)]
    command: Option<Part>,
    /// Leave out controllers, nodes and ingress: a bare API server, for agents in another process
    #[arg(long)]
    without_agents: bool,
    /// Folder for git repositories and the kubeconfig; a temporary one when it is not given
    #[arg(long)]
    folder: Option<PathBuf>,
    /// `text` for people, `json` for one JSON object
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Run the sandbox's controllers, nodes and ingress against any API server, until Ctrl-C
    Agents(Agents),
}

impl Sandbox {
    #[expect(clippy::print_stdout, reason = "the addresses are what the command is for")]
    pub(super) fn run(self) -> Outcome {
        let Self { command, without_agents, folder, output } = self;
        if let Some(Part::Agents(agents)) = command {
            return agents.run();
        }
        let temporary = tempfile::tempdir()?;
        let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
        std::fs::create_dir_all(&folder)?;
        super::runtime()?.block_on(async {
            let (clock, rng) = (Clock::system(), Rng::system());
            let world = if without_agents {
                Stage::without_agents(&folder, clock, rng).await?
            } else {
                Stage::without_service(&folder, clock, rng).await?
            };
            let Some(at) = &world.addresses else { return Err("the sandbox has no addresses".into()) };
            let kubeconfig = at.kubeconfig.display();
            let github = format!("http://{}", at.github);
            if output == "json" {
                let all = serde_json::json!({
                    "kubeconfig": at.kubeconfig,
                    "cluster": format!("http://{}", at.cluster),
                    "github": github,
                    "api": format!("{github}/api/v3"),
                    "git": format!("{github}/{}.git", stage::REPOSITORY),
                    "token": world.tokens.maintainer,
                    "serviceToken": world.tokens.service,
                    "webhookSecret": world.webhook_secret,
                    "webhookUrl": format!("http://{}/webhook", at.service),
                    "ingress": format!("http://{}", at.ingress),
                });
                println!("{all:#}");
            } else {
                println!("kubeconfig      {kubeconfig}          (export KUBECONFIG={kubeconfig})");
                println!("GitHub          {github}");
                println!("GitHub API      {github}/api/v3");
                println!("git             {github}/{}.git", stage::REPOSITORY);
                println!("token           {}          ({}, an administrator of it)", world.tokens.maintainer, stage::MAINTAINER);
                println!("webhook secret  {}", world.webhook_secret);
                println!("webhook goes to http://{}/webhook", at.service);
                println!("previews        http://NAME.{}:{}", stage::DOMAIN, at.ingress.port());
                println!();
                if without_agents {
                    println!("Controllers, nodes and ingress:");
                    println!("  bivouac sandbox agents --kubeconfig {kubeconfig} --listen {}", at.ingress);
                }
                println!("The service beside it:");
                println!(
                    "  KUBECONFIG={kubeconfig} bivouac serve --instance demo --allow-http --service-account '' --listen {} --cache-dir {}",
                    at.service,
                    folder.join("cache").display()
                );
                println!("Ctrl-C ends it.");
            }
            tokio::signal::ctrl_c().await?;
            world.end().await;
            Ok(())
        })
    }
}
