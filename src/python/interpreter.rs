//! Which Python runs the project. It is chosen by a fixed order and then asked what it is; the answer is kept in
//! the cache for as long as no file that it depends on has changed, so that a warm `msx up` starts no Python for it.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Context;
use super::machine::{Missing, how_to_install, isolated, python_vars};
use crate::runtime::{Command, Purpose, Setting, SetupError, bounded, is_executable};

/// The oldest Python that the SDK runs on.
const OLDEST: (u32, u32) = (3, 10);
/// Versions whose own command (`python3.12`) is looked for when `python3` is too old, newest first.
const NEWER_MINORS: std::ops::RangeInclusive<u32> = OLDEST.1..=20;
/// An interpreter answers in 30 ms; a slow disk and a cold cache need more.
const PROBE_BOUND: Duration = Duration::from_secs(10);
/// How an interpreter that the manifest names was chosen.
const MANIFEST: &str = "services.toml";
const PROBE: &str = include_str!("probe.py");

/// The Python that was chosen.
#[derive(Clone, Debug)]
pub struct Interpreter {
    pub path: PathBuf,
    pub version: (u32, u32, u32),
    /// What compiled packages must have been built for: `cp311-x86_64-linux-gnu`.
    pub abi: String,
    /// `services.toml`, `$VIRTUAL_ENV`, `.venv` or `PATH`.
    pub chosen_by: &'static str,
}

impl Interpreter {
    pub(super) fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }
}

/// An interpreter with what it can do.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub interpreter: Interpreter,
    pub has_pip: bool,
    pub has_venv: bool,
    pub in_venv: bool,
    /// Version of the msgspec that it imports.
    pub msgspec: Option<String>,
}

/// What `probe.py` prints. All but the first two fields are there from Python 3.10 on.
#[derive(Debug, Serialize, Deserialize)]
struct Probe {
    version: (u32, u32, u32),
    executable: PathBuf,
    #[serde(default)]
    soabi: String,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    in_venv: bool,
    #[serde(default)]
    has_pip: bool,
    #[serde(default)]
    has_venv: bool,
    /// Folders whose change may change the answer.
    #[serde(default)]
    sites: Vec<PathBuf>,
    msgspec: Option<String>,
}

/// Chooses the project's interpreter and makes sure that it is new enough.
pub(super) async fn choose(context: &Context<'_>) -> Result<Found, SetupError> {
    let (path, chosen_by) = pick(context)?;
    let probe = ask_new_enough(context, &path, chosen_by).await;
    let probe = probe.map_err(|error| match chosen_by {
        MANIFEST => error.about(Setting::Interpreter),
        _ => error,
    })?;
    // A command on PATH may be a script that looks for the interpreter (pyenv): starting that one directly saves
    // its time at every start of an instance. One that was named is used as it is.
    let is_named = chosen_by == MANIFEST || probe.executable.as_os_str().is_empty();
    let path = if is_named { path } else { probe.executable.clone() };
    Ok(found(path, chosen_by, probe))
}

async fn ask_new_enough(context: &Context<'_>, path: &Path, chosen_by: &str) -> Result<Probe, SetupError> {
    let probe = ask(context, path, chosen_by).await?;
    match (probe.version.0, probe.version.1) < OLDEST {
        true => Err(too_old(context, path, chosen_by, probe.version)),
        false => Ok(probe),
    }
}

/// Asks an interpreter that msx itself made, in the environment of `base`.
pub(super) async fn inspect(
    context: &Context<'_>,
    path: &Path,
    base: &Interpreter,
) -> Result<Found, SetupError> {
    let probe = ask(context, path, base.chosen_by).await?;
    Ok(found(path.to_owned(), base.chosen_by, probe))
}

fn found(path: PathBuf, chosen_by: &'static str, probe: Probe) -> Found {
    let abi = abi(&probe);
    Found {
        interpreter: Interpreter { path, version: probe.version, abi, chosen_by },
        has_pip: probe.has_pip,
        has_venv: probe.has_venv,
        in_venv: probe.in_venv,
        msgspec: probe.msgspec,
    }
}

