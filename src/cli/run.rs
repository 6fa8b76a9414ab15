//! `msx run`

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use parking_lot::Mutex;

use super::progress::Display;
use super::session;
use super::terminal::Terminal;
use crate::daemon::{self, Report};
use crate::failure::Failure;
use crate::project::Project;
use crate::python::Environment;

/// How the SDK is told that the whole program asks the hub.
const CONNECTED: (&str, &str) = ("MSX_RUN", "connected");
/// Where the SDK looks for it.
const HUB: &str = "MSX_HUB";

const EXAMPLES: &str = "\
Examples:
  msx run report.py --month 11       the services that it calls are those of the running hub
  msx run --inline pipeline/main.py  all of it in one process; breakpoint() works, no hub is needed

The script has the Python, the packages and the import path of the project's services.
Its exit code, its input and output, and its signals are its own.";

/// Run a script whose calls go to the running hub.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Run the services that it calls inside of the script, too.
    #[arg(long)]
    inline: bool,

    /// The Python file.
    script: PathBuf,

    /// What the script gets as its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Run {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        check(&self.script)?;
        let project = if self.inline { session::project_or_folder()? } else { session::project()? };
        if !self.inline {
            // Only to tell before the script starts; the script makes its own connections.
            session::connect(&project)?;
        }
        let environment = prepare(&project, &self.script, terminal)?;
        let error = self.command(&project, &environment).exec();
        let interpreter = environment.interpreter.display();
        Err(Failure::failed(format!("cannot start {interpreter} for {}: {error}", self.script.display())))
    }

    fn command(&self, project: &Project, environment: &Environment) -> Command {
        let mut command = Command::new(&environment.interpreter);
        command.arg(&self.script).args(&self.arguments).env("PYTHONPATH", &environment.python_path);
        match self.inline {
            true => command.env_remove(CONNECTED.0),
            false => command.env(CONNECTED.0, CONNECTED.1).env(HUB, project.root()),
        };
        command
    }
}

fn check(script: &Path) -> Result<(), Failure> {
    let shown = script.display();
    match std::fs::metadata(script) {
        Err(error) => Err(Failure::usage(format!("cannot open the script {shown}: {error}"))),
        Ok(meta) if !meta.is_file() => Err(Failure::usage(format!("the script {shown} is not a file"))),
        Ok(_) => Ok(()),
    }
}

fn prepare(project: &Project, script: &Path, terminal: &Terminal) -> Result<Environment, Failure> {
    let display = Arc::new(Mutex::new(Display::new(terminal, "")));
    let shown = display.clone();
    let report: Report = Arc::new(move |progress| shown.lock().show(&progress));
    let environment = daemon::script::environment(project, script, &report);
    display.lock().clear();
    environment
}
