//! Behaviour of the whole room, on interpreters that are small shell scripts and, once, on the real one.

mod choosing;
mod finding;
mod packages;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::unix::pipe;

use super::{Candidate, Context, Environment, Request};
use crate::protocol::progress::Progress;
use crate::runtime::{Command, Finished, Host, Runner, SetupError, Tail};

/// What a fake interpreter is; the rest of it is in `fake_python.sh`.
#[derive(Clone, Copy)]
struct Fake {
    version: (u32, u32, u32),
    has_pip: bool,
    has_venv: bool,
    in_venv: bool,
    msgspec: Option<&'static str>,
}

const PYTHON_311: Fake =
    Fake { version: (3, 11, 7), has_pip: true, has_venv: true, in_venv: false, msgspec: None };

/// A machine with one project on it, in a temporary folder.
struct Yard {
    folder: TempDir,
    vars: Vec<(OsString, OsString)>,
    os_release: &'static str,
    interpreter: Option<&'static str>,
    requirements: Option<PathBuf>,
    scripts: Vec<Candidate>,
    path: Vec<PathBuf>,
    commands: Arc<Mutex<Vec<String>>>,
    progress: RefCell<Vec<(String, u64, u64)>>,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project/.msx", "bin", "sites"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let vars = vec![("PATH".into(), folder.path().join("bin").into())];
        Self {
            folder,
            vars,
            os_release: "ID=debian\n",
            interpreter: None,
            requirements: None,
            scripts: Vec::new(),
            path: Vec::new(),
            commands: Arc::default(),
            progress: RefCell::default(),
        }
    }

    /// A yard whose PATH has a good `python3`.
    fn with_python() -> Self {
        let yard = Self::new();
        yard.python("bin/python3", PYTHON_311);
        yard
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn program(&self, path: &str, script: &str) -> PathBuf {
        let path = self.write(path, script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn python(&self, path: &str, fake: Fake) -> PathBuf {
        let (major, minor, patch) = fake.version;
        let probe = serde_json::json!({
            "version": [major, minor, patch], "executable": "@SELF@", "soabi": format!("cpython-{major}{minor}-x86_64-linux-gnu"),
            "platform": "linux-x86_64", "in_venv": fake.in_venv, "has_pip": fake.has_pip, "has_venv": fake.has_venv,
            "sites": [self.at("sites")], "msgspec": fake.msgspec,
        });
        self.program(path, &include_str!("fake_python.sh").replace("@PROBE@", &probe.to_string()))
    }

    fn request(&self) -> Folders {
        Folders { project: self.at("project"), state: self.at("project/.msx"), cache: self.at("cache") }
    }

    async fn within<T>(&self, step: impl AsyncFnOnce(&Context<'_>) -> T) -> T {
        let folders = self.request();
        let request = Request {
            project: &folders.project,
            state: &folders.state,
            cache: &folders.cache,
            interpreter: self.interpreter,
            requirements: self.requirements.as_deref(),
            scripts: &self.scripts,
            path: &self.path,
        };
        let run = self.runner();
        let progress = |progress: Progress| {
            if let Progress::Preparing { what, done, total } = progress {
                self.progress.borrow_mut().push((what, done, total));
            }
        };
        let host = Host::new(self.vars.clone(), self.os_release.to_owned());
        step(&Context { request: &request, run: &*run, progress: &progress, host }).await
    }

    async fn prepare(&self) -> Result<Environment, SetupError> {
        self.within(async |context| context.prepare().await).await
    }

    /// The error of a preparation, as a terminal would show it.
    async fn failure(&self) -> String {
        self.shown(&self.prepare().await.unwrap_err())
    }

    fn shown(&self, error: &SetupError) -> String {
        let parts = [Some(error.message.clone()), error.help.as_ref().map(|help| format!("help: {help}"))];
        let text = parts.into_iter().chain([error.detail.clone()]).flatten().collect::<Vec<_>>().join("\n");
        self.without_folder(&text)
    }

    fn without_folder(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "")
    }

    /// The commands run since the last time this was asked.
    fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.commands.lock().unwrap())
    }

    fn runner(&self) -> Box<Runner> {
        let (commands, folder) = (self.commands.clone(), self.folder.path().display().to_string());
        Box::new(move |command| {
            let words = command.argv.iter().map(|word| word.to_string_lossy().replace(&folder, ""));
            let words = words.map(|word| if word.contains('\n') { "PROBE".to_owned() } else { word });
            commands.lock().unwrap().push(words.collect::<Vec<_>>().join(" "));
            Box::pin(run(command))
        })
    }
}

struct Folders {
    project: PathBuf,
    state: PathBuf,
    cache: PathBuf,
}

/// A child that does not outlive its run.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(command: Command) -> io::Result<Finished> {
    let mut child = Running(spawn(&command)?);
    let stdout = pipe::Receiver::from_owned_fd(OwnedFd::from(child.0.stdout.take().unwrap()))?;
    let stderr = pipe::Receiver::from_owned_fd(OwnedFd::from(child.0.stderr.take().unwrap()))?;
    let (stdout, stderr) = tokio::try_join!(
        Tail::new(command.lines.clone()).read(stdout),
        Tail::new(command.lines.clone()).read(stderr)
    )?;
    let status = child.0.wait()?;
    Ok(Finished { status_ok: status.success(), status: status.to_string(), stdout, stderr })
}

fn spawn(command: &Command) -> io::Result<Child> {
    loop {
        let spawned = std::process::Command::new(&command.argv[0])
            .args(&command.argv[1..])
            .env_clear()
            .envs(command.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&command.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match spawned {
            // Another test forked while this one was writing its script: that child still has the file open.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            spawned => return spawned,
        }
    }
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}
