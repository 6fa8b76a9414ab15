//! `msx metrics`

use clap::Args;

use super::session;
use super::terminal::print_line;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  msx metrics | grep refused
  curl --unix-socket \"$(jq -r .socket .msx/hub.json)\" http://msx/metrics    what a scraper does";

/// Print the numbers of the hub in the text format of Prometheus.
///
/// The hub serves them as /metrics on its control socket, which only its owner may open.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Metrics {}

impl Metrics {
    pub fn run(self) -> Result<(), Failure> {
        let client = session::connect(&session::project()?)?;
        let text = session::block_on("", async { Ok(client.metrics().await?) })?;
        print_line(text.trim_end())
    }
}
