//! `bivouac doctor`: what is wrong with an installation, in the cluster and at GitHub, and what to change.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::app;
use crate::cli::cluster::{self, Cluster};
use crate::cli::{Trouble, output, runtime};
use crate::controller::checkup::{Checkup as Look, Finding, Found, Weight, examine};
use crate::forge::Apis;
use crate::seams::Clock;

/// Something does not work.
const PROBLEMS: u8 = 3;

/// Where to look.
#[derive(Args, Debug)]
pub(in crate::cli) struct Checkup {
    #[command(flatten)]
    cluster: Cluster,
    /// Name of the installation, as `bivouac serve` has it
    #[arg(long, env = "BIVOUAC_INSTANCE", value_parser = cluster::instance)]
    instance: Option<String>,
    /// Service account that the service runs as; empty when it is a cluster administrator
    #[arg(long, env = "BIVOUAC_SERVICE_ACCOUNT", default_value = "bivouac")]
    service_account: String,
    /// Where webhooks are to arrive: compared with what GitHub has
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Ask no forge: the cluster only
    #[arg(long)]
    no_forge: bool,
    /// Show what is fine, too
    #[arg(short, long)]
    verbose: bool,
    /// Talk to forges over plain http too: for a forge on this machine only
    #[arg(long, env = "BIVOUAC_ALLOW_HTTP", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    allow_http: bool,
    /// `text` for people, `json` for one JSON object
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

impl Checkup {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        runtime()?.block_on(self.work())
    }

    async fn work(self) -> Result<ExitCode, Trouble> {
        let clock = Clock::system();
        let Some(instance) = self.instance else {
            let text = "write --instance NAME, the name that bivouac serve has";
            return Err(crate::cli::Misuse::says(text).into());
        };
        let forges = if self.no_forge {
            None
        } else {
            let transport =
                crate::forge::https_transport(self.allow_http, app::CONNECT, app::TOTAL)?;
            Some(Apis::new(transport, clock.clone()))
        };
        let look = Look {
            home: self.cluster.client().await?,
            instance,
            namespace: self.cluster.namespace.clone(),
            service_account: self.service_account,
            forges,
            allow_http: self.allow_http,
            webhook_url: self.webhook_url,
            now: clock.now(),
        };
        let found = examine(&look, &|what| output::say(&format!("looking at {what} …\n"))).await;
        let text =
            if self.output == "json" { json_of(&found) } else { text_of(&found, self.verbose) };
        output::print(&text)?;
        Ok(if found.has_problems() { ExitCode::from(PROBLEMS) } else { ExitCode::SUCCESS })
    }
}

fn text_of(found: &Found, verbose: bool) -> String {
    let mut text = String::new();
    let mut about = "";
    let shown = found.all().iter().filter(|one| verbose || one.weight > Weight::Fine);
    for Finding { about: now, weight, seen, advice } in shown {
        if now != about {
            about = now;
            let _ = writeln!(text, "{about}");
        }
        let word = match weight {
            Weight::Fine => "fine",
            Weight::Warning => "warning",
            Weight::Problem => "problem",
        };
        let _ = writeln!(text, "  {word}: {seen}");
        if let Some(advice) = advice {
            let _ = writeln!(text, "      {advice}");
        }
    }
    let count = |weight| found.all().iter().filter(|one| one.weight == weight).count();
    let _ = writeln!(
        text,
        "{} problems, {} warnings, {} fine",
        count(Weight::Problem),
        count(Weight::Warning),
        count(Weight::Fine)
    );
    text
}

fn json_of(found: &Found) -> String {
    let value = json!({
        "version": 1,
        "problems": found.has_problems(),
        "findings": found.all(),
    });
    format!("{value:#}\n")
}
