//! Parse, start logging, call.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    bivouac::cli::Cli::parse().run()
}
