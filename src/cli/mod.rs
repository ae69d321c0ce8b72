//! The command line: one file per subcommand, each parses and calls.

mod agents;
mod check;
mod cluster;
mod confine;
mod crd;
mod demo;
mod doctor;
mod fetch;
mod github;
mod local;
mod output;
mod render;
mod sandbox;
mod schema;
mod serve;
mod simulate;
mod uninstall;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What is logged when nobody says otherwise.
const LOGGED: &str = "warn,bivouac=info";

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
    #[arg(long, env = "BIVOUAC_LOG", global = true, default_value = LOGGED)]
    log: String,
    /// How it is logged: for people or for machines
    #[arg(long, env = "BIVOUAC_LOG_FORMAT", global = true, default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve pull requests: watch Repositories, take webhooks, keep camps
    Serve(Box<serve::Serve>),
    /// Play the life of pull requests on an embedded Kubernetes and GitHub, and check every step
    Demo(demo::Demo),
    /// Play random lives of pull requests, with everything that can go wrong, and check every promise
    Simulate(simulate::Simulate),
    /// Run the embedded Kubernetes and GitHub alone, to work against them
    Sandbox(sandbox::Sandbox),
    /// Show what the service would apply for a commit, without a cluster
    Render(render::Render),
    /// Look for everything that is wrong with preview file, templates and manifests
    Check(check::Check),
    /// Print the JSON Schema of the preview file, for editors
    Schema(schema::Schema),
    /// Print the custom resource definitions, for `kubectl apply -f -`
    Crd(crd::Crd),
    /// Set things up at GitHub: an App with everything that the service needs
    #[command(name = "github")]
    GitHub(github::GitHub),
    /// Find out what is wrong with an installation, in the cluster and at GitHub
    Doctor(doctor::Doctor),
    /// Take every camp down, before the service itself is removed
    Uninstall(uninstall::Uninstall),
    /// Become a tool with fewer rights (the service starts this itself)
    #[command(name = crate::confine::SUBCOMMAND, hide = true)]
    Confine(confine::Confine),
    /// Fetch one commit with fewer rights (the service starts this itself)
    #[command(name = crate::source::FETCH_SUBCOMMAND, hide = true)]
    Fetch(fetch::Fetch),
}

/// What a subcommand ends with: a sentence for people.
type Outcome = Result<(), Trouble>;

/// Why a command failed.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// A command that was called wrongly: ends with 2 and not with 1.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Misuse {
    message: String,
    #[source]
    source: Option<Trouble>,
}

impl Misuse {
    /// What is wrong, in a sentence.
    fn says(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// What is wrong, and why.
    fn with(message: impl Into<String>, source: impl Into<Trouble>) -> Self {
        Self { message: message.into(), source: Some(source.into()) }
    }

    /// The same error, with its causes.
    fn of(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { message: error.to_string(), source: causes_of(&error).map(Trouble::from) }
    }
}

/// Everything behind an error, as one sentence.
fn causes_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = error.source();
    let mut all = Vec::new();
    while let Some(cause) = next {
        all.push(cause.to_string());
        next = cause.source();
    }
    (!all.is_empty()).then(|| all.join(": "))
}

impl Cli {
    /// Runs the subcommand. 0: it did its work; 1: it failed and said why; 2: it was called wrongly.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let Self { command, log, log_format } = self;
        // Before anything else: neither a log nor a second thread may be there.
        let confined = match command {
            Command::Confine(confine) => Err(confine.run()),
            Command::Fetch(fetch) => Err(fetch.run()),
            other => Ok(other),
        };
        let command = match confined {
            Ok(command) => command,
            Err(Ok(())) => return ExitCode::SUCCESS,
            Err(Err(error)) => return fail(&*error, 125),
        };
        // A run of random failures would fill the screen with them; whoever wants to see them says so.
        let quiet = matches!(command, Command::Simulate(_)) && log == LOGGED;
        let log = if quiet { "off" } else { &log };
        if let Err(error) = crate::telemetry::start(log, &log_format) {
            return fail(&*error, 2);
        }
        // The one crypto provider of this program; a second call finds it installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let outcome = match command {
            Command::Serve(serve) => done(serve.run()),
            Command::Demo(demo) => done(demo.run()),
            Command::Simulate(simulate) => simulate.run(),
            Command::Sandbox(sandbox) => done(sandbox.run()),
            Command::Render(render) => render.run(),
            Command::Check(check) => check.run(),
            Command::Schema(schema) => done(schema.run()),
            Command::Crd(crd) => done(crd.run()),
            Command::GitHub(github) => github.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Uninstall(uninstall) => uninstall.run(),
            Command::Confine(confine) => done(confine.run()),
            Command::Fetch(fetch) => done(fetch.run()),
        };
        match outcome {
            Ok(code) => code,
            Err(error) => fail(&*error, if error.is::<Misuse>() { 2 } else { 1 }),
        }
    }
}

fn done(outcome: Outcome) -> Result<ExitCode, Trouble> {
    outcome.map(|()| ExitCode::SUCCESS)
}

fn fail(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    output::say(&format!("bivouac: {error}\n"));
    let mut next = error.source();
    while let Some(cause) = next {
        output::say(&format!("  because: {cause}\n"));
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
