//! Writer and reader together, on real pipes and files.

use std::fs::{self, File};
use std::io::{PipeWriter, Write, pipe};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::model::ServiceName;

/// A pump and the ends that a child would hold.
struct Child {
    pump: Pump,
    stdout: PipeWriter,
    stderr: PipeWriter,
}

fn child(store: &LogStore, service: &str, instance: &str) -> Child {
    let ((out, stdout), (err, stderr)) = (pipe().unwrap(), pipe().unwrap());
    let pump = store.pump(&ServiceName::new(service), instance, out.into(), err.into());
    Child { pump, stdout, stderr }
}

impl Child {
    async fn end(self) -> Pump {
        drop((self.stdout, self.stderr));
        self.pump.finished().await;
        self.pump
    }
}

fn reader(root: &Path, names: &[&str], position: Position) -> Reader {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Reader::open(root, select(root, &names).unwrap().unwrap(), position).unwrap()
}

fn read_all(reader: &mut Reader) -> Vec<Entry> {
    reader.refresh().unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.line.as_str()).collect()
}

#[tokio::test]
async fn what_a_child_prints_is_read_back_with_its_place() {
    let root = TempDir::new().unwrap();
    let store = LogStore::new(root.path()).unwrap();
    let before = Timestamp::now();
    let mut child = child(&store, "m.a", "a-1");
    child.stdout.write_all(b"hello\nno newline").unwrap();
    child.stderr.write_all(b"\xff broken\n").unwrap();
    let pump = child.end().await;
    assert_eq!(pump.lines().last(50).len(), 3);

    let entries = read_all(&mut reader(root.path(), &[], Position::Start));
    let mut got: Vec<_> = entries.iter().map(|e| (e.stream.name(), e.line.as_str())).collect();
    got.sort_unstable();
    assert_eq!(got, [("stderr", "\u{fffd} broken"), ("stdout", "hello"), ("stdout", "no newline")]);
    let age = |e: &Entry| e.time.duration_since(before).as_millis();
    assert!(
        entries.iter().all(|e| *e.service == *"m.a" && e.instance == "a-1" && (-1..60_000).contains(&age(e)))
    );
}

#[tokio::test]
async fn a_service_has_a_log_before_it_prints() {
    let root = TempDir::new().unwrap();
    let store = LogStore::new(root.path()).unwrap();
    child(&store, "m.quiet", "quiet-1").end().await;
    assert!(select(root.path(), &["quiet".into()]).unwrap().is_ok());
}

#[tokio::test]
async fn the_last_lines_are_kept_within_their_bounds() {
    let root = TempDir::new().unwrap();
    let store = LogStore::new(root.path()).unwrap();
    let mut child = child(&store, "m.a", "a-1");
    for n in 0..200 {
        writeln!(child.stdout, "{n}").unwrap();
    }
    writeln!(child.stdout, "{}", "x".repeat(LAST_LINE_BYTES_MAX + 1)).unwrap();
    let pump = child.end().await;
    assert_eq!(pump.lines().last(3)[..2], ["198", "199"]);
    assert_eq!(pump.lines().last(1)[0].len(), LAST_LINE_BYTES_MAX);
    assert_eq!(pump.lines().last(1000).len(), LAST_LINES_MAX);
}

