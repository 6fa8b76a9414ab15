use std::fs;

use super::*;

const A: Subject<'_> = Subject { service: Some("m.a"), shown: "a" };

fn texts(reader: &mut Reader) -> Vec<String> {
    std::iter::from_fn(|| reader.next().unwrap()).map(|event| event.text).collect()
}

#[test]
fn a_reader_finds_what_was_told_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut early = Reader::open(folder.path()).unwrap();
    assert_eq!(texts(&mut early), Vec::<String>::new());
    let events = Events::open(folder.path()).unwrap();
    events.tell(EventKind::Up, Subject::HUB, "one");
    events.tell_step(EventKind::Scaled, A, Some((1, 2)), "two");
    assert_eq!(texts(&mut early), ["one", "two"]);
    drop(events);
    // What a hub that died had begun to write stays a line that nobody can read.
    let path = folder.path().join("events.jsonl");
    let half = fs::read_to_string(&path).unwrap() + "{\"at\":\n";
    fs::write(&path, half).unwrap();
    let events = Events::open(folder.path()).unwrap();
    events.tell(EventKind::Down, Subject::HUB, "three");
    assert_eq!(texts(&mut early), ["three"]);
    assert_eq!(texts(&mut Reader::open(folder.path()).unwrap()), ["one", "two", "three"]);
}

#[test]
fn the_files_are_bounded_and_a_follower_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let events = Events::open(folder.path()).unwrap();
    let mut follower = Reader::open(folder.path()).unwrap();
    let mut seen = 0;
    for n in 0..2_000 {
        events.tell(EventKind::Exited, A, &format!("{n} {}", "x".repeat(2_000)));
        if n % 7 == 0 {
            for text in texts(&mut follower) {
                assert!(text.starts_with(&format!("{seen} ")), "{seen}: {text}");
                seen += 1;
            }
            assert_eq!(seen, n + 1);
        }
    }
    let bytes: u64 =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 2 * (FILE_BYTES_MAX + 4_000), "{bytes}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let kept = texts(&mut Reader::open(folder.path()).unwrap());
    assert!(kept.len() > 400 && kept.last().unwrap().starts_with("1999 "), "{}", kept.len());
}

#[test]
fn the_last_steps_of_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let events = Events::open(folder.path()).unwrap();
    let b = Subject { service: Some("m.b"), shown: "b" };
    for (subject, text) in [(A, "a1"), (b, "b1"), (A, "a2"), (A, "a3")] {
        events.tell_step(EventKind::Scaled, subject, Some((1, 2)), text);
    }
    events.tell(EventKind::Exited, A, "no step");
    let steps: Vec<String> = events.steps("m.a", 2).into_iter().map(|step| step.text).collect();
    assert_eq!(steps, ["a3", "a2"]);
}
