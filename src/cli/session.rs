//! What most verbs begin with: the project of this folder, its hub, and a request that Ctrl-C ends.

use std::env;
use std::future::Future;
use std::io;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use crate::control::client::{Client, ClientError};
use crate::failure::Failure;
use crate::project::{MANIFEST, Project};

/// Where the command was started (or `-C`).
pub fn current_folder() -> Result<PathBuf, Failure> {
    env::current_dir().map_err(|e| Failure::failed(format!("cannot find out the current folder: {e}")))
}

/// The project that the current folder belongs to.
pub fn project() -> Result<Project, Failure> {
    let here = current_folder()?;
    Project::find(&here)?.ok_or_else(|| no_project(&here.display().to_string()))
}

/// That, or the folder itself as a project: a file can be run without one.
pub fn project_or_folder() -> Result<Project, Failure> {
    let here = current_folder()?;
    Project::find(&here)?.map_or_else(|| Project::at(&here), Ok)
}

fn no_project(folder: &str) -> Failure {
    Failure::usage(format!("there is no project here: neither {folder} nor a folder above it has a {MANIFEST}"))
        .with_help("go to the project or name it with `-C DIR`; `msx up FILE.py` starts the services of a file without a manifest")
}

/// A client of the hub that runs for this project.
pub fn connect(project: &Project) -> Result<Client, Failure> {
    let root = project.root().display();
    if !project.hub_running()? {
        return Err(
            Failure::failed(format!("no hub is running for {root}")).with_help("start it with `msx up`")
        );
    }
    match project.read_hub()? {
        Some(hub) => Ok(Client::new(&hub.socket)?),
        None => Err(Failure::failed(format!("the hub of {root} is not ready: it is starting or ending"))
            .with_help("try again in a moment")),
    }
}

/// A client of the hub of this folder's project.
pub fn hub() -> Result<Client, Failure> {
    connect(&project()?)
}

/// One request to it, which Ctrl-C drops; `interrupted` says what became of it then.
pub fn request<T>(
    interrupted: &str,
    request: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    block_on(interrupted, async { Ok(request.await?) })
}

/// Runs the requests of a verb until they end or Ctrl-C drops them; `interrupted` says what became of them then.
pub fn block_on<T>(
    interrupted: &str,
    request: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let cannot = |what: &str, e: &io::Error| Failure::failed(format!("cannot {what}: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| cannot("start the event loop of msx", &e))?;
    runtime.block_on(async {
        // Before the request begins, so that no Ctrl-C falls between.
        let mut ctrl_c = signal(SignalKind::interrupt()).map_err(|e| cannot("listen for Ctrl-C", &e))?;
        tokio::select! {
            result = request => result,
            _ = ctrl_c.recv() => Err(Failure::interrupted(interrupted)),
        }
    })
}
