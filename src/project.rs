//! Where a project is and whether its hub runs: the folder, its state in `.msx/`, the lock and the way to the socket.
//!
//! It touches the disk and nothing else. Hub and command line share it, so that they cannot disagree about a path.
//! Whether a hub runs is decided by a lock on `.msx/lock`, which the kernel releases with its last holder; a pid in a
//! file would outlive its process.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureKind};

/// File that makes a folder a project.
pub const MANIFEST: &str = "services.toml";
const STATE: &str = ".msx";
/// How long `up` waits for a hub that is ending.
pub const DYING_MAX: Duration = Duration::from_secs(5);
/// How long a hub that was killed may hold its lock: until the last of its threads is gone.
const KILLED_MAX: Duration = Duration::from_millis(500);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// `sockaddr_un` takes 108 bytes, the last of which is zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A folder whose services run under one hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
}

/// `.msx/hub.json`: what a command line needs to reach the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    pub socket: PathBuf,
    pub pid: u32,
    /// RFC 3339, UTC.
    pub started: String,
    pub version: String,
    /// Set by a hub that has begun to drain: an `up` may wait for it.
    #[serde(default)]
    pub stopping: bool,
    /// Left behind by a hub that could not end everything, for the `down` that waits. A clean end removes the file.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// Held while the hub lives. A guard that inherits the descriptor holds it too, so that the lock falls with the last of them.
#[derive(Debug)]
pub struct HubLock(File);

impl AsFd for HubLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Project {
    /// The project in exactly this folder, which exists.
    pub fn at(root: &Path) -> Result<Self, Failure> {
        let root = root.canonicalize().map_err(|e| cannot("open the project folder", root, &e))?;
        Ok(Self { root })
    }

