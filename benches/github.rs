//! What the service costs at GitHub and how fast it takes its webhooks: calls for the life of a pull request, by kind; what
//! quiet environments and a restart among many open pull requests take of the rate; and deliveries in a second over 64
//! connections, with the service as a process of its own on one core. Calls are counted on the embedded GitHub, in virtual
//! time; only the webhook's part takes real time and needs Linux.
//!
//! `cargo bench --bench github`, or a part of it: `cargo bench --bench github -- webhook`

#[path = "github/count.rs"]
mod count;
#[path = "github/life.rs"]
mod life;
#[path = "github/load.rs"]
mod load;
#[path = "github/many.rs"]
mod many;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/serve.rs"]
mod serve;
#[path = "github/webhook.rs"]
mod webhook;

use std::future::Future;

use bivouac::seams::BoxError;
use clap::{Parser, ValueEnum};
use numbers::say;
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// Calls for the life of a pull request
    Life,
    /// Calls of many environments, quiet and after a restart
    Many,
    /// Deliveries in a second, and how long they take
    Webhook,
}

#[derive(Parser)]
struct Args {
    /// Which parts; all of them without any
    parts: Vec<Part>,
    /// Pull requests that are open, each with its environment, and quiet for an hour
    #[arg(long, default_value_t = 500)]
    quiet: usize,
    /// Pull requests that are open when the service starts again
    #[arg(long, default_value_t = 1000)]
    resync: usize,
    /// Deliveries in a second
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Seconds for each mix of deliveries
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Pull requests of the first mix
    #[arg(long, default_value_t = 2000)]
    pulls: usize,
    /// A fraction of everything, to see that it works: the figures say nothing
    #[arg(long)]
    small: bool,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// `cargo bench` gives it; without it nothing is measured
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), BoxError> {
    let mut args = Args::parse();
    if !args.bench {
        say("nothing is measured outside of `cargo bench`");
        return Ok(());
    }
    if args.small {
        args.quiet = 8;
        args.resync = 12;
        args.rate = 100;
        args.seconds = 3;
        args.pulls = 40;
    }
    // A second provider would be a mistake of ours; a first one that is there is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = |part: Part| args.parts.is_empty() || args.parts.contains(&part);
    let mut all = json!({"cores": numbers::cores()});
    if wanted(Part::Life) {
        for login in life::Login::ALL {
            let found = in_virtual_time(life::measure(login))?;
            if !args.json {
                found.table();
            }
            all[format!("life as {}", login.word())] = found.json();
        }
    }
    if wanted(Part::Many) {
        let found = in_virtual_time(many::measure(args.quiet, args.resync))?;
        if !args.json {
            found.table();
        }
        all["many"] = found.json();
    }
    if wanted(Part::Webhook) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let found = runtime.block_on(webhook::measure(&args))?;
        if !args.json {
            found.table();
        }
        all["webhook"] = found.json();
    }
    if args.json {
        say(&all.to_string());
    }
    Ok(())
}

/// One thread, and a clock that goes on when nobody has anything to do.
fn in_virtual_time<T>(work: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(work)
}
