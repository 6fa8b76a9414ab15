//! A project in a folder of its own, and the msx binary run in it.

use std::fs;
use std::path::{Path, PathBuf};

pub mod hub;

use assert_cmd::Command;
use tempfile::TempDir;

/// A temporary folder with a project, away from every other project and from the user's environment.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// An empty folder.
    pub fn new() -> Self {
        Self { folder: TempDir::with_prefix("msx-it-").unwrap() }
    }

    /// With a `services.toml` of this text.
    pub fn with_manifest(text: &str) -> Self {
        Self::new().file("services.toml", text)
    }

    /// The demo of the repository, on ports of its own.
    pub fn demo() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = fs::read_to_string(repository.join("services.toml")).unwrap();
        let sandbox = Self::with_manifest(&format!("{manifest}\n[gateway]\nlisten = \"127.0.0.1:0\"\n"));
        copy_folder(&repository.join("examples"), &sandbox.path("examples"));
        sandbox
    }

    /// Adds a file, and the folders above it.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// `msx` with these arguments, in this folder, with nothing in its environment that would change what it prints.
    pub fn msx(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_msx"));
        command.args(args).current_dir(self.root()).env("XDG_RUNTIME_DIR", self.runtime());
        // Shared by all tests, so that what msx needs is installed once.
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        for name in [
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "COLUMNS",
            "VIRTUAL_ENV",
            "PYTHONPATH",
            "RUST_BACKTRACE",
            "MSX_REPLAY",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Runs msx and tells all of it: exit code, stdout, stderr.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.msx(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
        format!("exit: {code}\n--- stdout\n{}--- stderr\n{}", text(&output.stdout), text(&output.stderr))
    }

    /// For the control socket: a path short enough, gone with the sandbox.
    fn runtime(&self) -> PathBuf {
        let runtime = self.folder.path().join(".run");
        fs::create_dir_all(&runtime).unwrap();
        runtime
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Compares the whole output of msx with an inline snapshot; what differs between machines and runs is filtered out.
macro_rules! assert_output {
    ($sandbox:expr, $args:expr, @$expected:literal) => {{
        let (sandbox, args): (&crate::support::Sandbox, &[&str]) = (&$sandbox, &$args);
        let root = sandbox.root().display().to_string();
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&root.replace('.', r"\."), "[ROOT]");
        settings.add_filter(r"\bpid \d+", "pid [PID]");
        settings.add_filter(r"\bmsx \d+\.\d+\.\d+", "msx [VERSION]");
        settings.bind(|| insta::assert_snapshot!(sandbox.run(args), @$expected));
    }};
}
pub(crate) use assert_output;
