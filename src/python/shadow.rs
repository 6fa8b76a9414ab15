//! Files of the project that take the place of modules that everything needs: a `json.py` beside the services is what
//! every `import json` gets, here as with `python3 FILE`. Looked for only when the modules could not be imported, as
//! most such files do no harm.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Environment;
use super::machine::isolated;
use crate::runtime::{Command, Host, Purpose, Runner, SetupError, bounded};

/// An interpreter answers in 30 ms; a slow disk needs more.
const ANSWER_BOUND: Duration = Duration::from_secs(10);
const NAMES: &str = "import sys; print(*sys.stdlib_module_names)";

/// The error that names such files, if there are any.
pub(super) async fn explain(environment: &Environment, run: &Runner, cwd: &Path) -> Option<SetupError> {
    let command = Command {
        // Isolated: it must not meet those files itself.
        argv: vec![environment.interpreter.clone().into(), "-I".into(), "-c".into(), NAMES.into()],
        env: isolated(&Host::of_this_process(), &[]),
        cwd: cwd.to_owned(),
        lines: None,
    };
    let purpose = Purpose { doing: "ask Python for its modules", bound: ANSWER_BOUND, help: "try again" };
    let finished = bounded(run, command, &purpose).await.ok()?;
    let names = String::from_utf8_lossy(&finished.stdout).into_owned();
    let names: Vec<&str> = names.split_whitespace().chain(["msgspec"]).collect();
    let folders = environment.folders.iter().map(PathBuf::as_path).chain([cwd]);
    let mut files: Vec<PathBuf> =
        folders.flat_map(|folder| names.iter().filter_map(|name| shadow(folder, name))).collect();
    files.sort();
    files.dedup();
    let listed: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
    (!files.is_empty()).then(|| {
        let message = format!(
            "the modules cannot be imported: {} has the name of a module that Python itself needs, and stands in front of it",
            listed.join(", ")
        );
        SetupError::new(message, "give it another name")
    })
}

fn shadow(folder: &Path, name: &str) -> Option<PathBuf> {
    let paths = [folder.join(name).with_extension("py"), folder.join(name).join("__init__.py")];
    paths.into_iter().find(|path| path.is_file())
}
