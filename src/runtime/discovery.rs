//! Which services the project's modules define. A helper process imports them: user code never runs in the hub.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::SetupError;
use super::program::{Command, Purpose, Runner, bounded};
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

/// A function that is a service.
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
    /// The options that the code gives, in Python to the decorator.
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

/// The helper program that imports the modules of one language.
pub struct Importer<'a> {
    pub language: Language,
    /// What starts it; where to write its answer and the modules are added.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    pub cwd: &'a Path,
    pub modules: &'a [String],
    /// A folder for short-lived files.
    pub scratch: &'a Path,
    /// As in "could not …".
    pub doing: &'a str,
    /// What to do when the modules take too long.
    pub help: &'a str,
}

/// Imports the modules in a helper process and returns the services that they define. When it ends without an answer,
/// `explain` may know why.
pub async fn discover(
    importer: Importer<'_>,
    run: &Runner,
    explain: impl AsyncFnOnce() -> Option<SetupError>,
) -> Result<Discovery, SetupError> {
    let Importer { language, modules, doing, help, .. } = importer;
    if modules.is_empty() {
        return Ok(Discovery::default());
    }
    let answer = Answer::new(importer.scratch)?;
    let command = importer.command(&answer.0);
    let finished = bounded(run, command, &Purpose { doing, bound: DISCOVERY_BOUND, help }).await?;
    if !finished.status_ok || !answer.0.exists() {
        let error = explain().await.unwrap_or_else(|| ended_early(modules, &finished.status));
        return Err(error.with_detail(&finished.last_words()));
    }
    let mut found = answer.read().map_err(|error| error.with_detail(&finished.last_words()))?;
    found.services.iter_mut().for_each(|service| service.language = language);
    Ok(found)
}

impl Importer<'_> {
    fn command(self, answer: &Path) -> Command {
        let mut argv = self.argv;
        argv.extend(["--out".into(), answer.into()]);
        argv.extend(self.modules.iter().map(OsString::from));
        Command { argv, env: self.env, cwd: self.cwd.to_owned(), lines: None }
    }
}

fn ended_early(modules: &[String], status: &str) -> SetupError {
    let message = format!("the process that imports `{}` ended early, with {status}", modules.join("`, `"));
    SetupError::new(message, "a module must neither end nor crash the process when it is imported")
}

/// The file that the helper writes; a stream would carry what user code prints too.
struct Answer(PathBuf);

impl Answer {
    fn new(scratch: &Path) -> Result<Self, SetupError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(scratch).map_err(|error| SetupError::io("create the folder", scratch, &error))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Ok(Self(scratch.join(format!("discovery-{}-{number}.json", std::process::id()))))
    }

    fn read(&self) -> Result<Discovery, SetupError> {
        let size = fs::metadata(&self.0).map_err(|error| SetupError::io("read", &self.0, &error))?.len();
        if size > ANSWER_BYTES_MAX {
            let message = format!(
                "the services of the project take {size} bytes to describe, more than {ANSWER_BYTES_MAX}"
            );
            return Err(SetupError::new(message, "split the project, or shorten docstrings and annotations"));
        }
        let text = fs::read(&self.0).map_err(|error| SetupError::io("read", &self.0, &error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let message = format!(
                "the process that imports the modules gave an answer that is not understood: {error}"
            );
            SetupError::new(message, "this is a defect in msx: please report it")
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