    /// The nearest folder upwards from `from` that has a manifest or state.
    pub fn find(from: &Path) -> Result<Option<Self>, Failure> {
        let from = Self::at(from)?;
        let is_project =
            |folder: &&Path| folder.join(MANIFEST).is_file() || is_own_state(&folder.join(STATE));
        Ok(from.root.ancestors().find(is_project).map(|root| Self { root: root.to_path_buf() }))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `.msx/`
    pub fn state(&self) -> PathBuf {
        self.root.join(STATE)
    }

    /// `.msx/logs/`
    pub fn logs(&self) -> PathBuf {
        self.state().join("logs")
    }

    /// What a hub in the background writes to stderr.
    pub fn hub_log(&self) -> PathBuf {
        self.logs().join("hub.log")
    }

    fn hub_file(&self) -> PathBuf {
        self.state().join("hub.json")
    }

    /// Makes `.msx/` and keeps it out of version control.
    pub fn prepare(&self) -> Result<(), Failure> {
        let state = self.state();
        fs::create_dir_all(&state).map_err(|e| cannot("create", &state, &e))?;
        let ignore = state.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|e| cannot("write", &ignore, &e))?;
        }
        Ok(())
    }

    /// Becomes the hub of this project; waits at most `wait` for one that is ending.
    pub fn acquire(&self, wait: Duration) -> Result<HubLock, Failure> {
        self.prepare()?;
        let path = self.lock_file();
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|e| cannot("open", &path, &e))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                // What an earlier hub left says nothing about this one.
                Ok(()) => return self.remove_hub().map(|()| HubLock(file)),
                Err(TryLockError::Error(e)) => return Err(cannot("lock", &path, &e)),
                Err(TryLockError::WouldBlock) if start.elapsed() >= wait || self.hub_stays(start)? => {
                    return Err(self.already_running());
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_POLL),
            }
        }
    }

    /// Whether a hub, or the guard it left, is alive.
    pub fn hub_running(&self) -> Result<bool, Failure> {
        let path = self.lock_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(cannot("open", &path, &e)),
        };
        // Shared, so that commands that look at the same time do not take each other for a hub.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(cannot("lock", &path, &e)),
        }
    }

    /// Whether the lock is still the one that others look at: `.msx/` can be removed under a running hub.
    pub fn still_holds(&self, lock: &HubLock) -> bool {
        let (seen, held) = (fs::metadata(self.lock_file()), lock.0.metadata());
        match (seen, held) {
            (Ok(seen), Ok(held)) => (seen.dev(), seen.ino()) == (held.dev(), held.ino()),
            (Err(e), _) => e.kind() != io::ErrorKind::NotFound,
            (_, Err(_)) => true,
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.state().join("lock")
    }

    /// What the last hub wrote; it may be gone.
    pub fn read_hub(&self) -> Result<Option<HubFile>, Failure> {
        let path = self.hub_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(cannot("read", &path, &e)),
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|e| cannot("read", &path, &io::Error::from(e)))
    }

    /// Replaces `hub.json` in one step: a reader sees the old text or the new one.
    pub fn write_hub(&self, hub: &HubFile) -> Result<(), Failure> {
        let (path, new) = (self.hub_file(), self.state().join("hub.json.new"));
        let text = serde_json::to_vec(hub).map_err(|e| cannot("write", &path, &io::Error::from(e)))?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|e| cannot("write", &path, &e))
    }

    /// The hub's last act but releasing the lock. What one that was told to stop could not do stays on record for the
    /// `down` that waits; why one could not start, its `up` tells.
    pub fn end_hub(&self, outcome: &Result<(), Failure>) -> Result<(), Failure> {
        let failure = outcome.as_ref().err().filter(|failure| failure.kind == FailureKind::Failed);
        match (failure, self.read_hub()?) {
            (Some(failure), Some(hub)) if hub.stopping => {
                self.write_hub(&HubFile { failure: Some(failure.clone()), ..hub })
            }
            _ => self.remove_hub(),
        }
    }

    fn remove_hub(&self) -> Result<(), Failure> {
        let path = self.hub_file();
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(cannot("remove", &path, &e)),
            _ => Ok(()),
        }
    }

    /// Whether the holder of the lock, seen since `since`, is a hub that will not go by itself. (The pid only tells how
    /// long to wait.)
    fn hub_stays(&self, since: Instant) -> Result<bool, Failure> {
        let hub = self.read_hub()?;
        let lives =
            hub.is_some_and(|hub| !hub.stopping && Path::new("/proc").join(hub.pid.to_string()).exists());
        Ok(lives && since.elapsed() >= KILLED_MAX)
    }

    /// Fails where a hub runs that will not go by itself.
    pub fn refuse_second_hub(&self) -> Result<(), Failure> {
        let start = Instant::now();
        while self.hub_running()? && start.elapsed() < KILLED_MAX {
            thread::sleep(LOCK_POLL);
        }
        if self.hub_running()? && self.hub_stays(start)? { Err(self.already_running()) } else { Ok(()) }
    }

    fn already_running(&self) -> Failure {
        let pid = match self.read_hub() {
            Ok(Some(hub)) => format!(" (pid {})", hub.pid),
            _ => String::new(),
        };
        Failure::failed(format!("a hub is already running for {}{pid}", self.root.display()))
            .with_help("`msx ps` shows its services, `msx restart` restarts them, `msx down` ends it")
    }

    /// Where the hub of this project listens. Makes the folder and refuses one that others can enter.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        let name = format!("{:016x}.sock", self.short_hash());
        let folder = runtime_folder(std::env::var_os("XDG_RUNTIME_DIR"), name.len());
        let made = DirBuilder::new().mode(0o700).create(&folder);
        match made {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(cannot("create", &folder, &e)),
            _ => check_private(&folder).map(|()| folder.join(name)),
        }
    }

    fn short_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        hasher.finish()
    }
}

/// Another user's `.msx`, in a shared folder such as `/tmp`, must not say which hub ours is.
fn is_own_state(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == nix::unistd::getuid().as_raw())
}

/// `$XDG_RUNTIME_DIR/msx` where that is usable, else `/tmp/msx-<uid>`.
fn runtime_folder(runtime_dir: Option<OsString>, name_bytes: usize) -> PathBuf {
    let fits = |folder: &PathBuf| folder.as_os_str().len() + 1 + name_bytes <= SOCKET_PATH_BYTES_MAX;
    runtime_dir
        .map(PathBuf::from)
        .filter(|base| base.is_absolute() && base.is_dir())
        .map(|base| base.join("msx"))
        .filter(fits)
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/msx-{}", nix::unistd::getuid())))
}

