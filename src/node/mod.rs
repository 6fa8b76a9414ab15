//! The Node.js of a project: which one runs it, the SDK for it, and the services that its modules define.
//!
//! Where a user's own packages are is Node's business: it finds `node_modules` beside the modules. The SDK is written
//! to the same cache as the one for Python.

mod discover;
mod sdk;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::runtime::{Command, Host, Purpose, Runner, Setting, SetupError, bounded};

pub use discover::discover;

/// The oldest Node.js that the SDK runs on: the first with `module.register` and hooks off the main thread.
const OLDEST: (u32, u32) = (20, 6);
/// It answers in 50 ms; a slow disk and a cold cache need more.
const PROBE_BOUND: Duration = Duration::from_secs(10);
const NAMING: &str = "name one in services.toml: `[node] interpreter = \"/path/to/node\"`";

/// What a project asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The folder of the manifest.
    pub project: &'a Path,
    /// Its `.msx`.
    pub state: &'a Path,
    /// The cache that all projects of a user share.
    pub cache: &'a Path,
    /// `[node] interpreter`: a path, or a command on PATH.
    pub interpreter: Option<&'a str>,
}

/// A Node.js that is ready to run the project.
#[derive(Clone, Debug)]
pub struct Environment {
    pub interpreter: PathBuf,
    /// The folder of the SDK.
    pub sdk: PathBuf,
    /// A folder for short-lived files.
    scratch: PathBuf,
}

/// Chooses Node.js and writes the SDK.
pub async fn prepare(request: &Request<'_>, run: &Runner) -> Result<Environment, SetupError> {
    let host = Host::of_this_process();
    let interpreter = choose(request, &host)?;
    check_version(request, &interpreter, &host, run).await?;
    let sdk = sdk::install(request.cache).await?;
    Ok(Environment { interpreter, sdk, scratch: request.state.join("tmp") })
}

fn choose(request: &Request<'_>, host: &Host) -> Result<PathBuf, SetupError> {
    let found = match request.interpreter {
        Some(path) if path.contains('/') => Some(request.project.join(path).components().collect()),
        Some(command) => host.find(command),
        None => host.find("node"),
    };
    found.ok_or_else(|| missing(request))
}

fn missing(request: &Request<'_>) -> SetupError {
    let name = request.interpreter.unwrap_or("node");
    let message = format!("the services of `[node]` need Node.js, and there is no `{name}` on PATH");
    let (major, minor) = OLDEST;
    let help =
        format!("install Node.js {major}.{minor} or newer from nodejs.org or your distribution, or {NAMING}");
    SetupError::new(message, help).about(Setting::NodeInterpreter)
}

async fn check_version(
    request: &Request<'_>,
    interpreter: &Path,
    host: &Host,
    run: &Runner,
) -> Result<(), SetupError> {
    let command = Command {
        argv: vec![interpreter.into(), OsString::from("--version")],
        env: host.environment(&[]),
        cwd: request.project.to_owned(),
        lines: None,
    };
    let help = format!("run the same command to see why it hangs, or {NAMING}");
    let purpose = Purpose { doing: "ask Node.js for its version", bound: PROBE_BOUND, help: &help };
    let finished =
        bounded(run, command, &purpose).await.map_err(|error| error.about(Setting::NodeInterpreter))?;
    let answer = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    let shown = interpreter.display();
    let (major, minor) = OLDEST;
    let error = match version(&answer) {
        Some(found) if finished.status_ok && found >= OLDEST => return Ok(()),
        Some(_) if finished.status_ok => SetupError::new(
            format!("`{shown}` is Node.js {answer}, and msx needs {major}.{minor} or newer"),
            format!("install a newer one, or {NAMING}"),
        ),
        _ => SetupError::new(
            format!("`{shown} --version` ended with {} and told no version of Node.js", finished.status),
            NAMING,
        )
        .with_detail(&finished.last_words()),
    };
    Err(error.about(Setting::NodeInterpreter))
}

/// `v20.20.2`
fn version(answer: &str) -> Option<(u32, u32)> {
    let mut parts = answer.strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("v20.20.2"), Some((20, 20)));
        assert_eq!(version("v24.0.0-nightly"), Some((24, 0)));
        assert_eq!(version("Python 3.11.7"), None);
        assert_eq!(version(""), None);
    }
}
