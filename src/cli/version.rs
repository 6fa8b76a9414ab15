//! `msx version`

use clap::Args;

use super::terminal::print_line;
use crate::failure::Failure;

/// Print the version of msx.
#[derive(Args)]
pub struct Version {}

impl Version {
    pub fn run(self) -> Result<(), Failure> {
        print_line(concat!("msx ", env!("CARGO_PKG_VERSION")))
    }
}
