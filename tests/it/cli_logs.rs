//! `msx logs`: selection, order, following and closed pipes, on files as the log store writes them.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::support::{Sandbox, assert_output};

const A: &str = "\
2026-11-24T10:00:00.000Z a-1 out first
2026-11-24T10:00:02.000Z a-2 err third
2026-11-24T10:00:04.000Z a-1 out fifth
";
const LONG: &str = "\
2026-11-24T10:00:01.000Z long-1 out second
2026-11-24T10:00:03.000Z long-1 out fourth
";

fn two_services() -> Sandbox {
    Sandbox::with_manifest("").file(".msx/logs/m.a/000001.log", A).file(".msx/logs/n.long/000007.log", LONG)
}

#[test]
fn services_are_interleaved_by_time() {
    assert_output!(two_services(), ["logs"], @r"
    exit: 0
    --- stdout
    a-1 | first
    long-1 | second
    a-2    | third
    long-1 | fourth
    a-1    | fifth
    --- stderr
    ");
}

#[test]
fn names_choose_services_and_instances() {
    assert_output!(two_services(), ["logs", "long"], @r"
    exit: 0
    --- stdout
    long-1 | second
    long-1 | fourth
    --- stderr
    ");
    assert_output!(two_services(), ["logs", "m.a", "--json"], @r#"
    exit: 0
    --- stdout
    {"time":"2026-11-24T10:00:00.000Z","service":"m.a","instance":"a-1","stream":"stdout","line":"first"}
    {"time":"2026-11-24T10:00:02.000Z","service":"m.a","instance":"a-2","stream":"stderr","line":"third"}
    {"time":"2026-11-24T10:00:04.000Z","service":"m.a","instance":"a-1","stream":"stdout","line":"fifth"}
    --- stderr
    "#);
    assert_output!(two_services(), ["logs", "a-2"], @r"
    exit: 0
    --- stdout
    a-2 | third
    --- stderr
    ");
}

#[test]
fn tail_and_since_choose_lines() {
    assert_output!(two_services(), ["logs", "--tail", "2"], @r"
    exit: 0
    --- stdout
    long-1 | fourth
    a-1    | fifth
    --- stderr
    ");
    assert_output!(two_services(), ["logs", "--tail", "0"], @r"
    exit: 0
    --- stdout
    --- stderr
    ");
    assert_output!(two_services(), ["logs", "--since", "2026-11-24T10:00:03"], @r"
    exit: 0
    --- stdout
    long-1 | fourth
    a-1    | fifth
    --- stderr
    ");
}

#[test]
fn each_instance_has_its_colour() {
    assert_output!(two_services(), ["logs", "a", "--color", "always"], @"
    exit: 0
    --- stdout
    \x1b[94ma-1 |\x1b[0m first
    \x1b[93ma-2 |\x1b[0m third
    \x1b[94ma-1 |\x1b[0m fifth
    --- stderr
    ");
}

/// `msx logs -f`, ended with the test.
struct Follow(Child);

impl Follow {
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_msx"));
        command.args(["logs", "-f"]).args(args).current_dir(sandbox.root()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn append(sandbox: &Sandbox, path: &str, text: &str) {
    let path = sandbox.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn following_sees_lines_segments_and_services_that_come() {
    let sandbox = two_services();
    let mut follow = Follow::start(&sandbox, &["--tail", "1"]);
    let mut lines = follow.lines();
    assert_eq!(lines.next().unwrap(), "a-1 | fifth");
    append(&sandbox, ".msx/logs/m.a/000001.log", "2026-11-24T10:00:05.000Z a-1 out half");
    append(&sandbox, ".msx/logs/m.a/000001.log", " a line\n");
    assert_eq!(lines.next().unwrap(), "a-1 | half a line");
    append(&sandbox, ".msx/logs/m.a/000002.log", "2026-11-24T10:00:06.000Z a-1 out next segment\n");
    assert_eq!(lines.next().unwrap(), "a-1 | next segment");
    append(&sandbox, ".msx/logs/new/000001.log", "2026-11-24T10:00:07.000Z n-1 out new service\n");
    assert_eq!(lines.next().unwrap(), "n-1 | new service");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let sandbox = Sandbox::with_manifest("").file(".msx/logs/m.a/000001.log", &A.repeat(50_000));
    let mut command = Command::new(env!("CARGO_BIN_EXE_msx"));
    command.arg("logs").current_dir(sandbox.root()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_follower_without_reader_ends_although_nothing_is_printed() {
    let sandbox = two_services();
    let mut follow = Follow::start(&sandbox, &[]);
    let mut lines = follow.lines();
    assert_eq!(lines.next().unwrap(), "a-1 | first");
    drop(lines);
    assert_eq!(follow.0.wait().unwrap().code(), Some(0));
}

#[test]
fn ctrl_c_ends_following_with_130() {
    let sandbox = two_services();
    let mut follow = Follow::start(&sandbox, &[]);
    let mut lines = follow.lines();
    // All of the history has been printed, so the signal finds it following.
    assert_eq!(lines.nth(4).unwrap(), "a-1    | fifth");
    append(&sandbox, ".msx/logs/m.a/000001.log", "2026-11-24T10:00:05.000Z a-1 out more\n");
    assert_eq!(lines.next().unwrap(), "a-1    | more");
    let pid = nix::unistd::Pid::from_raw(follow.0.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(follow.0.wait().unwrap().code(), Some(130));
}
