//! Ending everything that descends from this process, however it was started and wherever it went.

use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp};

use super::processes::{self, Seen};
use crate::sys;

/// Between two passes: long enough for the killed to die, short beside every bound.
const PASS_PAUSE: Duration = Duration::from_millis(2);

/// Kills and reaps every descendant of this process until none is left. This process must be a child subreaper
/// and nothing else in it may wait for children.
///
/// It returns as soon as the kernel says that there is no child: then there is no descendant either, because
/// each would hang from one. Those that live after `bound` are returned by pid.
pub fn end_descendants(bound: Duration) -> Result<(), Vec<u32>> {
    let deadline = Instant::now() + bound;
    loop {
        let table = processes::all().unwrap_or_default();
        let left = processes::descendants(&table, this_process());
        kill(&left);
        if reap_all() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(left.iter().filter(|seen| seen.alive).map(|seen| seen.pid.cast_unsigned()).collect());
        }
        thread::sleep(PASS_PAUSE);
    }
}

/// Whole groups first: the kernel kills a group in one step, so nothing in it can fork past the signal. A group
/// is named by number only while a child of ours, which none but us can reap, holds the number.
fn kill(left: &[&Seen]) {
    let (me, own_group) = (this_process(), getpgrp().as_raw());
    let children = left.iter().filter(|seen| seen.parent == me && seen.group != own_group);
    for group in children.map(|seen| seen.group).collect::<BTreeSet<_>>() {
        // Refused or already empty: the passes over single processes, and in the end the bound, find it out.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    for seen in left.iter().filter(|seen| seen.alive) {
        let _ = kill_one(seen);
    }
}

/// Kills exactly this process, never one that got its id since.
pub fn kill_one(seen: &Seen) -> io::Result<()> {
    let pidfd = match sys::pidfd(seen.pid) {
        Err(error) if processes::is_gone(&error) => return Ok(()),
        other => other?,
    };
    // The handle was opened after the look: it is the one that was seen only if the id has not changed hands.
    if processes::one(seen.pid)?.is_none_or(|now| now.start != seen.start) {
        return Ok(());
    }
    match sys::pidfd_signal(&pidfd, Signal::SIGKILL) {
        Err(error) if !processes::is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Reaps every child that ended; true: there is no child any more.
fn reap_all() -> bool {
    loop {
        match sys::wait(None, true) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(error) => return error.raw_os_error() == Some(Errno::ECHILD as i32),
        }
    }
}

pub fn this_process() -> i32 {
    std::process::id().cast_signed()
}
