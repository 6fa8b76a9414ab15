//! `msx config`

use super::terminal::print_line;
use super::up::ManifestArgs;
use crate::daemon;
use crate::failure::Failure;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  msx config                                the manifest as msx understands it
  msx config -f services.toml -f dev.toml   two manifests laid over each other
  msx config --json | jq '.services.a.threads.value'";

/// Check the manifest and print every setting with where its value came from.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Config {
    #[command(flatten)]
    manifest: ManifestArgs,

    /// Print JSON: the tables of the manifest, with {"value", "from"} for each setting.
    #[arg(long)]
    json: bool,
}

impl Config {
    pub fn run(self) -> Result<(), Failure> {
        print_line(daemon::config(&self.manifest.options()?, self.json)?.trim_end())
    }
}