/// `cpython-311-x86_64-linux-gnu` → `cp311-x86_64-linux-gnu`; a Python that does not say adds its platform.
fn abi(probe: &Probe) -> String {
    let soabi = probe.soabi.replacen("cpython-", "cp", 1);
    if soabi.contains("-linux") { soabi } else { format!("{soabi}-{}", probe.platform) }
}

/// Manifest, then `$VIRTUAL_ENV`, then `.venv`, then PATH.
fn pick(context: &Context<'_>) -> Result<(PathBuf, &'static str), SetupError> {
    if let Some(named) = context.request.interpreter {
        return pick_named(context, named).map(|path| (path, MANIFEST));
    }
    if let Some(folder) = context.host.var("VIRTUAL_ENV") {
        return pick_in_venv(Path::new(folder), "$VIRTUAL_ENV").map(|path| (path, "$VIRTUAL_ENV"));
    }
    let venv = context.request.project.join(".venv");
    if fs::symlink_metadata(venv.join("bin/python")).is_ok() {
        return pick_in_venv(&venv, ".venv").map(|path| (path, ".venv"));
    }
    context.host.find("python3").map(|path| (path, "PATH")).ok_or_else(|| none_found(context))
}

/// A bare name is a command on PATH, anything else a path relative to the project.
fn pick_named(context: &Context<'_>, named: &str) -> Result<PathBuf, SetupError> {
    let found = if named.contains('/') {
        Some(context.request.project.join(named)).filter(|path| is_executable(path))
    } else {
        context.host.find(named)
    };
    found.ok_or_else(|| named_is_missing(context, named).about(Setting::Interpreter))
}

fn pick_in_venv(folder: &Path, which: &str) -> Result<PathBuf, SetupError> {
    let python = folder.join("bin/python");
    if is_executable(&python) {
        return Ok(python);
    }
    let message =
        format!("the virtual environment `{}` ({which}) has no working `bin/python`", folder.display());
    let help = match which {
        ".venv" => "create it anew (`python3 -m venv --clear .venv`), or remove it",
        _ => "leave it (`deactivate`), or create it anew (`python3 -m venv --clear \"$VIRTUAL_ENV\"`)",
    };
    Err(SetupError::new(message, help))
}

fn none_found(context: &Context<'_>) -> SetupError {
    let install = how_to_install(&context.host, Missing::Python);
    SetupError::new(
        "no Python was found: services.toml names none, there is no active virtual environment and no .venv, \
         and no `python3` on PATH",
        format!(
            "install Python {}.{} or later ({install}), or name one in services.toml: \
             `[python] interpreter = \"/path/to/python3\"`",
            OLDEST.0, OLDEST.1
        ),
    )
}

fn named_is_missing(context: &Context<'_>, named: &str) -> SetupError {
    if !named.contains('/') {
        let message =
            format!("`[python] interpreter` in services.toml is `{named}`, and no such command is on PATH");
        return SetupError::new(message, "install it, or give the path of another one");
    }
    let path = context.request.project.join(named);
    let why = if path.exists() { "is not an executable file" } else { "does not exist" };
    let message =
        format!("`[python] interpreter` in services.toml is `{named}`, but `{}` {why}", path.display());
    let venv = path.parent().filter(|bin| bin.ends_with("bin")).and_then(Path::parent);
    let help = match venv {
        Some(venv) => format!("create it (`python3 -m venv {}`), or name another one", venv.display()),
        None => "name another one, or remove the line to let msx choose".to_owned(),
    };
    SetupError::new(message, help)
}

fn too_old(
    context: &Context<'_>,
    path: &Path,
    chosen_by: &str,
    (major, minor, patch): (u32, u32, u32),
) -> SetupError {
    let message = format!(
        "msx needs Python {}.{} or later, but `{}` (from {chosen_by}) is Python {major}.{minor}.{patch}",
        OLDEST.0,
        OLDEST.1,
        path.display()
    );
    let newer = NEWER_MINORS
        .rev()
        .map(|minor| format!("python3.{minor}"))
        .find(|name| context.host.find(name).is_some());
    let help = match newer {
        Some(name) => {
            format!("`{name}` is on PATH: set `[python] interpreter = \"{name}\"` in services.toml")
        }
        None => {
            "install a newer one and name it in services.toml: `[python] interpreter = \"/path/to/python3\"`"
                .to_owned()
        }
    };
    SetupError::new(message, help)
}

