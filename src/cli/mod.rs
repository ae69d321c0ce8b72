//! The command line: one file per subcommand, each parses and calls.

mod agents;
mod crd;
mod demo;
mod sandbox;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A camp for every pull request: an isolated Kubernetes namespace, rendered from the infrastructure-as-code at its head
/// commit, with one comment that stays true, and gone without a trace when it closes.
///
/// Try it: `bivouac demo` plays a whole life on an embedded Kubernetes and GitHub; nothing else is needed.
#[derive(Debug, Parser)]
#[command(name = "bivouac", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged to stderr, as `info` or `bivouac=debug,kube=warn`
    #[arg(long, env = "BIVOUAC_LOG", global = true, default_value = "warn,bivouac=info")]
    log: String,
    /// How it is logged: for people or for machines
    #[arg(long, env = "BIVOUAC_LOG_FORMAT", global = true, default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve pull requests: watch Repositories, take webhooks, keep camps
    Serve(serve::Serve),
    /// Play the life of pull requests on an embedded Kubernetes and GitHub, and check every step
    Demo(demo::Demo),
    /// Run the embedded Kubernetes and GitHub alone, to work against them
    Sandbox(sandbox::Sandbox),
    /// Print the custom resource definitions, for `kubectl apply -f -`
    Crd(crd::Crd),
}

/// What a subcommand ends with: a sentence for people.
type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl Cli {
    /// Runs the subcommand. 0: it did its work; 1: it failed and said why; 2: it was called wrongly.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let Self { command, log, log_format } = self;
        if let Err(error) = crate::telemetry::start(&log, &log_format) {
            return fail(&*error, 2);
        }
        // The one crypto provider of this program; a second call finds it installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let outcome = match command {
            Command::Serve(serve) => serve.run(),
            Command::Demo(demo) => demo.run(),
            Command::Sandbox(sandbox) => sandbox.run(),
            Command::Crd(crd) => crd.run(),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&*error, 1),
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a command goes to the person who called it"
)]
fn fail(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    eprintln!("bivouac: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        eprintln!("  because: {cause}");
        next = cause.source();
    }
    ExitCode::from(code)
}

/// A runtime for a command that serves.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
