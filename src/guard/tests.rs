//! Real processes under a real guard, which here is a forked copy of the test program.
//!
//! A test that is about the hub's death, or that ends every descendant, has a forked hub as well, so that tests
//! run beside each other.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use tokio::time::timeout;

use super::processes;
use super::*;
use crate::guard::launch::Launch;
use crate::guard::leftovers::Leftover;
use crate::sys;

/// How long anything may take on a busy machine; nothing waits this long when it works.
const PATIENCE: Duration = Duration::from_secs(20);

// ---- a hub ----

/// A guard of this project, started by fork.
fn fork_guard(project: &Path) -> Launch {
    launch::begin(project, |socket, _| {
        Ok(sys::fork(Some(socket), || {
            setsid().unwrap();
            u8::from(format!("{:?}", run::run()) != format!("{:?}", ExitCode::SUCCESS))
        })
        .cast_unsigned())
    })
    .unwrap()
}

/// The test program as a hub.
struct Hub {
    guard: Guard,
    guard_pid: i32,
    project: tempfile::TempDir,
}

impl Hub {
    fn start() -> Self {
        let project = tempfile::tempdir().unwrap();
        let launch = fork_guard(project.path());
        let guard_pid = launch.pid.cast_signed();
        Self { guard: launch.connect().unwrap(), guard_pid, project }
    }

    fn spec(&self, argv: &[&str]) -> SpawnSpec {
        SpawnSpec {
            argv: argv.iter().map(Into::into).collect(),
            env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            cwd: self.project.path().to_owned(),
            fds: vec![],
        }
    }

    async fn sh(&self, script: &str) -> Process {
        self.guard.spawn(self.spec(&["sh", "-c", script])).await.unwrap()
    }

    /// Starts a script whose stdout can be read.
    async fn sh_piped(&self, script: &str) -> (Process, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let mut spec = self.spec(&["sh", "-c", script]);
        spec.fds.push((writer.into(), 1));
        (self.guard.spawn(spec).await.unwrap(), reader)
    }

    /// Ends the guard, which must have nothing left that it could not end.
    async fn end(self) {
        timeout(PATIENCE, self.guard.close()).await.unwrap();
        assert_eq!(reap(self.guard_pid), 0);
    }
}

/// Waits for a child of the test program and returns its exit code.
fn reap(pid: i32) -> i32 {
    let end = eventually(|| sys::wait(Some(pid), true).unwrap());
    assert!(end.exited, "killed by signal {}", end.status);
    end.status
}

/// Tries until there is a value.
fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "it did not happen in time");
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_alive(pid: i32) -> bool {
    processes::one(pid).unwrap().is_some_and(|seen| seen.alive)
}

/// Waits until none of these lives. Those that fell to the test program are reaped.
fn await_death(pids: &[i32]) {
    for &pid in pids {
        eventually(|| (!is_alive(pid)).then_some(()));
        let _ = sys::wait(Some(pid), true);
    }
}

fn read_pid(reader: &mut impl Read) -> i32 {
    let mut line = Vec::new();
    let mut byte = [0];
    while reader.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap().trim().parse().unwrap()
}

async fn exited(process: &mut Process) -> ExitStatus {
    timeout(PATIENCE, process.exited()).await.unwrap()
}

async fn emptied(process: &mut Process) {
    timeout(PATIENCE, process.emptied()).await.unwrap();
}

// ---- start and end ----

#[tokio::test]
async fn a_process_runs_and_its_end_is_told() {
    let hub = Hub::start();
    for (script, expected) in [
        ("exit 7", ExitStatus::Code(7)),
        ("exit 0", ExitStatus::Code(0)),
        ("kill -9 $$", ExitStatus::Signal(9)),
        ("kill -40 $$", ExitStatus::Signal(40)),
    ] {
        let mut process = hub.sh(script).await;
        assert!(process.pid > 0);
        assert_eq!(exited(&mut process).await, expected);
        emptied(&mut process).await;
        assert_eq!(exited(&mut process).await, expected);
        assert_eq!(processes::one(process.pid.cast_signed()).unwrap(), None);
    }
    hub.end().await;
}