/// The answer from the cache, else from the interpreter itself.
async fn ask(context: &Context<'_>, path: &Path, chosen_by: &str) -> Result<Probe, SetupError> {
    let record = record_path(context, path);
    if let Some(probe) = recall(&record) {
        return Ok(probe);
    }
    let probe = run_probe(context, path, chosen_by).await?;
    // What a script on PATH starts depends on more than files (pyenv: the folder, a variable): ask it every time.
    if probe.executable == path {
        remember(&record, path, &probe);
    }
    Ok(probe)
}

async fn run_probe(context: &Context<'_>, path: &Path, chosen_by: &str) -> Result<Probe, SetupError> {
    let command = Command {
        argv: vec![path.into(), "-c".into(), PROBE.into()],
        env: isolated(&context.host, &[]),
        cwd: context.request.project.to_owned(),
        lines: None,
    };
    let doing = format!("ask the interpreter from {chosen_by} for its version");
    let help = "run the same command to see why it hangs, or name another interpreter in services.toml: \
                `[python] interpreter = \"/path/to/python3\"`";
    let purpose = Purpose { doing: &doing, bound: PROBE_BOUND, help };
    let finished = bounded(context.run, command, &purpose).await?;
    // The last line: a sitecustomize may print before it.
    let answer = finished.stdout.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice(answer) {
        Ok(probe) if finished.status_ok => Ok(probe),
        _ => Err(not_python(path, chosen_by, &finished.status).with_detail(&finished.last_words())),
    }
}

fn not_python(path: &Path, chosen_by: &str, status: &str) -> SetupError {
    let message = format!(
        "`{}` (from {chosen_by}) does not answer as a Python interpreter does: it ended with {status}",
        path.display()
    );
    SetupError::new(
        message,
        "repair it, or name another one in services.toml: `[python] interpreter = \"/path/to/python3\"`",
    )
}

/// An answer, and the state of the files that it depends on.
#[derive(Serialize, Deserialize)]
struct Record {
    stamps: Vec<Stamp>,
    probe: Probe,
}

/// A file or folder as it was: a package installed into a folder changes the folder's time.
#[derive(Serialize, Deserialize, PartialEq)]
struct Stamp {
    path: PathBuf,
    /// Seconds and nanoseconds of its last change, and its size; `None`: it was not there.
    state: Option<(i64, i64, u64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let state = fs::metadata(path).ok().map(|found| (found.mtime(), found.mtime_nsec(), found.size()));
        Self { path: path.to_owned(), state }
    }
}

fn record_path(context: &Context<'_>, path: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (path, PROBE).hash(&mut hasher);
    python_vars(&context.host).for_each(|variable| variable.hash(&mut hasher));
    context.request.cache.join(format!("interpreters/{:016x}.json", hasher.finish()))
}

fn recall(record: &Path) -> Option<Probe> {
    let record: Record = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
    record.stamps.iter().all(|stamp| Stamp::of(&stamp.path) == *stamp).then_some(record.probe)
}

/// Best effort: what cannot be kept is asked again.
fn remember(record: &Path, path: &Path, probe: &Probe) {
    let venv = path.parent().and_then(Path::parent).map(|folder| folder.join("pyvenv.cfg"));
    let stamps = [path].into_iter().chain(venv.as_deref()).chain(probe.sites.iter().map(PathBuf::as_path));
    let text = serde_json::json!({"stamps": stamps.map(Stamp::of).collect::<Vec<_>>(), "probe": probe});
    let aside = record.with_extension(format!("{}.partial", std::process::id()));
    let _ = record
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&aside, text.to_string()))
        .and_then(|()| fs::rename(&aside, record));
}
