//! `msx logs`: selection, order, following and closed pipes, on files as the log store writes them.

use std::fs::OpenOptions;
use std::io::Write;

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

fn append(sandbox: &Sandbox, path: &str, text: &str) {
    let path = sandbox.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn following_sees_lines_segments_and_services_that_come() {
    let sandbox = two_services();
    let mut follow = sandbox.start(&["logs", "-f", "--tail", "1"]);
    let mut lines = follow.lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "a-1 | fifth");
    append(&sandbox, ".msx/logs/m.a/000001.log", "2026-11-24T10:00:05.000Z a-1 out half");
    append(&sandbox, ".msx/logs/m.a/000001.log", " a line\n");
    assert_eq!(next(), "a-1 | half a line");
    append(&sandbox, ".msx/logs/m.a/000002.log", "2026-11-24T10:00:06.000Z a-1 out next segment\n");
    assert_eq!(next(), "a-1 | next segment");
    append(&sandbox, ".msx/logs/new/000001.log", "2026-11-24T10:00:07.000Z n-1 out new service\n");
    assert_eq!(next(), "n-1 | new service");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let sandbox = Sandbox::with_manifest("").file(".msx/logs/m.a/000001.log", &A.repeat(50_000));
    let mut logs = sandbox.start(&["logs"]);
    assert_eq!(logs.lines().next().unwrap().unwrap(), "a-1 | first");
    assert_eq!(logs.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn a_follower_without_reader_ends_although_nothing_is_printed() {
    let sandbox = two_services();
    let mut follow = sandbox.start(&["logs", "-f"]);
    assert_eq!(follow.lines().next().unwrap().unwrap(), "a-1 | first");
    assert_eq!(follow.end(), (Some(0), String::new(), String::new()));
}

#[test]
fn ctrl_c_ends_following_with_130() {
    let sandbox = two_services();
    let mut follow = sandbox.start(&["logs", "-f", "--tail", "0"]);
    let mut lines = follow.lines();
    // Not before the follower has seen the end of the files: repeated until it shows a line.
    let shown = std::thread::spawn(move || (lines.next().unwrap().unwrap(), lines));
    while !shown.is_finished() {
        append(&sandbox, ".msx/logs/m.a/000001.log", "2026-11-24T10:00:05.000Z a-1 out more\n");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (line, _open) = shown.join().unwrap();
    assert_eq!(line, "a-1 | more");
    follow.interrupt();
    assert_eq!(follow.end(), (Some(130), String::new(), String::new()));
}
