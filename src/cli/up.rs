//! `msx up`

use std::path::{Path, PathBuf};

use clap::Args;

use super::detach;
use super::logview::LogFormat;
use super::progress::Display;
use super::screen::Screen;
use super::session::{project, project_or_folder};
use super::terminal::Terminal;
use super::values;
use crate::daemon::{self, UpOptions};
use crate::failure::Failure;
use crate::project::{MANIFEST, Project};
use crate::supervisor::logs::{Position, Reader, Selection};

const EXAMPLES: &str = "\
Examples:
  msx up                          the project of this folder, with its logs; Ctrl-C ends it
  msx up -d --wait                in the background; returns when every service is ready
  msx up pipeline/my_func.py      the services of a file, without a manifest
  msx up -f services.toml -f dev.toml --scale a=4
  msx up --watch                  restart services when their files change

The first Ctrl-C lets running calls finish, the second ends them.";

/// Start the services of a project and supervise them.
///
/// In a terminal it shows how they start and then what they print. A project is the nearest folder upwards with a
/// services.toml; its state is kept beside it in .msx/.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Up {
    #[command(flatten)]
    manifest: ManifestArgs,

    /// Run in the background; returns when the hub accepts calls.
    #[arg(short, long)]
    detach: bool,

    /// Start a service with this many instances and hold it there.
    #[arg(long, value_name = "NAME=N", value_parser = values::instances)]
    scale: Vec<(String, u32)>,

    /// Return when every service is ready; implies --detach.
    #[arg(long)]
    wait: bool,

    /// Restart the services of a module when its file changes.
    #[arg(long)]
    watch: bool,

    /// The hub in the background: reports on stdout to the `up` that started it.
    #[arg(long, hide = true)]
    background: bool,
}

/// What to run: shared with `msx config`.
#[derive(Args)]
pub struct ManifestArgs {
    /// A manifest; each further one is laid over those before it. Default: services.toml of the project.
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "target")]
    files: Vec<PathBuf>,

    /// A Python file or a folder whose services to run without a manifest.
    #[arg(value_name = "PATH")]
    target: Option<PathBuf>,
}

impl Up {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let options = UpOptions { scale: self.scale, watch: self.watch, ..self.manifest.options()? };
        if self.background {
            return detach::serve(options);
        }
        options.project.prepare()?;
        options.project.refuse_second_hub()?;
        if self.detach || self.wait {
            detach::start(&options, self.wait, terminal)
        } else {
            foreground(options, terminal)
        }
    }
}

fn foreground(options: UpOptions, terminal: &Terminal) -> Result<(), Failure> {
    let logs = options.project.logs();
    let display = Display::new(terminal, "`msx call NAME ARGS` calls one, Ctrl-C ends them all");
    let reader = Reader::open(&logs, Selection::default(), Position::End)
        .map_err(|error| Failure::file("show the logs in", &logs, &error))?;
    let screen = Screen::new(reader, display, LogFormat::new(terminal.stdout));
    let result = daemon::run(options, screen.report());
    screen.finish();
    result
}

impl ManifestArgs {
    /// Finds the project and its manifests; all paths become absolute.
    pub fn options(&self) -> Result<UpOptions, Failure> {
        let (project, manifests, target) = match (&self.target, self.files.as_slice()) {
            (Some(target), _) => without_manifest(target)?,
            (None, []) => of_project(project()?)?,
            (None, files) => with_files(files)?,
        };
        Ok(UpOptions { project, manifests, target, scale: Vec::new(), watch: false })
    }
}

type Found = (Project, Vec<PathBuf>, Option<PathBuf>);

fn of_project(project: Project) -> Result<Found, Failure> {
    let manifest = project.root().join(MANIFEST);
    if manifest.is_file() {
        return Ok((project, vec![manifest], None));
    }
    let message = format!("{} has no {MANIFEST}", project.root().display());
    Err(Failure::usage(message)
        .with_help("`msx up FILE.py` starts the services of a file or folder without one"))
}

/// The project is where the first manifest stands.
fn with_files(files: &[PathBuf]) -> Result<Found, Failure> {
    let files: Result<Vec<PathBuf>, Failure> = files.iter().map(|file| existing(file)).collect();
    let files = files?;
    match files.iter().find(|file| !file.is_file()) {
        Some(folder) => Err(Failure::usage(format!("the manifest {} is not a file", folder.display()))),
        None => Ok((Project::at(files[0].parent().unwrap_or(Path::new("/")))?, files, None)),
    }
}

/// A folder with a manifest is a project of its own; anything else runs in the project of the current folder.
fn without_manifest(target: &Path) -> Result<Found, Failure> {
    let target = existing(target)?;
    if target.join(MANIFEST).is_file() {
        return of_project(Project::at(&target)?);
    }
    if !target.is_dir() && target.extension().is_none_or(|extension| extension != "py") {
        let message = format!("{} is neither a folder nor a Python file", target.display());
        return Err(Failure::usage(message).with_help("a manifest is named with `-f FILE`"));
    }
    Ok((project_or_folder()?, Vec::new(), Some(target)))
}

fn existing(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|e| Failure::usage(format!("cannot open {}: {e}", path.display())))
}
