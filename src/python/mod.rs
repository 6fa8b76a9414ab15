//! The Python of a project: which interpreter runs it, the packages that it and msx need, and the services that its
//! modules define.
//!
//! Everything made here is kept, under a name made from what it depends on, so that it is made once: the SDK and
//! the packages that msx needs in the user's cache, the project's own packages in `.msx/env/`. The names are 64-bit
//! hashes: nobody but the owner of those folders chooses what goes in. Programs are started by the caller's
//! [`Runner`] only.

mod candidates;
mod discover;
mod install;
mod interpreter;
mod machine;
mod packages;
mod requirements;
mod script;
mod sdk;
mod shadow;
mod source;
mod specifier;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::protocol::progress::Progress;
use crate::runtime::{Host, Runner, SetupError};
use requirements::Requirements;

pub use candidates::{Candidate, candidates, script_file};
pub use discover::discover;

/// What a project asks for. Paths are absolute, or relative to the project.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The folder of the manifest.
    pub project: &'a Path,
    /// Its `.msx`.
    pub state: &'a Path,
    /// The cache that all projects of a user share: `$XDG_CACHE_HOME/msx`.
    pub cache: &'a Path,
    /// `[python] interpreter`: a path, or a command on PATH.
    pub interpreter: Option<&'a str>,
    /// `[python] requirements`: a requirements file or a `pyproject.toml`.
    pub requirements: Option<&'a Path>,
    /// Files whose PEP 723 blocks are read (zero configuration).
    pub scripts: &'a [Candidate],
    /// Folders for `sys.path`, which exist.
    pub path: &'a [PathBuf],
}

/// A Python that is ready to run the project.
#[derive(Clone, Debug)]
pub struct Environment {
    pub interpreter: PathBuf,
    /// `3.11.7`
    pub version: String,
    /// Value of PYTHONPATH: the SDK, the packages, the project's folders, and what PYTHONPATH was.
    pub python_path: OsString,
    /// The project's folders among them.
    pub folders: Vec<PathBuf>,
    /// A folder for short-lived files.
    pub scratch: PathBuf,
}

/// Makes Python ready. The slow steps are told to `progress`; a second time there are none.
pub async fn prepare(
    request: &Request<'_>,
    run: &Runner,
    progress: &dyn Fn(Progress),
) -> Result<Environment, SetupError> {
    Context { request, run, progress, host: Host::of_this_process() }.prepare().await
}

/// What every step of a preparation needs.
struct Context<'a> {
    request: &'a Request<'a>,
    run: &'a Runner,
    progress: &'a dyn Fn(Progress),
    host: Host,
}

impl Context<'_> {
    async fn prepare(&self) -> Result<Environment, SetupError> {
        let base = interpreter::choose(self).await?;
        let requirements = Requirements::read(self.request)?;
        requirements.check_python(&base.interpreter)?;
        let sdk = sdk::install(self.request.cache).await?;
        let (python, own) = packages::of_project(self, base, &requirements).await?;
        let needed = packages::of_msx(self, &python).await?;
        let folders = [sdk].into_iter().chain(needed).chain(own);
        Ok(Environment {
            python_path: self.python_path(folders)?,
            version: python.interpreter.version_text(),
            interpreter: python.interpreter.path,
            folders: self.project_folders().collect(),
            scratch: self.request.state.join("tmp"),
        })
    }

    fn python_path(&self, first: impl Iterator<Item = PathBuf>) -> Result<OsString, SetupError> {
        let project = self.project_folders();
        let inherited = self.host.var("PYTHONPATH").map(std::env::split_paths).into_iter().flatten();
        std::env::join_paths(first.chain(project).chain(inherited)).map_err(|error| {
            let message = format!("could not put the project's folders on PYTHONPATH: {error}");
            SetupError::new(message, "move the project or the cache to a path without a colon")
        })
    }

    fn project_folders(&self) -> impl Iterator<Item = PathBuf> {
        self.request.path.iter().map(|folder| self.request.project.join(folder))
    }

    fn preparing(&self, what: &str, done: u64, total: u64) {
        (self.progress)(Progress::Preparing { what: what.to_owned(), done, total });
    }
}
