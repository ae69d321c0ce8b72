//! What the cluster engine takes: from a webhook to an applied bundle, stage by stage and beside `git`, `kubectl` and a
//! plain client; a drift until it is put back; and, with `--many`, many pull requests at once, alone and beside
//! neighbours that never end. The service runs as a process of its own; cluster and forge are embedded in this one.
//! Reads `/proc`, so it needs Linux.
//!
//! `cargo bench --bench engine` and `cargo bench --bench engine -- --many`

#[path = "engine/baseline.rs"]
mod baseline;
#[path = "engine/chain.rs"]
mod chain;
#[path = "engine/drift.rs"]
mod drift;
#[path = "engine/elsewhere.rs"]
mod elsewhere;
#[path = "engine/many.rs"]
mod many;
#[path = "engine/neighbours.rs"]
mod neighbours;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/preview.rs"]
mod preview;
#[path = "common/serve.rs"]
mod serve;
#[path = "engine/trace.rs"]
mod trace;
#[path = "engine/world.rs"]
mod world;

use std::path::PathBuf;
use std::time::Duration;

use bivouac::seams::BoxError;
use clap::Parser;
use elsewhere::Elsewhere;
use numbers::say;
use serde_json::json;
use tokio::time::Instant;
use world::World;

/// No further round begins after this time: the whole takes less than six minutes on a slow machine, too.
const ROUNDS: Duration = Duration::from_secs(240);

#[derive(Parser)]
struct Args {
    /// Many pull requests at once, in place of one after another
    #[arg(long)]
    many: bool,
    /// Pull requests, one after another
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// Objects of each bundle
    #[arg(long, default_value_t = 20)]
    objects: usize,
    /// Changes by hand that are to be put back
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// With `--many`: pull requests at once
    #[arg(long, default_value_t = 200)]
    pulls: usize,
    /// With `--many`: people who open them
    #[arg(long, default_value_t = 10)]
    authors: usize,
    /// With `--many`: how often it is done, each time alone and beside bad neighbours
    #[arg(long, default_value_t = 2)]
    pairs: usize,
    /// A real API server to spare, as its administrator, in place of the embedded one; not with `--many`
    #[arg(long, requires = "audit_log", conflicts_with = "many")]
    kubeconfig: Option<PathBuf>,
    /// Where that API server writes its audit log
    #[arg(long, requires = "kubeconfig")]
    audit_log: Option<PathBuf>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// `cargo bench` gives it; without it nothing is measured
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), BoxError> {
    // One of the bad neighbours is a chart that never ends, rendered by this very program.
    if let Some(order) = neighbours::order() {
        order.obey();
        return Ok(());
    }
    let args = Args::parse();
    if !args.bench {
        say("nothing is measured outside of `cargo bench`");
        return Ok(());
    }
    // A second provider would be a mistake of ours; a first one that is there is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            // What is dropped ends its processes.
            () = stopped() => Err("ended by a signal: nothing was measured".into()),
            measured = measure(&args) => measured,
        }
    })
}

/// SIGINT and SIGTERM, so that no process is left behind.
async fn stopped() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn measure(args: &Args) -> Result<(), BoxError> {
    let began = Instant::now();
    if args.many {
        let found = Box::pin(many::measure(args)).await?;
        if args.json { say(&found.json(args).to_string()) } else { found.table(args) }
    } else {
        let folder = tempfile::tempdir()?;
        let elsewhere = args.kubeconfig.clone().zip(args.audit_log.clone());
        let elsewhere =
            elsewhere.map(|(kubeconfig, audit_log)| Elsewhere { kubeconfig, audit_log });
        let world = World::raise(folder.path(), args.objects, &[], elsewhere).await?;
        let measured = one_by_one(&world, args).await;
        let (chain, drift) = world.end(measured).await?;
        if args.json {
            let both = json!({
                "cores": numbers::cores(),
                "objects": args.objects,
                "chain": chain.json(),
                "drift": drift.json(&[50, 95, 100]),
            });
            say(&both.to_string());
        } else {
            chain.table(args);
            drift::table(&drift);
        }
    }
    if !args.json {
        say(&format!("took {:.0} s on {} cores", began.elapsed().as_secs_f64(), numbers::cores()));
    }
    Ok(())
}

async fn one_by_one(
    world: &World,
    args: &Args,
) -> Result<(chain::Found, numbers::Sample), BoxError> {
    let chain = chain::measure(world, args.rounds, args.objects, Instant::now() + ROUNDS).await?;
    let drift = drift::measure(world, args.changes).await?;
    Ok((chain, drift))
}
