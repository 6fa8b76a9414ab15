//! Installing Python packages: by uv if it is there, else by pip, with progress and a bound.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Context;
use super::interpreter::Found;
use super::machine::{Missing, how_to_install, isolated};
use crate::runtime::{Command, Finished, Purpose, SetupError, bounded};

/// Large packages over a slow line take minutes; more means that something hangs.
const INSTALL_BOUND: Duration = Duration::from_secs(10 * 60);
const VENV_BOUND: Duration = Duration::from_secs(60);
/// Lines of an installer that wait to be counted.
const LINES_MAX: usize = 256;

/// What installs packages.
#[derive(Clone, Debug)]
pub(super) enum Installer {
    Uv(PathBuf),
    Pip,
}

/// Which packages go where.
pub(super) struct Job<'a> {
    /// How progress and errors call the packages: `the packages of requirements.txt`.
    pub what: &'a str,
    /// The interpreter that they are for.
    pub python: &'a Path,
    /// A plain folder to put them in; `None`: the interpreter's own environment.
    pub target: Option<&'a Path>,
    /// What to install, as uv and pip both read it.
    pub packages: &'a [OsString],
    /// Relative paths among the packages start here.
    pub cwd: &'a Path,
    /// What a person can change when it fails.
    pub help: &'a str,
}

