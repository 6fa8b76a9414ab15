//! Placeholder until the hub is wired.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::failure::Failure;
use crate::project::{DYING_MAX, Project};
use crate::protocol::progress::Progress;

pub struct UpOptions {
    pub project: Project,
    pub manifests: Vec<PathBuf>,
    pub target: Option<PathBuf>,
    pub scale: Vec<(String, u32)>,
    pub watch: bool,
}

pub fn run(options: UpOptions, _report: Arc<dyn Fn(Progress) + Send + Sync>) -> Result<(), Failure> {
    let _lock = options.project.acquire(DYING_MAX)?;
    Err(Failure::failed("the hub is not built yet"))
}

pub fn config(_options: &UpOptions, _json: bool) -> Result<String, Failure> {
    Err(Failure::failed("the manifest is not built yet"))
}

pub fn guard() -> ExitCode {
    ExitCode::FAILURE
}
