//! Which services the modules of `[node]` export: a helper process imports them, like those of Python.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::Environment;
use crate::model::Language;
use crate::python::{Answer, Command, Discovery, Host, Purpose, PythonError, Runner, bounded};

/// Importing large packages takes seconds; a module that does its work on import would take forever.
const DISCOVERY_BOUND: Duration = Duration::from_secs(60);
const HELP: &str = "a module must only define things when it is imported: put what it does into a function, \
                    or into `onStart(…)`";

/// Imports the modules, which are files below `cwd`, and returns the services that they export.
pub async fn discover(
    environment: &Environment,
    modules: &[String],
    run: &Runner,
    cwd: &Path,
) -> Result<Discovery, PythonError> {
    let answer = Answer::new(&environment.scratch)?;
    let command = Command {
        argv: argv(environment, modules, &answer.0),
        env: Host::of_this_process().environment(&[]),
        cwd: cwd.to_owned(),
        lines: None,
    };
    let doing = "import the modules of [node]";
    let finished = bounded(run, command, &Purpose { doing, bound: DISCOVERY_BOUND, help: HELP }).await?;
    if !finished.status_ok || !answer.0.exists() {
        let message = format!(
            "the process that imports `{}` ended early, with {}",
            modules.join("`, `"),
            finished.status
        );
        return Err(PythonError::new(message, HELP).with_detail(&finished.last_words()));
    }
    let mut found = answer.read().map_err(|error| error.with_detail(&finished.last_words()))?;
    found.services.iter_mut().for_each(|service| service.language = Language::Node);
    Ok(found)
}

fn argv(environment: &Environment, modules: &[String], answer: &Path) -> Vec<OsString> {
    let discover = environment.sdk.join("discover.mjs");
    let mut argv: Vec<OsString> = vec![environment.interpreter.clone().into(), discover.into()];
    argv.extend(["--out".into(), answer.into()]);
    argv.extend(modules.iter().map(OsString::from));
    argv
}