impl Installer {
    /// uv, else pip, else an error that says how to get one of them.
    pub fn find(context: &Context<'_>, found: &Found, has_pip: bool, what: &str) -> Result<Self, SetupError> {
        match context.host.find("uv") {
            Some(uv) => Ok(Self::Uv(uv)),
            None if has_pip => Ok(Self::Pip),
            None => Err(no_installer(context, found, what)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Uv(_) => "uv",
            Self::Pip => "pip",
        }
    }

    /// Makes an empty virtual environment.
    pub async fn make_venv(
        &self,
        context: &Context<'_>,
        python: &Path,
        folder: &Path,
    ) -> Result<(), SetupError> {
        let argv: Vec<&OsStr> = match self {
            Self::Uv(uv) => {
                vec![uv.as_ref(), "venv".as_ref(), "--python".as_ref(), python.as_ref(), folder.as_ref()]
            }
            Self::Pip => vec![python.as_ref(), "-m".as_ref(), "venv".as_ref(), folder.as_ref()],
        };
        let command = Command {
            argv: argv.into_iter().map(OsString::from).collect(),
            env: isolated(&context.host, &[]),
            cwd: context.request.state.to_owned(),
            lines: None,
        };
        let help = "check that the disk is not full and not slow, and try again";
        let purpose = Purpose { doing: "make a virtual environment", bound: VENV_BOUND, help };
        let finished = bounded(context.run, command, &purpose).await?;
        if finished.status_ok {
            return Ok(());
        }
        let message =
            format!("could not make a virtual environment in `{}`: {}", folder.display(), finished.status);
        let help = format!("the words of {} say why", self.name());
        Err(SetupError::new(message, help).with_detail(&finished.last_words()))
    }

    /// Installs the packages, counting them for the person who waits.
    pub async fn install(&self, context: &Context<'_>, job: &Job<'_>) -> Result<(), SetupError> {
        let (lines, mut seen) = mpsc::channel(LINES_MAX);
        let command = self.command(context, job, lines);
        let doing = format!("install {}", job.what);
        let help = "check the network and the package index, then try again: what was downloaded is kept";
        let purpose = Purpose { doing: &doing, bound: INSTALL_BOUND, help };
        let mut running = std::pin::pin!(bounded(context.run, command, &purpose));
        let mut count = Count::default();
        let mut tell = |line: String| {
            if count.see(&line) {
                context.preparing(job.what, count.done, count.total);
            }
        };
        context.preparing(job.what, 0, 0);
        let finished = loop {
            tokio::select! {
                Some(line) = seen.recv() => tell(line),
                finished = &mut running => break finished?,
            }
        };
        std::iter::from_fn(|| seen.try_recv().ok()).for_each(tell);
        if finished.status_ok { Ok(()) } else { Err(self.failed(job, &finished)) }
    }

    fn command(&self, context: &Context<'_>, job: &Job<'_>, lines: mpsc::Sender<String>) -> Command {
        let mut argv: Vec<OsString> = match self {
            Self::Uv(uv) => {
                vec![uv.into(), "pip".into(), "install".into(), "--python".into(), job.python.into()]
            }
            Self::Pip => vec![job.python.into(), "-m".into(), "pip".into(), "install".into()],
        };
        if matches!(self, Self::Pip) {
            argv.extend(
                ["--no-input", "--progress-bar=off", "--disable-pip-version-check"].map(OsString::from),
            );
        }
        if let Some(target) = job.target {
            argv.extend(["--target".into(), target.into()]);
        }
        argv.extend_from_slice(job.packages);
        // Settings of the person's own pip that contradict a folder or an environment given here; and no module
        // of the project may take the place of one of pip's.
        let changes = [("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0"), ("PYTHONSAFEPATH", "1")];
        let env = isolated(&context.host, &changes.map(|(name, value)| (name, OsStr::new(value))));
        Command { argv, env, cwd: job.cwd.to_owned(), lines: Some(lines) }
    }

    fn failed(&self, job: &Job<'_>, finished: &Finished) -> SetupError {
        let message =
            format!("could not install {}: {} ended with {}", job.what, self.name(), finished.status);
        SetupError::new(message, job.help).with_detail(&finished.last_words())
    }
}

fn no_installer(context: &Context<'_>, found: &Found, what: &str) -> SetupError {
    let python = found.interpreter.path.display();
    let message = format!("could not install {what}: `{python}` has no pip, and uv is not on PATH");
    let help = if found.in_venv {
        format!("put pip into that virtual environment (`{python} -m ensurepip`), or install uv")
    } else {
        format!("install pip ({}) or uv", how_to_install(&context.host, Missing::Pip))
    };
    SetupError::new(message, help)
}

/// What the lines of pip or uv have told so far; a total of 0 is unknown.
#[derive(Default)]
struct Count {
    done: u64,
    total: u64,
}

impl Count {
    /// Takes a line in; says whether it changed anything.
    fn see(&mut self, line: &str) -> bool {
        let before = (self.done, self.total);
        if line.trim_start().starts_with("Collecting ") {
            self.done += 1;
        } else if let Some(names) = line.strip_prefix("Installing collected packages: ") {
            self.total = names.split(',').count() as u64;
            self.done = self.total;
        } else if let Some(number) = counted(line, "Resolved ") {
            self.total = number;
        } else if let Some(number) = counted(line, "Prepared ").or_else(|| counted(line, "Installed ")) {
            self.done = number;
            self.total = self.total.max(number);
        }
        (self.done, self.total) != before
    }
}

/// The number in uv's `Resolved 3 packages in 12ms`.
fn counted(line: &str, verb: &str) -> Option<u64> {
    let (number, rest) = line.strip_prefix(verb)?.split_once(' ')?;
    rest.starts_with("package").then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn lines_of_pip_and_uv_are_counted() {
        let after = |lines: &[&str]| {
            let mut count = Count::default();
            for line in lines {
                count.see(line);
            }
            (count.done, count.total)
        };
        assert_eq!(
            after(&["Collecting flask (from -r requirements.txt)", "  Downloading flask.whl"]),
            (1, 0)
        );
        assert_eq!(
            after(&["Collecting a", "Collecting b", "Installing collected packages: b, a, c"]),
            (3, 3)
        );
        assert_eq!(after(&["Resolved 3 packages in 12ms"]), (0, 3));
        assert_eq!(after(&["Resolved 3 packages in 1ms", "Prepared 2 packages in 4ms"]), (2, 3));
        assert_eq!(after(&["Installed 1 package in 4ms"]), (1, 1));
        assert_eq!(after(&["Resolved nothing", "Installed"]), (0, 0));
    }
}
