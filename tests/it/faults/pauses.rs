//! A process that stands still for some milliseconds, as on a machine that is full or paused.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::send;
use crate::support::Sandbox;
use crate::support::hub::Hub;

/// Longer than calls may wait behind a long one (design 5: 5 ms).
const PAUSE: Duration = Duration::from_millis(7);

/// What a pause makes late is asked back at every moment of a lane, also between two calls.
#[test]
fn calls_that_are_sent_ahead_outlive_pauses_of_their_instance() {
    let sandbox = Sandbox::project("short");
    let hub = Hub::up(&sandbox, &[]);
    let process = hub.pids("short")[0];
    let mut call = sandbox.start(&["call", "--timeout", "60s", "many", "2000"]);
    while !call.has_ended() {
        send(&[process], Signal::SIGSTOP);
        thread::sleep(PAUSE);
        send(&[process], Signal::SIGCONT);
    }
    assert_eq!(call.end(), (Some(0), "2000\n".into(), String::new()));
}