#[tokio::test]
async fn many_processes_at_once_each_get_their_own_end() {
    let hub = Hub::start();
    let mut running = tokio::task::JoinSet::new();
    for code in 0..40 {
        let (guard, spec) = (hub.guard.clone(), hub.spec(&["sh", "-c", &format!("exit {code}")]));
        running.spawn(async move {
            let mut process = guard.spawn(spec).await.unwrap();
            emptied(&mut process).await;
            assert_eq!(exited(&mut process).await, ExitStatus::Code(code));
        });
    }
    running.join_all().await;
    hub.end().await;
}

#[tokio::test]
async fn a_failed_start_names_the_program_the_step_and_the_reason() {
    let hub = Hub::start();
    let mut nowhere = hub.spec(&["true"]);
    nowhere.cwd = PathBuf::from("/nowhere");
    let mut not_executable = hub.spec(&["./plain"]);
    File::create(hub.project.path().join("plain")).unwrap();
    not_executable.env.clear();
    let mut odd_number = hub.spec(&["true"]);
    odd_number.fds.push((File::open("/dev/null").unwrap().into(), -1));
    for (spec, expected) in [
        (
            hub.spec(&["msx-no-such-program"]),
            "msx-no-such-program: exec: No such file or directory (os error 2)",
        ),
        (nowhere, "true: chdir to /nowhere: No such file or directory (os error 2)"),
        (not_executable, "./plain: exec: Permission denied (os error 13)"),
        (hub.spec(&["true", "a\0b"]), "true: arguments: Invalid argument (os error 22)"),
        (odd_number, "true: dup2: Bad file descriptor (os error 9)"),
        (hub.spec(&[]), ": exec: No such file or directory (os error 2)"),
    ] {
        let error = hub.guard.spawn(spec).await.err().unwrap();
        assert_eq!(error.to_string(), format!("cannot start {expected}"));
    }
    let guard = hub.guard_pid;
    eventually(|| children(guard).is_empty().then_some(()));
    hub.end().await;
}

fn children(parent: i32) -> Vec<i32> {
    processes::all().unwrap().iter().filter(|seen| seen.parent == parent).map(|seen| seen.pid).collect()
}

#[tokio::test]
async fn a_signal_reaches_every_member_of_the_group() {
    let hub = Hub::start();
    let (mut process, mut output) = hub.sh_piped("sleep 1000 & echo $!; sleep 1000 & echo $!; wait").await;
    let members = [read_pid(&mut output), read_pid(&mut output)];
    process.signal(Signal::SIGTERM);
    assert_eq!(exited(&mut process).await, ExitStatus::Signal(libc::SIGTERM));
    emptied(&mut process).await;
    assert!(!members.into_iter().any(is_alive));
    hub.end().await;
}

#[tokio::test]
async fn a_signaller_works_beside_the_owner_and_is_harmless_afterwards() {
    let hub = Hub::start();
    let mut process = hub.sh("exec sleep 1000").await;
    let signaller = process.signaller();
    signaller.signal(Signal::SIGSTOP);
    signaller.signal(Signal::SIGKILL);
    assert_eq!(exited(&mut process).await, ExitStatus::Signal(libc::SIGKILL));
    emptied(&mut process).await;
    signaller.signal(Signal::SIGKILL);
    hub.end().await;
}

#[tokio::test]
async fn a_group_is_not_empty_while_a_grandchild_lives() {
    let hub = Hub::start();
    let (mut process, mut output) = hub.sh_piped("sleep 1000 & echo $!; exit 3").await;
    let grandchild = read_pid(&mut output);
    assert_eq!(exited(&mut process).await, ExitStatus::Code(3));
    assert!(timeout(Duration::from_millis(100), process.emptied()).await.is_err());
    // The dead leader still holds the number of the group.
    assert!(processes::one(process.pid.cast_signed()).unwrap().is_some_and(|leader| !leader.alive));
    kill(Pid::from_raw(grandchild), Signal::SIGKILL).unwrap();
    emptied(&mut process).await;
    assert_eq!(processes::one(process.pid.cast_signed()).unwrap(), None);
    hub.end().await;
}

