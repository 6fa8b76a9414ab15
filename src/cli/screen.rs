//! The terminal of a hub in the foreground: one thread that shows its progress and what its services print.
//!
//! It has a thread and a bounded queue of its own so that a terminal that is slow, or held by Ctrl-S, never holds up
//! the hub: what does not fit is not shown.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::logview::{LogFormat, POLL};
use super::progress::Display;
use crate::protocol::progress::Progress;
use crate::supervisor::logs::Reader;

/// Steps that may wait to be shown.
const STEPS_MAX: usize = 1024;
/// Log lines shown between two looks at the steps.
const LINES_MAX: usize = 1000;

pub struct Screen(Arc<Shared>);

struct Shared {
    steps: SyncSender<Step>,
    state: Mutex<State>,
}

enum State {
    /// Until the first step: the hub must have one thread only while it starts the guard.
    Idle(Box<View>),
    Running(JoinHandle<()>),
    Over,
}

enum Step {
    Progress(Progress),
    Finish,
}

impl Screen {
    pub fn new(reader: Reader, display: Display, format: LogFormat) -> Self {
        let (steps, receiver) = mpsc::sync_channel(STEPS_MAX);
        let view = View { steps: receiver, reader: Some(reader), display, format };
        Self(Arc::new(Shared { steps, state: Mutex::new(State::Idle(Box::new(view))) }))
    }

    /// Where the hub reports its progress.
    pub fn report(&self) -> Arc<dyn Fn(Progress) + Send + Sync> {
        let shared = self.0.clone();
        Arc::new(move |progress| {
            shared.wake();
            drop(shared.steps.try_send(Step::Progress(progress)));
        })
    }

    /// Shows what is left, then ends.
    pub fn finish(self) {
        self.0.wake();
        let state = mem::replace(&mut *self.0.state.lock(), State::Over);
        if let State::Running(thread) = state {
            // A thread that is gone has shown what it could.
            let _ = self.0.steps.send(Step::Finish);
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Starts the thread, once. Without a thread nothing is shown, and the hub runs all the same.
    fn wake(&self) {
        let mut state = self.state.lock();
        *state = match mem::replace(&mut *state, State::Over) {
            State::Idle(view) => {
                let thread = thread::Builder::new().name("msx-screen".into()).spawn(move || view.run());
                thread.map_or(State::Over, State::Running)
            }
            other => other,
        };
    }
}

struct View {
    steps: Receiver<Step>,
    /// Gone when the logs cannot be read or shown any more: that must not end the hub, and `msx logs` will say why.
    reader: Option<Reader>,
    display: Display,
    format: LogFormat,
}

impl View {
    fn run(mut self) {
        let mut more = false;
        loop {
            match self.steps.recv_timeout(if more { Duration::ZERO } else { POLL }) {
                Ok(Step::Progress(progress)) => self.display.show(&progress),
                Err(RecvTimeoutError::Timeout) => more = self.show_logs(),
                Ok(Step::Finish) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.display.clear();
        while self.show_logs() {}
    }

    /// Some new lines; whether there may be more.
    fn show_logs(&mut self) -> bool {
        let Some(mut reader) = self.reader.take() else { return false };
        let shown = self.show_lines(&mut reader);
        if shown.is_ok() {
            self.reader = Some(reader);
        }
        shown.unwrap_or(false)
    }

    fn show_lines(&mut self, reader: &mut Reader) -> io::Result<bool> {
        reader.refresh()?;
        let (mut text, mut lines) = (String::new(), 0);
        while lines < LINES_MAX
            && let Some(entry) = reader.next()?
        {
            text += &self.format.line(&entry);
            text.push('\n');
            lines += 1;
        }
        if lines > 0 {
            self.display.data(&text)?;
        }
        Ok(lines == LINES_MAX)
    }
}