/// In a shared `/tmp` anyone may have made the folder first.
fn check_private(folder: &Path) -> Result<(), Failure> {
    let meta = fs::symlink_metadata(folder).map_err(|e| cannot("inspect", folder, &e))?;
    let ours = meta.is_dir() && meta.uid() == nix::unistd::getuid().as_raw() && meta.mode() & 0o777 == 0o700;
    if ours {
        return Ok(());
    }
    let message = format!(
        "the control socket cannot stand in {}: it is not a folder that only you can enter",
        folder.display()
    );
    Err(Failure::failed(message).with_help(format!("remove it, or `chmod 700 {}`", folder.display())))
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::file(verb, path, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process;

    use tempfile::TempDir;

    use super::*;

    fn project() -> (TempDir, Project) {
        let folder = TempDir::new().unwrap();
        let project = Project::at(folder.path()).unwrap();
        (folder, project)
    }

    fn hub(pid: u32, stopping: bool) -> HubFile {
        let (socket, started) = ("/run/x.sock".into(), "2026-11-24T10:00:00Z".into());
        HubFile { socket, pid, started, version: "0.1.0".into(), stopping, failure: None }
    }

    #[test]
    fn the_nearest_manifest_or_state_upwards_is_the_project() {
        let (folder, outer) = project();
        let deep = folder.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        fs::write(folder.path().join(MANIFEST), "").unwrap();
        assert_eq!(Project::find(&deep).unwrap(), Some(outer));
        fs::create_dir(folder.path().join("a/.msx")).unwrap();
        let inner = Project::at(&folder.path().join("a")).unwrap();
        assert_eq!(Project::find(&deep).unwrap(), Some(inner));
    }

    #[test]
    fn a_hub_runs_as_long_as_its_lock_is_held() {
        let (_folder, project) = project();
        assert!(!project.hub_running().unwrap());
        project.prepare().unwrap();
        project.write_hub(&hub(7, false)).unwrap();
        let lock = project.acquire(Duration::ZERO).unwrap();
        assert!(project.hub_running().unwrap());
        assert_eq!(project.read_hub().unwrap(), None);
        assert!(project.acquire(Duration::ZERO).is_err());
        // As a guard does that inherits it.
        let inherited = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(project.hub_running().unwrap());
        drop(inherited);
        // A child that another test starts just now may hold a copy until its exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        while project.hub_running().unwrap() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(fs::read_to_string(project.state().join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn a_hub_that_stays_is_not_waited_for() {
        let (_folder, project) = project();
        let _lock = project.acquire(Duration::ZERO).unwrap();
        project.write_hub(&hub(process::id(), false)).unwrap();
        let start = Instant::now();
        let failure = project.acquire(Duration::from_secs(600)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(300));
        assert!(failure.message.contains(&format!("(pid {})", process::id())), "{failure}");
    }

    #[test]
    fn a_hub_that_is_ending_is_waited_for() {
        // Draining, killed with its guard still at work, and not far enough to have said who it is.
        for said in [Some(hub(process::id(), true)), Some(hub(u32::MAX, false)), None] {
            let (_folder, project) = project();
            let lock = project.acquire(Duration::ZERO).unwrap();
            if let Some(said) = &said {
                project.write_hub(said).unwrap();
            }
            let ending = thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                drop(lock);
            });
            assert!(project.acquire(Duration::from_secs(60)).is_ok(), "{said:?}");
            ending.join().unwrap();
        }
    }

    #[test]
    fn what_a_hub_says_of_itself_is_read_back_and_removed() {
        let (_folder, project) = project();
        project.prepare().unwrap();
        assert_eq!(project.read_hub().unwrap(), None);
        project.write_hub(&hub(7, false)).unwrap();
        assert_eq!(project.read_hub().unwrap(), Some(hub(7, false)));
        let failure = Failure::failed("could not end redis (pid 7)");
        project.end_hub(&Err(failure.clone())).unwrap();
        assert_eq!(project.read_hub().unwrap(), None, "it could not start, which `up` tells");
        project.write_hub(&hub(7, true)).unwrap();
        project.end_hub(&Err(failure.clone())).unwrap();
        assert_eq!(project.read_hub().unwrap().unwrap().failure, Some(failure));
        project.end_hub(&Err(Failure::interrupted(""))).unwrap();
        project.end_hub(&Ok(())).unwrap();
        assert_eq!(project.read_hub().unwrap(), None);
    }

    #[test]
    fn the_socket_stands_in_the_runtime_folder_where_that_is_usable() {
        let (folder, _) = project();
        let base = |path: &Path| runtime_folder(Some(path.into()), 21);
        let fallback = PathBuf::from(format!("/tmp/msx-{}", nix::unistd::getuid()));
        assert_eq!(base(folder.path()), folder.path().join("msx"));
        assert_eq!(runtime_folder(None, 21), fallback);
        assert_eq!(base(Path::new("relative")), fallback);
        assert_eq!(base(&folder.path().join("missing")), fallback);
        let long = folder.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        assert_eq!(base(&long), fallback);
    }

    #[test]
    fn a_socket_folder_that_others_could_enter_is_refused() {
        let (folder, _) = project();
        let mine = folder.path().join("msx");
        DirBuilder::new().mode(0o700).create(&mine).unwrap();
        assert_eq!(check_private(&mine), Ok(()));
        fs::set_permissions(&mine, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(check_private(&mine).is_err());
        let link = folder.path().join("link");
        symlink(&mine, &link).unwrap();
        assert!(check_private(&link).is_err());
    }
}
