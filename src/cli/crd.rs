//! `bivouac crd`: the custom resource definitions on stdout.

use clap::Args;

use super::Outcome;

/// Print the custom resource definitions.
#[derive(Args, Debug)]
pub(super) struct Crd {}

impl Crd {
    #[expect(clippy::print_stdout, reason = "the definitions are what the command is for")]
    pub(super) fn run(self) -> Outcome {
        let Self {} = self;
        print!("{}", crate::crd::definitions_yaml()?);
        Ok(())
    }
}
