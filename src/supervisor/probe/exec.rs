//! `exec`: whether a program of the user's ends with status 0. It runs as the instance does, in a process group of its
//! own, which ends with the attempt.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::guard::{Guard, SpawnSpec};
use crate::supervisor::program::{Home, words};

/// What the program finds around it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub env: Vec<(OsString, OsString)>,
    pub cwd: PathBuf,
}

/// Dropping this kills the program.
pub async fn ask(
    guard: &Guard,
    surroundings: &Surroundings,
    argv: &[String],
    home: Option<&Home>,
) -> Result<(), String> {
    let Surroundings { env, cwd } = surroundings.clone();
    let spec = SpawnSpec { argv: words(argv, home), env, cwd, fds: Vec::new() };
    let mut process = guard.spawn(spec).await.map_err(|error| error.to_string())?;
    let status = process.exited().await;
    if status.is_success() { Ok(()) } else { Err(status.to_string()) }
}
