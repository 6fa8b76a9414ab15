//! What the command line sees of a hub: the lock, `hub.json` and one answer on the socket.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::support::Sandbox;

/// Holds the lock as long as it lives.
pub struct FakeHub {
    _lock: File,
    state: PathBuf,
    socket: PathBuf,
    events: Option<Receiver<Event>>,
}

enum Event {
    Received(String),
    Dropped,
}

impl FakeHub {
    pub fn start(sandbox: &Sandbox) -> Self {
        let (state, socket) = (sandbox.path(".msx"), sandbox.path(".run/hub.sock"));
        for folder in [&state, &sandbox.path(".run")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let lock = File::create(state.join("lock")).unwrap();
        lock.lock().unwrap();
        Self { _lock: lock, state, socket, events: None }
    }

    /// Says where it is, but does not listen.
    pub fn announced(self) -> Self {
        self.write_hub("null");
        self
    }

    fn write_hub(&self, failure: &str) {
        let (socket, pid) = (self.socket.display(), std::process::id());
        let hub = format!(
            r#"{{"socket": "{socket}", "pid": {pid}, "started": "2026-11-24T10:00:00Z", "version": "0.1.0", "failure": {failure}}}"#
        );
        std::fs::write(self.state.join("hub.json"), hub).unwrap();
    }

    /// Answers one request with this status and body, whatever it is. Status "": it dies instead; "hang": it waits
    /// until the other side goes away.
    pub fn answering(self, status: &str, body: &str) -> Self {
        let mut hub = self.announced();
        let listener = UnixListener::bind(&hub.socket).unwrap();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let (status, answer) = (status.to_owned(), head + body);
        let (sender, events) = channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&stream);
            match status.as_str() {
                "" => {}
                "hang" => {
                    sender.send(Event::Received(request)).unwrap();
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                    return sender.send(Event::Dropped).unwrap();
                }
                _ => stream.write_all(answer.as_bytes()).unwrap(),
            }
            sender.send(Event::Received(request)).unwrap();
        });
        hub.events = Some(events);
        hub
    }

    /// The request it has answered: method, path and body. It ends, as a hub does after `down`.
    pub fn request(self) -> String {
        match self.events.unwrap().recv().unwrap() {
            Event::Received(request) => request,
            Event::Dropped => panic!("no request came"),
        }
    }

    /// Answers, and ends with this failure.
    pub fn fail(self, failure: &str) {
        assert!(matches!(self.events.as_ref().unwrap().recv().unwrap(), Event::Received(_)));
        self.write_hub(failure);
    }

    /// Returns when a request has come; what it returns says when the other side has gone.
    pub fn received(&self) -> impl Fn() + '_ {
        let events = self.events.as_ref().unwrap();
        assert!(matches!(events.recv().unwrap(), Event::Received(_)));
        || assert!(matches!(events.recv().unwrap(), Event::Dropped))
    }
}

fn read_request(stream: &UnixStream) -> String {
    let (mut reader, mut line, mut length) = (BufReader::new(stream), String::new(), 0);
    reader.read_line(&mut line).unwrap();
    let request = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    format!("{request}\n{}", String::from_utf8(body).unwrap())
}
