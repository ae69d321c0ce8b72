//! Logs and metrics. Logs go to stderr, so that stdout is a command's own.

pub mod metrics;

use tracing_subscriber::EnvFilter;

/// Starts logging. Once in a process; a second call changes nothing.
pub fn start(filter: &str, format: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if format == "json" { builder.json().try_init() } else { builder.try_init() };
    // A test's process may have a subscriber already.
    drop(started);
    Ok(())
}
