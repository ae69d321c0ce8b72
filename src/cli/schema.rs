//! `bivouac schema`: the JSON Schema of the preview file on stdout.

use clap::{Args, ValueEnum};

use super::Trouble;
use super::output::print;
use crate::domain::preview_file::json_schema;

/// Print the JSON Schema of the preview file, for editors.
///
/// An editor with a YAML language server checks and completes the preview file when its first line names the schema:
///
///   # yaml-language-server: $schema=./preview-file.schema.json
#[derive(Args, Debug)]
#[command(
    after_long_help = "Example:\n  bivouac schema > preview-file.schema.json\n\nExit codes:\n  0  printed\n  2  wrong usage"
)]
pub(super) struct Schema {
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = Output::Json)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Json,
}

impl Schema {
    pub(super) fn run(self) -> Result<(), Trouble> {
        let Self { output: Output::Json } = self;
        print(&format!("{:#}\n", json_schema()))?;
        Ok(())
    }
}