#[tokio::test]
async fn a_member_whose_parent_left_the_group_counts_too() {
    let hub = Hub::start();
    // The parent of the last sleeper is in a session of its own and reaps it: the guard hears nothing of it.
    let script = r#"
import os, signal, time
def pause():
    signal.pause()
member = os.fork()
if member == 0:
    leaver = os.getpid()
    inner = os.fork()
    if inner == 0:
        pause()
    os.setsid()
    print(os.getpid(), inner, sep="\n", flush=True)
    os.waitpid(inner, 0)
    print("0", flush=True)
    pause()
"#;
    let (reader, writer) = io::pipe().unwrap();
    let mut spec = hub.spec(&["python3", "-c", script]);
    spec.fds.push((writer.into(), 1));
    let mut process = hub.guard.spawn(spec).await.unwrap();
    let mut output = reader;
    let (leaver, member) = (read_pid(&mut output), read_pid(&mut output));
    assert_eq!(exited(&mut process).await, ExitStatus::Code(0));
    assert!(timeout(Duration::from_millis(100), process.emptied()).await.is_err());
    kill(Pid::from_raw(member), Signal::SIGKILL).unwrap();
    emptied(&mut process).await;
    assert!(is_alive(leaver), "it is in no group of ours, so only the end of all ends it");
    hub.end().await;
    assert!(!is_alive(leaver));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_process_without_an_owner_is_killed() {
    let hub = Hub::start();
    let process = hub.sh("exec sleep 1000").await;
    let pid = process.pid.cast_signed();
    drop(process);
    eventually(|| processes::one(pid).unwrap().is_none().then_some(()));
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_start_that_nobody_waits_for_any_more_leaves_nothing() {
    let hub = Hub::start();
    for _ in 0..20 {
        let spawn = hub.guard.spawn(hub.spec(&["sleep", "1000"]));
        // Given up wherever it stands; if it did start, what it returned is dropped.
        drop(timeout(Duration::ZERO, spawn).await);
    }
    let mut last = hub.sh("exit 0").await;
    emptied(&mut last).await;
    eventually(|| children(hub.guard_pid).is_empty().then_some(()));
    hub.end().await;
}

// ---- what a child gets ----

#[tokio::test]
async fn only_named_descriptors_arrive() {
    let hub = Hub::start();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut spec = hub.spec(&["ls", "-l", "/proc/self/fd"]);
    spec.fds.push((writer.into(), 1));
    spec.fds.push((File::open("/dev/zero").unwrap().into(), 7));
    let mut process = hub.guard.spawn(spec).await.unwrap();
    let mut listing = String::new();
    reader.read_to_string(&mut listing).unwrap();
    let targets: Vec<_> = listing.lines().filter_map(|line| line.split_once(" -> ")).collect();
    let number = |head: &str| head.rsplit(' ').next().unwrap().parse::<i32>().unwrap();
    let targets: Vec<_> = targets.into_iter().map(|(head, target)| (number(head), target)).collect();
    assert_eq!(targets.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 7], "{listing}");
    assert_eq!((targets[0].1, targets[2].1, targets[4].1), ("/dev/null", "/dev/null", "/dev/zero"));
    assert!(targets[1].1.starts_with("pipe:"));
    assert!(targets[3].1.starts_with("/proc/"), "what ls itself opened");
    emptied(&mut process).await;
    hub.end().await;
}

#[tokio::test]
async fn descriptors_keep_their_numbers_whatever_numbers_the_guard_has_for_them() {
    let hub = Hub::start();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut spec = hub.spec(&["sh", "-c", "cat <&3; cat <&4; cat <&5; cat <&6; cat <&7; cat <&8; cat <&9"]);
    spec.fds.push((writer.into(), 1));
    for number in (3..=9).rev() {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "{number}").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        spec.fds.push((file.into(), number));
    }
    let mut process = hub.guard.spawn(spec).await.unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "3456789");
    emptied(&mut process).await;
    hub.end().await;
}

