//! A project in a folder of its own, and the msx binary run in it.

pub mod http;
pub mod hub;
pub mod load;
pub mod tools;
pub mod typist;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A module with one service, `f`.
pub const SERVICE: &str = "from msx import microservice\n\n@microservice\ndef f():\n    pass\n";

/// A temporary folder with a project, away from every other project and from the user's environment.
pub struct Sandbox {
    folder: TempDir,
    /// Of the project, below `folder`.
    inner: PathBuf,
    env: Vec<(String, String)>,
    privileged: bool,
}

impl Sandbox {
    /// An empty folder.
    pub fn new() -> Self {
        Self {
            folder: TempDir::with_prefix("msx-it-").unwrap(),
            inner: PathBuf::new(),
            env: Vec::new(),
            privileged: true,
        }
    }

    /// An empty folder with this name.
    pub fn named(name: &str) -> Self {
        let sandbox = Self { inner: name.into(), ..Self::new() };
        fs::create_dir(sandbox.folder.path().join(name)).unwrap();
        sandbox
    }

    /// With a `services.toml` of this text.
    pub fn with_manifest(text: &str) -> Self {
        Self::new().file("services.toml", text)
    }

    /// With a manifest that names these modules, as a list of TOML has them: `"a", "b"`.
    pub fn with_modules(modules: &str) -> Self {
        Self::with_manifest(&format!("[python]\nmodules = [{modules}]\n"))
    }

    /// The demo of the repository, on ports of its own.
    pub fn demo() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = fs::read_to_string(repository.join("services.toml")).unwrap();
        let sandbox = Self::with_manifest(&format!("{manifest}\n[gateway]\nlisten = \"127.0.0.1:0\"\n"));
        copy(&repository.join("examples"), &sandbox.path("examples"));
        sandbox
    }

    /// A project of `tests/it/projects/`.
    pub fn project(name: &str) -> Self {
        let sandbox = Self::new();
        let projects = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/projects");
        copy(&projects.join(name), &sandbox.root());
        sandbox
    }

    /// Replaces a text that must be in the file.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.path(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{} has no {from:?}", path.display());
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Adds a file, and the folders above it.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Adds a program, or replaces it.
    pub fn program(&self, path: &str, script: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Sets a variable for every msx of this sandbox.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Programs of this folder are found before any other of their name.
    pub fn first_on_path(mut self, folder: &Path) -> Self {
        let own = self.env.iter().position(|(name, _)| name == "PATH").map(|at| self.env.remove(at).1);
        let path = own.map_or_else(|| std::env::var_os("PATH").unwrap_or_default(), Into::into);
        let folders = [folder.to_owned()].into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(folders).unwrap();
        self.env("PATH", path.to_str().unwrap())
    }

    /// Permissions of files hold for msx, also where the tests are run by root.
    pub fn without_privileges(mut self) -> Self {
        self.privileged = false;
        self
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join(&self.inner).canonicalize().unwrap()
    }

    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// `msx` with these arguments, in this folder, with nothing in its environment that would change what it prints.
    pub fn msx(&self, args: &[&str]) -> Command {
        self.prepared(self.binary(), args)
    }

    /// A line for a shell, which finds msx as `$MSX`.
    pub fn shell(&self, line: &str) -> Command {
        let mut command = self.prepared(Command::new("sh"), &["-c", line]);
        command.env("MSX", env!("CARGO_BIN_EXE_msx"));
        command
    }

    fn prepared(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(args)
            .current_dir(self.root())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .stdin(Stdio::null());
        // Shared by all tests, so that what msx needs is installed once.
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        plain(&mut command);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn binary(&self) -> Command {
        let msx = env!("CARGO_BIN_EXE_msx");
        if self.privileged || !nix::unistd::geteuid().is_root() {
            return Command::new(msx);
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--", msx]);
        command
    }

    /// `msx` under way, with both outputs in pipes. It ends with the value.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.msx(args);
        Running(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
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

/// Takes from its environment what would change what is printed; pytest shows failures at length where a CI's variable is set.
pub fn plain(command: &mut Command) {
    let python = ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"];
    let output = ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "RUST_BACKTRACE", "CI", "BUILD_NUMBER"];
    for name in python.iter().chain(&output).chain(&["MSX_REPLAY"]) {
        command.env_remove(name);
    }
}

/// A process that a test has started; killed if the test fails before it has ended.
pub struct Running(Option<Child>);

impl Running {
    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child().id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// The lines of its stdout. Dropped, they close it.
    pub fn lines(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.0.as_mut().unwrap().stdout.take().unwrap()).lines()
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until it ends: exit code, stdout (unless `lines` took it) and stderr.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn child(&self) -> &Child {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Copies a file, or a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        copy(&entry.path(), &to.join(entry.file_name()));
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
        // Said by whichever test is the first to need them.
        settings.add_filter(r"(?m)^preparing: the packages that msx needs\n", "");
        // Which part of a line of a traceback Python marks depends on its version.
        settings.add_filter(r"(?m)^ *[~^]+\n", "");
        settings.bind(|| insta::assert_snapshot!(sandbox.run(args), @$expected));
    }};
}
pub(crate) use assert_output;
