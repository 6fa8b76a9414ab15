//! `msx config`

use clap::Args;

use super::terminal::print_line;
use super::up::ManifestArgs;
use crate::daemon;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  msx config                                the manifest as msx understands it
  msx config -f services.toml -f dev.toml   two manifests laid over each other
  msx config --json | jq '.services[\"a.a\"].threads.value'";

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
        let text = daemon::config(&self.manifest.options()?, self.json)?;
        print_line(text.trim_end())
    }
}
