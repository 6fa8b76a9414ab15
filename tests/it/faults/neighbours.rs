//! More than one hub, what an earlier one left on disk, and folders that are hard to name or to write to.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::{all_end, call_at_gate, foreground, open, send};
use crate::support::Sandbox;
use crate::support::hub::{Hub, is_alive, marked};

#[test]
fn two_projects_do_not_disturb_each_other() {
    let (one, two) = (Sandbox::project("gates"), Sandbox::project("gates"));
    let (first, second) = (Hub::up(&one, &[]), Hub::up(&two, &[]));
    assert_ne!(first.call(&["pid"]), second.call(&["pid"]));
    let survivor = second.pids("pid");
    let pid = first.pid();
    send(&[pid], Signal::SIGKILL);
    all_end(&[pid]);
    let again = Hub::up(&one, &[]);
    assert_eq!(second.pids("pid"), survivor, "the next `up` of one ends nothing of the other");
    first.msx(&["down"]);
    assert!(survivor.iter().all(|pid| is_alive(*pid)));
    assert_eq!(second.call(&["pid"]), survivor[0].to_string());
    drop(again);
}

#[test]
fn a_second_up_says_that_a_hub_runs_and_what_to_do() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let (root, pid) = (sandbox.root(), hub.pid());
    let expected = format!(
        "exit: 1\n--- stdout\n--- stderr\nerror: a hub is already running for {} (pid {pid})\n\
         help: `msx ps` shows its services, `msx restart` restarts them, `msx down` ends it\n",
        root.display()
    );
    assert_eq!(sandbox.run(&["up"]), expected);
    assert_eq!(sandbox.run(&["up", "-d"]), expected);
    assert_eq!(hub.call(&["pid"]), hub.pids("pid")[0].to_string(), "it was not disturbed");
}

#[test]
fn of_two_that_start_at_once_one_becomes_the_hub() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub { sandbox: &sandbox };
    let ups = [(); 2].map(|()| sandbox.start(&["up", "-d", "--wait"]));
    let mut ends = ups.map(|up| up.end());
    ends.sort_by_key(|(code, ..)| *code);
    let [(first, _, told), (second, _, refused)] = ends;
    assert_eq!((first, second), (Some(0), Some(1)), "{told}\n{refused}");
    assert!(refused.contains("error: a hub is already running for"), "{refused}");
    assert_eq!(hub.call(&["pid"]), hub.pids("pid")[0].to_string());
    let downs = [(); 2].map(|()| sandbox.start(&["down"]));
    for down in downs {
        let (code, _, stderr) = down.end();
        assert_eq!(code, Some(0), "{stderr}");
    }
}

#[test]
fn what_a_dead_hub_left_on_disk_is_no_hub() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let file = sandbox.path(".msx/hub.json");
    let stale = std::fs::read_to_string(&file).unwrap();
    hub.msx(&["down"]);
    // As after a power failure: a file that names a hub, and a socket that nobody serves.
    let socket =
        serde_json::from_str::<serde_json::Value>(&stale).unwrap()["socket"].as_str().map(PathBuf::from);
    let socket = socket.unwrap();
    assert!(!socket.exists(), "a hub takes its socket along");
    drop(UnixListener::bind(&socket).unwrap());
    for left in [stale.as_str(), "", "{\"pid\": "] {
        std::fs::write(&file, left).unwrap();
        let call = sandbox.run(&["call", "pid"]);
        assert!(call.starts_with("exit: 1\n") && call.contains("error: no hub is running for"), "{call}");
        let down = sandbox.run(&["down"]);
        assert!(down.starts_with("exit: 0\n") && down.contains("no hub is running for"), "{down}");
        let hub = Hub::up(&sandbox, &[]);
        hub.call(&["pid"]);
        hub.msx(&["down"]);
    }
}

#[test]
fn a_hub_whose_state_is_removed_makes_room_for_the_next() {
    let sandbox = Sandbox::project("gates");
    let (up, hub) = foreground(&sandbox, &[]);
    let call = call_at_gate(&sandbox, "parks", "open");
    let old = marked(&sandbox.root());
    std::fs::remove_dir_all(sandbox.path(".msx")).unwrap();
    let next = Hub::up(&sandbox, &[]);
    open(&sandbox, "open");
    let (code, _, stderr) = call.end();
    assert_eq!(code, Some(0), "what ran may end: {stderr}");
    let (code, _, stderr) = up.end();
    assert!(code == Some(1) && stderr.contains("the folder .msx was removed"), "{code:?}: {stderr}");
    all_end(&Vec::from_iter(old));
    assert_eq!(next.call(&["pid"]), next.pids("pid")[0].to_string(), "the next one can be reached");
    drop(hub);
}

#[test]
fn a_folder_with_spaces_and_other_letters_is_a_project_like_any_other() {
    let sandbox = Sandbox::named("Größe & 東京's \"projekt\" $HOME %s")
        .file("services.toml", "[python]\nmodules = [\"one\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n")
        .file("one.py", "from msx import microservice\n\n@microservice\ndef one():\n    return __file__\n");
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(hub.call(&["one"]), sandbox.path("one.py").to_str().unwrap());
    assert!(hub.msx(&["logs"]).is_empty());
    let pid = hub.pid();
    send(&[pid], Signal::SIGKILL);
    all_end(&[pid]);
    let again = Hub::up(&sandbox, &[]);
    again.call(&["one"]);
    drop(hub);
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let sandbox = Sandbox::project("gates").file(".msx", "somebody's file");
    let path = sandbox.path(".msx");
    for args in [&["up"][..], &["up", "-d"]] {
        let up = sandbox.run(args);
        let expected = format!("exit: 1\n--- stdout\n--- stderr\nerror: cannot create {}: ", path.display());
        assert!(up.starts_with(&expected), "{up}");
    }
}

#[test]
fn a_lock_that_cannot_be_opened_is_named() {
    let sandbox = Sandbox::project("gates");
    std::fs::create_dir_all(sandbox.path(".msx/lock")).unwrap();
    let up = sandbox.run(&["up"]);
    let path = sandbox.path(".msx/lock");
    assert!(up.starts_with("exit: 1\n") && up.contains(&format!("cannot open {}: ", path.display())), "{up}");
}