#[tokio::test]
async fn as_many_descriptors_as_a_message_carries_arrive_and_one_more_is_refused() {
    let hub = Hub::start();
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let with = |count: usize| {
        let mut spec = hub.spec(&["true"]);
        spec.fds = (3..).take(count).map(|number| (null.try_clone().unwrap(), number)).collect();
        spec
    };
    let mut process = hub.guard.spawn(with(sys::DESCRIPTORS_MAX)).await.unwrap();
    emptied(&mut process).await;
    let error = hub.guard.spawn(with(sys::DESCRIPTORS_MAX + 1)).await.err().unwrap();
    assert!(error.to_string().starts_with("cannot start true: send its descriptors: "), "{error}");
    hub.end().await;
}

#[tokio::test]
async fn an_environment_larger_than_the_socket_arrives_byte_by_byte() {
    let hub = Hub::start();
    let (mut reader, writer) = io::pipe().unwrap();
    let mut spec = hub.spec(&["sh", "-c", "printf '%s' \"$ODD $1\"; env | wc -c", "sh", "argument"]);
    spec.argv[4] = std::ffi::OsString::from_vec(b"\xfe".to_vec());
    spec.env.push(("ODD".into(), std::ffi::OsString::from_vec(b"\xff=\x01".to_vec())));
    spec.env.extend((0..10).map(|i| (format!("LARGE{i}").into(), "x".repeat(100_000).into())));
    spec.fds.push((writer.into(), 1));
    let mut process = hub.guard.spawn(spec).await.unwrap();
    let mut output = Vec::new();
    reader.read_to_end(&mut output).unwrap();
    let size = output.strip_prefix(b"\xff=\x01 \xfe").unwrap();
    assert!(String::from_utf8_lossy(size).trim().parse::<usize>().unwrap() > 1_000_000);
    emptied(&mut process).await;
    hub.end().await;
}

#[tokio::test]
async fn a_child_begins_with_default_signals_its_own_group_and_the_mark() {
    let hub = Hub::start();
    let (mut process, mut output) = hub
        .sh_piped(
            "grep -E 'Sig(Blk|Ign)' /proc/self/status; echo $MSX_PROJECT; pwd; cut -d' ' -f5 /proc/$$/stat",
        )
        .await;
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let (signals, rest) = text.split_at(text.find('/').unwrap());
    for line in signals.lines() {
        let set = u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap();
        // 32 and 33 belong to the C library and cannot be reset through it.
        assert_eq!(set & !(0b11 << 31), 0, "{line}");
    }
    let (given, real) = (hub.project.path(), hub.project.path().canonicalize().unwrap());
    assert_eq!(rest, format!("{}\n{}\n{}\n", given.display(), real.display(), process.pid));
    emptied(&mut process).await;
    hub.end().await;
}

// ---- deaths of hub and guard ----

/// A script that leaves its group in several ways and prints the pids of all it started, its own first.
const FAMILY: &str = "echo $$
sleep 1000 & echo $!
setsid sleep 1000 & echo $!
setsid sh -c 'echo $$; trap \"\" TERM HUP INT; (trap \"\" TERM; sleep 1000) & echo $!; wait' &
wait";
const FAMILY_SIZE: usize = 5;

/// A hub in a process of its own that starts a family, tells the pids of the guard and of all, and goes on as
/// `then` says.
fn fork_hub(
    project: &Path,
    script: &'static str,
    then: impl AsyncFnOnce(Guard, Process) -> u8,
) -> (i32, PipeReader) {
    // So that what outlives hub and guard falls to the test program, and is reaped.
    prctl::set_child_subreaper(true).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let project = project.to_owned();
    // It keeps the descriptors: the runtime has some that every runtime of the program uses.
    let pid = sys::fork(None, move || {
        let mut output = writer;
        let launch = fork_guard(&project);
        writeln!(output, "{}", launch.pid).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let guard = launch.connect().unwrap();
            let spec = SpawnSpec {
                argv: ["sh", "-c", script].map(Into::into).into(),
                env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
                cwd: project.clone(),
                fds: vec![(output.into(), 1)],
            };
            let process = guard.spawn(spec).await.unwrap();
            then(guard, process).await
        })
    });
    (pid, reader)
}

