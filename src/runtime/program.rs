//! How helper programs are run: whoever needs one describes a command, and the caller's [`Runner`] (the guard, in the
//! hub) starts it. Here is what every run has in common: a bound in time, and one in the output that is kept.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::error::SetupError;

/// How much of a stream is kept: the end is where a program says why it failed.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// A longer line is no progress line.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// How many lines of a failed program a person is shown.
const SHOWN_LINES_MAX: usize = 20;

/// A program to run, with standard input empty.
#[derive(Debug)]
pub struct Command {
    pub argv: Vec<OsString>,
    /// The whole environment, not an addition to one.
    pub env: Vec<(OsString, OsString)>,
    pub cwd: PathBuf,
    /// Where each line of output goes at once, for progress; a full channel loses lines, and may.
    pub lines: Option<mpsc::Sender<String>>,
}

/// A program that ended.
#[derive(Debug)]
pub struct Finished {
    pub status_ok: bool,
    /// As a person reads it: `exit status: 1`.
    pub status: String,
    /// The end of each stream, see [`Tail`].
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs a command to its end. Dropping the future must end the process: that is how a run is timed out.
pub type Runner = dyn Fn(Command) -> Pin<Box<dyn Future<Output = io::Result<Finished>> + Send>> + Send + Sync;

impl Finished {
    /// The last lines that it printed, on standard error unless that is empty.
    pub fn last_words(&self) -> String {
        let stderr = last_lines(&self.stderr);
        if stderr.is_empty() { last_lines(&self.stdout) } else { stderr }
    }
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n")
}

/// The end of a stream, and its lines as they come. For whoever implements a [`Runner`].
pub struct Tail {
    kept: VecDeque<u8>,
    line: Vec<u8>,
    lines: Option<mpsc::Sender<String>>,
}

impl Tail {
    pub fn new(lines: Option<mpsc::Sender<String>>) -> Self {
        Self { kept: VecDeque::new(), line: Vec::new(), lines }
    }

    /// Reads a pipe to its end and returns what is kept of it.
    pub async fn read(mut self, mut pipe: pipe::Receiver) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 8 * 1024];
        loop {
            match pipe.read(&mut buffer).await? {
                0 => return Ok(self.kept.into()),
                read => self.push(&buffer[..read]),
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        self.kept.drain(..self.kept.len().saturating_sub(KEPT_BYTES_MAX));
        if self.lines.is_some() {
            bytes.iter().for_each(|byte| self.push_to_line(*byte));
        }
    }

    fn push_to_line(&mut self, byte: u8) {
        if byte != b'\n' {
            if self.line.len() < LINE_BYTES_MAX {
                self.line.push(byte);
            }
            return;
        }
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if let Some(lines) = &self.lines {
            // A lost line costs a step of a progress bar; waiting would stall the program.
            let _ = lines.try_send(line);
        }
    }
}

/// What a run is for, in the words of its errors.
pub struct Purpose<'a> {
    /// As in "could not …".
    pub doing: &'a str,
    pub bound: Duration,
    /// What to do when it does not end in time.
    pub help: &'a str,
}

/// Runs a command to its end or to the bound. A failed exit is for the caller to judge.
pub async fn bounded(run: &Runner, command: Command, purpose: &Purpose<'_>) -> Result<Finished, SetupError> {
    let shown = show(&command.argv);
    let doing = purpose.doing;
    match tokio::time::timeout(purpose.bound, run(command)).await {
        Ok(Ok(finished)) => Ok(finished),
        Ok(Err(error)) => {
            let help = "check that the program exists, may be executed and was made for this machine";
            Err(SetupError::new(format!("could not {doing}: `{shown}` does not start: {error}"), help))
        }
        Err(_) => {
            let seconds = purpose.bound.as_secs();
            let message =
                format!("could not {doing}: `{shown}` did not end within {seconds} s and was stopped");
            Err(SetupError::new(message, purpose.help))
        }
    }
}

/// A command as one would type it; a script given on the command line is left out.
fn show(argv: &[OsString]) -> String {
    let mut text = String::new();
    for argument in argv {
        let argument = argument.to_string_lossy();
        let argument = if argument.contains('\n') { "…" } else { &argument };
        let quote = if argument.contains([' ', '<', '>', ';', '&', '*']) { "'" } else { "" };
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{quote}{argument}{quote}");
    }
    text
}
