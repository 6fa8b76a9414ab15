//! The table of processes as `/proc` shows it: who is whose child, in which group, since when.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};

use nix::errno::Errno;

/// One line of the table: the fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub pid: i32,
    pub name: String,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// Whether it has a controlling terminal.
    pub terminal: bool,
    /// Clock ticks from boot to its start; with the pid it names a process for ever.
    pub start: u64,
    /// Not dead: a zombie whose other threads run on is alive.
    pub alive: bool,
}

/// Every process there is. One that exists before and after the call is in it; the rest may or may not be.
pub fn all() -> io::Result<Vec<Seen>> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        table.extend(one(pid)?);
    }
    Ok(table)
}

/// This process; `None`: there is none with this id.
pub fn one(pid: i32) -> io::Result<Option<Seen>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(line) => Ok(parse(&String::from_utf8_lossy(&line))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error about a process says that it is no more, and not that we failed to look.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// A line of `/proc/PID/stat`. The name stands in brackets and may contain anything, brackets too.
fn parse(line: &str) -> Option<Seen> {
    let (head, tail) = line.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<i32>().ok();
    let threads = number(17)?;
    Some(Seen {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        terminal: number(4)? != 0,
        start: fields.get(19)?.parse().ok()?,
        alive: !matches!(*fields.first()?, "Z" | "X") || threads > 1,
    })
}

/// The processes of the table that descend from `root`, dead ones included.
pub fn descendants(table: &[Seen], root: i32) -> Vec<&Seen> {
    let mut children: HashMap<i32, Vec<&Seen>> = HashMap::new();
    for seen in table.iter().filter(|seen| seen.pid != root) {
        children.entry(seen.parent).or_default().push(seen);
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while let Some(seen) = found.get(next) {
        found.extend(children.remove(&seen.pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// The living processes of the table in the group of this leader, or below it in another one.
pub fn members(table: &[Seen], leader: i32) -> Vec<&Seen> {
    let mut found: Vec<&Seen> = table.iter().filter(|seen| seen.group == leader).collect();
    found.extend(descendants(table, leader).into_iter().filter(|seen| seen.group != leader));
    found.extend(table.iter().filter(|seen| seen.pid == leader && seen.group != leader));
    found.retain(|seen| seen.alive);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(pid: i32, name: &str, state: &str, parent: i32, threads: i32) -> String {
        format!(
            "{pid} ({name}) {state} {parent} 7 8 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 1234 9 9\n"
        )
    }

    fn seen(pid: i32, parent: i32) -> Seen {
        parse(&line(pid, "x", "S", parent, 1)).unwrap()
    }

    #[test]
    fn a_name_may_contain_brackets_and_spaces() {
        let seen = parse(&line(42, "a) S 1 (b", "R", 5, 1)).unwrap();
        assert_eq!((seen.pid, seen.name.as_str(), seen.parent), (42, "a) S 1 (b", 5));
        assert_eq!((seen.group, seen.session, seen.terminal, seen.start), (7, 8, false, 1234));
    }

    #[test]
    fn a_zombie_is_dead_unless_its_other_threads_run() {
        assert!(!parse(&line(1, "x", "Z", 0, 1)).unwrap().alive);
        assert!(parse(&line(1, "x", "Z", 0, 2)).unwrap().alive);
        assert!(parse(&line(1, "x", "T", 0, 1)).unwrap().alive);
    }

    #[test]
    fn descendants_are_found_at_every_depth_and_loops_end() {
        let table = [seen(10, 1), seen(11, 10), seen(12, 11), seen(13, 1), seen(20, 21), seen(21, 20)];
        let pids: Vec<_> = descendants(&table, 10).iter().map(|seen| seen.pid).collect();
        assert_eq!(pids, [11, 12]);
        assert_eq!(descendants(&table, 20).len(), 1);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let pid = std::process::id().cast_signed();
        let table = all().unwrap();
        assert_eq!(table.iter().filter(|seen| seen.pid == pid && seen.alive).count(), 1);
        assert_eq!(one(-1).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in any::<String>()) {
            let _ = parse(&line);
        }
    }
}