async fn for_ever(_guard: Guard, _process: Process) -> u8 {
    std::future::pending().await
}

fn read_pids(output: &mut PipeReader, count: usize) -> Vec<i32> {
    (0..count).map(|_| read_pid(output)).collect()
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// The living whose environment names the project.
fn marked(project: &Path) -> Vec<i32> {
    let entry = [b"MSX_PROJECT=", project.as_os_str().as_encoded_bytes(), b"\0"].concat();
    let is_marked = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(entry.len()).any(|window| window == entry)
    };
    processes::all().unwrap().iter().map(|seen| seen.pid).filter(|&pid| is_marked(pid)).collect()
}

#[test]
fn a_killed_hub_leaves_nothing() {
    let project = tempfile::tempdir().unwrap();
    let (hub, mut output) = fork_hub(project.path(), FAMILY, for_ever);
    let guard = read_pid(&mut output);
    let family = read_pids(&mut output, FAMILY_SIZE);
    assert!(family.iter().all(|&pid| is_alive(pid)));
    send(hub, Signal::SIGKILL);
    await_death(&[hub]);
    assert_eq!(reap(guard), 0, "the guard proved that nothing is left");
    assert!(!family.into_iter().any(is_alive));
}

#[test]
fn a_killed_guard_leaves_nothing_once_the_hub_has_ended_its_descendants() {
    let project = tempfile::tempdir().unwrap();
    let (hub, mut output) = fork_hub(project.path(), FAMILY, async |guard, mut process| {
        guard.lost().await;
        assert_eq!(process.exited().await, ExitStatus::Signal(libc::SIGKILL));
        let spec = SpawnSpec { argv: vec!["true".into()], env: vec![], cwd: "/".into(), fds: vec![] };
        let error = guard.spawn(spec).await.err().unwrap();
        assert_eq!(error.to_string(), "cannot start true: the guard is gone");
        assert_eq!(end_descendants(PATIENCE), Ok(()));
        0
    });
    let guard = read_pid(&mut output);
    let family = read_pids(&mut output, FAMILY_SIZE);
    send(guard, Signal::SIGKILL);
    assert_eq!(reap(hub), 0);
    assert!(!family.into_iter().chain([guard]).any(is_alive));
}

#[tokio::test]
async fn a_guard_ignores_the_signals_that_people_send() {
    let hub = Hub::start();
    let first = hub.sh("exec sleep 1000").await;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1] {
        send(hub.guard_pid, signal);
    }
    let mut second = hub.sh("exit 5").await;
    assert_eq!(exited(&mut second).await, ExitStatus::Code(5));
    assert!(is_alive(first.pid.cast_signed()));
    hub.end().await;
    assert!(!is_alive(first.pid.cast_signed()));
}

/// Two chains of processes that fork and exit for ever, one in the group and one in a session of its own, and
/// a crowd.
const STORM: &str = r#"setsid sh -c 'f() { f & }; f'
sh -c 'f() { f & }; f'
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (trap "" TERM; sleep 1000; :) & done
echo 0
wait"#;

#[test]
fn a_fork_storm_ends_with_its_hub() {
    let project = tempfile::tempdir().unwrap();
    let (hub, mut output) = fork_hub(project.path(), STORM, for_ever);
    let guard = read_pid(&mut output);
    assert_eq!(read_pid(&mut output), 0);
    send(hub, Signal::SIGKILL);
    await_death(&[hub]);
    assert_eq!(reap(guard), 0, "the guard proved that nothing is left");
    assert_eq!(marked(project.path()), [0_i32; 0]);
}

#[test]
fn a_fork_storm_ends_with_its_guard() {
    let project = tempfile::tempdir().unwrap();
    let (hub, mut output) = fork_hub(project.path(), STORM, async |guard, _process| {
        guard.lost().await;
        u8::from(end_descendants(PATIENCE).is_err())
    });
    let guard = read_pid(&mut output);
    assert_eq!(read_pid(&mut output), 0);
    send(guard, Signal::SIGKILL);
    assert_eq!(reap(hub), 0);
    assert_eq!(marked(project.path()), [0_i32; 0]);
}

