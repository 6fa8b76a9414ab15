//! An msx whose standard input is a terminal, and the person who types there.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Stdio};

use nix::pty::openpty;

use super::Sandbox;

/// A terminal with one msx at it; killed if the test fails before it has ended.
pub struct Typist {
    keyboard: File,
    msx: Child,
    stderr: BufReader<ChildStderr>,
}

impl Typist {
    pub fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let terminal = openpty(None, None).unwrap();
        let mut command = sandbox.msx(args);
        command.stdin(terminal.slave).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut msx = command.spawn().unwrap();
        let stderr = BufReader::new(msx.stderr.take().unwrap());
        Self { keyboard: File::from(terminal.master), msx, stderr }
    }

    /// What it says on stderr up to the end of this line.
    pub fn read_until(&mut self, line: &str) -> String {
        let mut said = String::new();
        while !said.ends_with(line) {
            let read = self.stderr.read_line(&mut said).unwrap();
            assert!(read > 0, "it ended without saying {line:?}: {said}");
        }
        said
    }

    pub fn type_line(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Exit code, and the rest of what it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.msx.wait().unwrap().code(), said)
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.msx.kill();
        let _ = self.msx.wait();
    }
}