#[tokio::test]
async fn a_service_keeps_a_bounded_log_and_a_follower_misses_nothing() {
    let root = TempDir::new().unwrap();
    let store = LogStore::new(root.path()).unwrap();
    let mut child = child(&store, "m.a", "a-1");
    let mut follower = reader(root.path(), &[], Position::Start);
    let (line, lines) = ("x".repeat(60_000), 10 * SEGMENT_BYTES_MAX / 60_000);
    let printed = thread::spawn(move || {
        for n in 0..lines {
            writeln!(child.stdout, "{n} {line}").unwrap();
        }
        child
    });
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen < lines {
        assert!(Instant::now() < deadline, "{seen} of {lines}");
        for entry in read_all(&mut follower) {
            assert_eq!(entry.line.split(' ').next(), Some(seen.to_string().as_str()));
            seen += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    printed.join().unwrap().end().await;
    let numbers = segments::list(&root.path().join("m.a")).unwrap();
    assert!(numbers.len() == SEGMENTS_MAX && numbers[0] > 1, "{numbers:?}");
}

#[tokio::test]
async fn a_disk_that_refuses_loses_lines_and_says_how_many() {
    let root = TempDir::new().unwrap();
    let store = LogStore::new(root.path()).unwrap();
    // A file where the folder should be: every write fails, as on a full disk.
    let obstacle = root.path().join("m.a");
    File::create(&obstacle).unwrap();
    let mut first = child(&store, "m.a", "a-1");
    first.stdout.write_all(b"1\n2\n3\n").unwrap();
    assert_eq!(first.end().await.lines().last(9), ["1", "2", "3"]);

    fs::remove_file(obstacle).unwrap();
    let mut second = child(&store, "m.a", "a-2");
    second.stdout.write_all(b"4\n").unwrap();
    second.end().await;
    let entries = read_all(&mut reader(root.path(), &[], Position::Start));
    assert_eq!(entries[0].stream, Stream::Store);
    assert!(entries[0].line.starts_with("3 lines were dropped: "), "{}", entries[0].line);
    assert_eq!(texts(&entries[1..]), ["4"]);
}

#[tokio::test]
async fn a_hub_goes_on_after_one_that_died_in_a_write() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("m.a");
    fs::create_dir_all(&folder).unwrap();
    let torn = "2026-11-24T10:00:00.000Z a-1 out whole\n2026-11-24T10:00:01.0";
    fs::write(folder.join("000004.log"), torn).unwrap();
    let store = LogStore::new(root.path()).unwrap();
    let mut child = child(&store, "m.a", "a-1");
    child.stdout.write_all(b"next\n").unwrap();
    child.end().await;
    assert_eq!(texts(&read_all(&mut reader(root.path(), &[], Position::Start))), ["whole", "next"]);
    assert_eq!(segments::list(&folder).unwrap(), [4]);
}

fn segment(root: &Path, service: &str, number: u64, lines: &[(&str, &str)]) {
    let folder = root.join(service);
    fs::create_dir_all(&folder).unwrap();
    let text: String = lines.iter().map(|(time, line)| format!("2026-11-24T{time}.000Z {line}\n")).collect();
    fs::write(segments::path(&folder, number), text).unwrap();
}

#[test]
fn several_services_are_merged_by_time_from_any_position() {
    let root = TempDir::new().unwrap();
    segment(root.path(), "m.a", 1, &[("10:00:00", "a-1 out 1"), ("10:00:02", "a-2 out 3")]);
    segment(root.path(), "m.a", 2, &[("10:00:04", "a-1 out 5")]);
    segment(root.path(), "m.b", 9, &[("10:00:01", "b-1 out 2"), ("10:00:03", "b-1 out 4")]);
    let read = |names: &[&str], position| {
        let entries = read_all(&mut reader(root.path(), names, position));
        entries.iter().map(|entry| entry.line.clone()).collect::<String>()
    };
    assert_eq!(read(&[], Position::Start), "12345");
    assert_eq!(read(&[], Position::End), "");
    assert_eq!(read(&[], Position::Since("2026-11-24T10:00:03Z".parse().unwrap())), "45");
    assert_eq!(read(&["a"], Position::Start), "135");
    assert_eq!(read(&["m.b", "a-2"], Position::Start), "234");
    // Enough of each service for the last two lines of all.
    assert_eq!(read(&["a"], Position::Last(2)), "135");
    assert_eq!(read(&["a"], Position::Last(1)), "5");
    assert_eq!(read(&[], Position::Last(0)), "");
}

#[test]
fn a_log_that_was_quiet_since_then_is_still_followed() {
    let root = TempDir::new().unwrap();
    segment(root.path(), "m.a", 1, &[("10:00:00", "a-1 out old")]);
    let mut reader = reader(root.path(), &[], Position::Since("2100-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(texts(&read_all(&mut reader)), [""; 0]);
    let mut file = fs::OpenOptions::new().append(true).open(root.path().join("m.a/000001.log")).unwrap();
    file.write_all(b"2100-01-01T00:00:01.000Z a-1 out new\n").unwrap();
    assert_eq!(texts(&read_all(&mut reader)), ["new"]);
}

#[test]
fn a_reader_that_was_overtaken_says_so() {
    let root = TempDir::new().unwrap();
    segment(root.path(), "m.a", 1, &[("10:00:00", "a-1 out 1")]);
    let mut reader = reader(root.path(), &[], Position::Start);
    assert_eq!(texts(&read_all(&mut reader)), ["1"]);
    segment(root.path(), "m.a", 3, &[("10:00:02", "a-1 out 3")]);
    fs::remove_file(root.path().join("m.a/000001.log")).unwrap();
    let entries = read_all(&mut reader);
    assert_eq!(entries[0].stream, Stream::Store);
    assert_eq!(texts(&entries[1..]), ["3"]);
}

#[test]
fn names_are_resolved_or_refused() {
    let root = TempDir::new().unwrap();
    for service in ["shop.a", "depot.a", "shop.b", "web-2"] {
        segment(root.path(), service, 1, &[]);
    }
    let refused = |name: &str| select(root.path(), &[name.to_owned()]).unwrap().unwrap_err();
    assert_eq!(
        (refused("a").ambiguous, refused("a").candidates),
        (true, vec!["depot.a".into(), "shop.a".into()])
    );
    assert_eq!((refused("a-1").ambiguous, refused("c").ambiguous), (true, false));
    for fine in ["shop.a", "b", "b-7", "shop.b-1", "web-2", "web-2-1"] {
        assert!(select(root.path(), &[fine.to_owned()]).unwrap().is_ok(), "{fine}");
    }
}
