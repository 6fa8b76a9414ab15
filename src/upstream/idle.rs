//! How long nothing may happen.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Runs while something is waited for, and starts again with each wait. Without a wait it costs nothing.
#[derive(Debug)]
pub struct IdleTimer {
    bound: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl IdleTimer {
    pub fn new(bound: Duration) -> Self {
        Self { bound, sleep: None, is_running: false }
    }

    /// Something has happened.
    pub fn stop(&mut self) {
        self.is_running = false;
    }

    /// Nothing has happened yet. Ready: for too long.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let bound = self.bound;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        if !self.is_running {
            self.is_running = true;
            sleep.as_mut().reset(Instant::now() + bound);
        }
        sleep.as_mut().poll(context)
    }
}
