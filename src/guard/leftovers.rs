//! What an earlier run left when its hub and its guard were killed at once: recognised and ended.
//!
//! Every process that the guard starts, and the guard itself, carries three variables, which their children
//! inherit: `MSX_PROJECT`, the absolute folder; `MSX_BOOT`, the boot id of the kernel; `MSX_MARK`, the hub's
//! pid and start time. Together they name one hub for ever. A process is a leftover of a project only if all of
//! this holds; whatever cannot be read counts against it, so that doubt spares a process:
//!
//! - the three variables are in its environment, with this project and this boot;
//! - the hub that they name is dead (a live hub's processes are its own);
//! - it belongs to this user and to this pid namespace (a container may have the same folder and user);
//! - it is neither this process nor an ancestor of it;
//! - it has no controlling terminal, and the leader of its session is gone or is marked itself. Instances live
//!   in the session of their guard or in one made below it. The shell of a person who copied an instance's
//!   environment fails here: its terminal, or the session of its terminal emulator or editor, gives it away.
//!
//! Age needs no rule of its own: a child that a leftover forks while we look is one as well.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::end::{kill_one, this_process};
use super::processes::{self, Seen};

/// Names and values of environment variables.
pub type Environment = Vec<(OsString, OsString)>;

const PROJECT: &str = "MSX_PROJECT";
const BOOT: &str = "MSX_BOOT";
const MARK: &str = "MSX_MARK";

/// How long the killed may take to die.
const END_BOUND: Duration = Duration::from_secs(5);
const PASS_PAUSE: Duration = Duration::from_millis(5);

/// An environment is as long as exec allows at most; more than this is no environment.
const ENVIRONMENT_BYTES_MAX: u64 = 8 << 20;

/// A process that outlived the run that started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub pid: u32,
    /// Its command line, or its name when it has none.
    pub command: String,
}

/// The variables that name this process as the hub of a project.
pub fn mark(project: &Path) -> io::Result<Environment> {
    let hub = processes::one(this_process())?.ok_or(io::ErrorKind::NotFound)?;
    Ok(vec![
        (PROJECT.into(), project.into()),
        (BOOT.into(), boot_id()?),
        (MARK.into(), format!("{}.{}", hub.pid, hub.start).into()),
    ])
}

fn boot_id() -> io::Result<OsString> {
    Ok(OsString::from_vec(fs::read("/proc/sys/kernel/random/boot_id")?.trim_ascii_end().to_vec()))
}

/// Ends what earlier runs of this project left and returns it for the report. To be called with the project's
/// lock held, before anything is started. An error names those that outlive SIGKILL.
pub fn end_leftovers(project: &Path) -> io::Result<Vec<Leftover>> {
    let deadline = Instant::now() + END_BOUND;
    let boot = boot_id()?;
    let mut ended = BTreeMap::new();
    loop {
        let table = processes::all()?;
        let left = Search { table: &table, project: project.as_os_str(), boot: &boot }.leftovers();
        for seen in &left {
            ended.entry((seen.pid, seen.start)).or_insert_with(|| leftover(seen));
            kill_one(seen)?;
        }
        if left.is_empty() {
            return Ok(ended.into_values().collect());
        }
        if Instant::now() >= deadline {
            let names: Vec<_> = left.iter().map(|seen| format!("{} ({})", seen.pid, seen.name)).collect();
            return Err(io::Error::other(format!("still alive after SIGKILL: {}", names.join(", "))));
        }
        thread::sleep(PASS_PAUSE);
    }
}

fn leftover(seen: &Seen) -> Leftover {
    let line = fs::read(format!("/proc/{}/cmdline", seen.pid)).unwrap_or_default();
    let words: Vec<_> =
        line.split(|&byte| byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    let command = if words.is_empty() { seen.name.clone() } else { words.join(" ") };
    Leftover { pid: seen.pid.cast_unsigned(), command }
}

/// One look for the leftovers of a project.
struct Search<'a> {
    table: &'a [Seen],
    project: &'a OsStr,
    boot: &'a OsStr,
}

impl<'a> Search<'a> {
    fn leftovers(&self) -> Vec<&'a Seen> {
        let spared = self.lineage();
        self.table.iter().filter(|seen| !spared.contains(&seen.pid) && self.is_leftover(seen)).collect()
    }

    /// This process and its ancestors.
    fn lineage(&self) -> HashSet<i32> {
        let mut lineage = HashSet::new();
        let mut next = this_process();
        while lineage.insert(next) {
            next = self.find(next).map_or(next, |seen| seen.parent);
        }
        lineage
    }

    fn is_leftover(&self, seen: &Seen) -> bool {
        seen.alive && !seen.terminal && self.is_marked(seen) && self.is_in_a_marked_session(seen)
    }

    fn is_in_a_marked_session(&self, seen: &Seen) -> bool {
        // 0: the leader is outside of this pid namespace.
        seen.session != 0
            && self.find(seen.session).is_none_or(|leader| !leader.alive || self.is_marked(leader))
    }

    /// Whether it carries the mark of a dead hub of this project.
    fn is_marked(&self, seen: &Seen) -> bool {
        is_ours(seen.pid)
            && environment(seen.pid).is_ok_and(|environment| self.names_a_dead_hub(&environment))
    }

    fn names_a_dead_hub(&self, environment: &[u8]) -> bool {
        variable(environment, PROJECT) == Some(self.project.as_bytes())
            && variable(environment, BOOT) == Some(self.boot.as_bytes())
            && variable(environment, MARK)
                .and_then(hub)
                .is_some_and(|(pid, start)| self.find(pid).is_none_or(|hub| hub.start != start || !hub.alive))
    }

    fn find(&self, pid: i32) -> Option<&'a Seen> {
        self.table.iter().find(|seen| seen.pid == pid)
    }
}

/// Pid and start time out of `MSX_MARK`.
fn hub(mark: &[u8]) -> Option<(i32, u64)> {
    let (pid, start) = str::from_utf8(mark).ok()?.split_once('.')?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// The value of a variable in a block of `NAME=value`, each ended by a zero byte.
fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut entries = environment.split(|&byte| byte == 0);
    entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The environment with which a process began its program.
fn environment(pid: i32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Same user, same pid namespace.
fn is_ours(pid: i32) -> bool {
    let owner = |path: &str| fs::metadata(path).map(|metadata| metadata.uid());
    let namespace = |who: &str| fs::read_link(format!("/proc/{who}/ns/pid"));
    let (theirs, ours) = (owner(&format!("/proc/{pid}")), owner("/proc/self"));
    let same_user = matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours);
    let (theirs, ours) = (namespace(&pid.to_string()), namespace("self"));
    same_user && matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours)
}
