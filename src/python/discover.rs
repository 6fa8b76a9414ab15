//! Which services the project's modules define. A helper process imports them: user code never runs in the hub.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Environment;
use super::error::PythonError;
use super::host::Host;
use super::run::{Command, Purpose, Runner, bounded};
use super::shadow;
use crate::model::{Language, ServiceName, WorkerKind};

/// Importing heavy libraries takes seconds; a module that does its work on import would take forever.
const DISCOVERY_BOUND: Duration = Duration::from_secs(60);
/// Thousands of services with their schemas fit in this.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was found in the modules.
#[derive(Debug, Default, Deserialize)]
pub struct Discovery {
    pub services: Vec<FoundService>,
    /// Modules that cannot be used.
    pub errors: Vec<ModuleError>,
}

/// A decorated function.
#[derive(Debug, Deserialize)]
pub struct FoundService {
    #[serde(deserialize_with = "service_name")]
    pub name: ServiceName,
    #[serde(skip)]
    pub language: Language,
    pub module: String,
    #[serde(with = "Kind")]
    pub kind: WorkerKind,
    pub file: PathBuf,
    pub line: u32,
    /// The options given to the decorator.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Carried to whoever describes the service, see the protocol.
    pub signature: Box<RawValue>,
}

/// Why a module cannot be used.
#[derive(Debug, Deserialize)]
pub struct ModuleError {
    pub module: String,
    /// Where it failed, as far as that is in a file.
    pub file: Option<PathBuf>,
    pub line: Option<u32>,
    pub message: String,
    pub traceback: String,
}

#[derive(Deserialize)]
#[serde(remote = "WorkerKind", rename_all = "lowercase")]
enum Kind {
    Def,
    Async,
}

fn service_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServiceName, D::Error> {
    String::deserialize(deserializer).map(ServiceName::new)
}

/// Imports the modules in a helper process and returns the services that they define.
pub async fn discover(
    environment: &Environment,
    modules: &[String],
    run: &Runner,
    cwd: &Path,
) -> Result<Discovery, PythonError> {
    if modules.is_empty() {
        return Ok(Discovery { services: Vec::new(), errors: Vec::new() });
    }
    let answer = Answer::new(&environment.scratch)?;
    let command = Command {
        argv: argv(environment, modules, &answer.0),
        env: Host::of_this_process().environment(&[("PYTHONPATH", &environment.python_path)]),
        cwd: cwd.to_owned(),
        lines: None,
    };
    let help = "a module must only define things when it is imported: put what it does under \
                `if __name__ == \"__main__\":` or into `@msx.on_start`";
    let purpose = Purpose { doing: "import the project's modules", bound: DISCOVERY_BOUND, help };
    let finished = bounded(run, command, &purpose).await?;
    if !finished.status_ok || !answer.0.exists() {
        let shadowed = shadow::explain(environment, run, cwd).await;
        let error = shadowed.unwrap_or_else(|| ended_early(modules, &finished.status));
        return Err(error.with_detail(&finished.last_words()));
    }
    answer.read().map_err(|error| error.with_detail(&finished.last_words()))
}

fn argv(environment: &Environment, modules: &[String], answer: &Path) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec![environment.interpreter.clone().into()];
    argv.extend(["-m", "msx._discover", "--out"].map(OsString::from));
    argv.push(answer.into());
    argv.extend(modules.iter().map(OsString::from));
    argv
}

fn ended_early(modules: &[String], status: &str) -> PythonError {
    let message = format!("the process that imports {} ended early, with {status}", listed(modules));
    PythonError::new(message, "a module must neither end nor crash the process when it is imported")
}

fn listed(modules: &[String]) -> String {
    let names: Vec<String> = modules.iter().map(|module| format!("`{module}`")).collect();
    names.join(", ")
}

/// The file that the helper writes; a stream would carry what user code prints too.
pub struct Answer(pub PathBuf);

impl Answer {
    pub fn new(scratch: &Path) -> Result<Self, PythonError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(scratch).map_err(|error| PythonError::io("create the folder", scratch, &error))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Ok(Self(scratch.join(format!("discovery-{}-{number}.json", std::process::id()))))
    }

    pub fn read(&self) -> Result<Discovery, PythonError> {
        let size = fs::metadata(&self.0).map_err(|error| PythonError::io("read", &self.0, &error))?.len();
        if size > ANSWER_BYTES_MAX {
            let message = format!(
                "the services of the project take {size} bytes to describe, more than {ANSWER_BYTES_MAX}"
            );
            return Err(PythonError::new(
                message,
                "split the project, or shorten docstrings and annotations",
            ));
        }
        let text = fs::read(&self.0).map_err(|error| PythonError::io("read", &self.0, &error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let message = format!(
                "the process that imports the modules gave an answer that is not understood: {error}"
            );
            PythonError::new(message, "this is a defect in msx: please report it")
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