#[test]
fn the_next_hub_ends_what_hub_and_guard_left_when_both_were_killed() {
    let project = tempfile::tempdir().unwrap();
    let (hub, mut output) = fork_hub(project.path(), FAMILY, for_ever);
    let guard = read_pid(&mut output);
    let family = read_pids(&mut output, FAMILY_SIZE);
    assert_eq!(end_leftovers(project.path()).unwrap(), [], "a live hub's processes are its own");
    send(guard, Signal::SIGSTOP);
    send(hub, Signal::SIGKILL);
    await_death(&[hub]);
    send(guard, Signal::SIGKILL);
    await_death(&[guard, family[0]]);
    assert!(family[1..].iter().all(|&pid| is_alive(pid)));

    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(end_leftovers(elsewhere.path()).unwrap(), []);
    let ended = end_leftovers(project.path()).unwrap();
    let pids: Vec<_> = ended.iter().map(|leftover| leftover.pid.cast_signed()).collect();
    assert!(family[1..].iter().all(|pid| pids.contains(pid)), "{family:?} {ended:?}");
    assert!(ended.iter().any(|leftover| leftover.command == "sleep 1000"), "{ended:?}");
    await_death(&family);
    assert_eq!(end_leftovers(project.path()).unwrap(), []);
}

/// The mark of a hub that is dead for certain: its start lies after every other.
fn dead_mark(project: &Path) -> leftovers::Environment {
    let mut mark = leftovers::mark(project).unwrap();
    mark[2].1 = format!("1.{}", u64::MAX).into();
    mark
}

#[test]
fn a_person_who_copied_the_environment_of_an_instance_is_spared() {
    let project = tempfile::tempdir().unwrap();
    // The session's leader is a shell without the mark, as in a terminal.
    let mut shell = Command::new("setsid");
    shell.args(["sh", "-c", "env \"$@\" sleep 1000 & echo $!; wait", "sh"]).stdout(Stdio::piped());
    shell.args(
        dead_mark(project.path())
            .iter()
            .map(|(name, value)| [name.as_encoded_bytes(), value.as_encoded_bytes()].join(&b'='))
            .map(std::ffi::OsString::from_vec),
    );
    let mut shell = shell.spawn().unwrap();
    let sleeper = read_pid(shell.stdout.as_mut().unwrap());
    eventually(|| marked(project.path()).contains(&sleeper).then_some(()));
    assert_eq!(end_leftovers(project.path()).unwrap(), []);
    assert!(is_alive(sleeper));
    send(sleeper, Signal::SIGKILL);
    assert!(shell.wait().unwrap().success());
}

#[test]
fn a_mark_counts_only_when_it_is_complete_and_of_this_project_and_boot() {
    let project = tempfile::tempdir().unwrap();
    let whole = dead_mark(project.path());
    let changed = |at: usize, value: &str| {
        let mut mark = whole.clone();
        mark[at].1 = value.into();
        mark
    };
    let sleep = |mark: leftovers::Environment| {
        Command::new("setsid")
            .args(["sleep", "1000"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(mark)
            .spawn()
            .unwrap()
    };
    let project_only = vec![whole[0].clone()];
    let mut spared =
        [changed(0, "/elsewhere"), changed(1, "another-boot"), changed(2, "no mark"), project_only]
            .map(sleep);
    let mut ended = sleep(whole.clone());
    let is_asleep = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap().starts_with(b"sleep");
    for child in spared.iter().chain([&ended]) {
        eventually(|| is_asleep(child.id()).then_some(()));
    }
    let expected = Leftover { pid: ended.id(), command: "sleep 1000".to_owned() };
    assert_eq!(end_leftovers(project.path()).unwrap(), [expected]);
    assert!(ended.wait().unwrap().code().is_none());
    for child in &mut spared {
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
