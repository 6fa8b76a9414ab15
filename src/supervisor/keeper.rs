//! One process, from its start to the proof that its group is empty: a task that reports and passes signals on.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::pin;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::event::{Event, Fall};
use super::launch::Output;
use super::logs::{Lines, LogStore, Pump};
use super::probe::{Inquiry, Prober, holder};
use super::program::Home;
use crate::guard::{Guard, Process, SpawnSpec};
use crate::model::{InstanceId, ServiceName};

/// Lines of the log that say why a process ended.
const REASON_LINES: usize = 20;
/// How long the last lines may take after the exit: a grandchild can hold the pipe open for ever.
const OUTPUT_BOUND: Duration = Duration::from_millis(200);

/// What a keeper needs to know.
pub struct Keeper {
    pub instance: InstanceId,
    pub service: ServiceName,
    pub label: String,
    pub guard: Guard,
    pub logs: LogStore,
    /// The latest signal to send; a later one supersedes it.
    pub signals: watch::Receiver<Option<Signal>>,
    pub report: mpsc::Sender<Event>,
    /// Asks a program how it is.
    pub inquiry: Option<Inquiry>,
}

impl Keeper {
    /// Starts the process and stays with it. A process that could not start has ended, as far as others can tell.
    pub async fn run(mut self, launch: io::Result<(SpawnSpec, Output)>) {
        let instance = self.instance;
        match self.start(launch).await {
            Ok((process, output)) => self.keep(process, output).await,
            Err(status) => self.tell_exit(Fall::new(status, Vec::new())).await,
        }
        self.tell(Event::Emptied { instance }).await;
    }

    async fn start(&self, launch: io::Result<(SpawnSpec, Output)>) -> Result<(Process, Output), String> {
        let (spec, output) = launch.map_err(|error| format!("cannot open its channels: {error}"))?;
        let process = self.guard.spawn(spec).await.map_err(|error| error.to_string())?;
        Ok((process, output))
    }

    async fn keep(&mut self, mut process: Process, output: Output) {
        let pump = self.logs.pump(&self.service, &self.label, output.stdout, output.stderr);
        self.tell(Event::Spawned { instance: self.instance, pid: process.pid }).await;
        let signaller = process.signaller();
        let inquiry = self.inquiry.take();
        let home = inquiry.as_ref().and_then(|inquiry| inquiry.home.clone());
        let status = {
            // Ends with the process, and with it a program that a probe is running.
            let mut probing = pin!(self.probe(inquiry, process.pid, pump.lines().clone()));
            loop {
                tokio::select! {
                    status = process.exited() => break status,
                    () = &mut probing => (),
                    signal = next(&mut self.signals) => signaller.signal(signal),
                }
            }
        };
        let log = last_lines(&pump).await;
        let mut fall = Fall { is_success: status.is_success(), ..Fall::new(status.to_string(), log) };
        if let Some(stranger) = stranger(process.pid, home.as_ref()).await {
            fall.status = format!("{} ({stranger}; the next start has another port)", fall.status);
            fall.is_excused = true;
        }
        self.tell_exit(fall).await;
        loop {
            tokio::select! {
                () = process.emptied() => return,
                signal = next(&mut self.signals) => signaller.signal(signal),
            }
        }
    }

    /// Never ends.
    fn probe(&self, inquiry: Option<Inquiry>, pid: u32, lines: Lines) -> impl Future<Output = ()> + use<> {
        let (instance, guard, report) = (self.instance, self.guard.clone(), self.report.clone());
        async move {
            match inquiry {
                Some(inquiry) => Prober { instance, inquiry, pid, guard, lines, report }.run().await,
                None => std::future::pending().await,
            }
        }
    }

    async fn tell_exit(&self, fall: Fall) {
        self.tell(Event::Exited { instance: self.instance, fall, jitter: dice() }).await;
    }

    /// A supervisor that has ended needs no news.
    async fn tell(&self, event: Event) {
        let _ = self.report.send(event).await;
    }
}

/// Whoever has taken the port that the program was to have.
async fn stranger(pid: u32, home: Option<&Home>) -> Option<String> {
    let Some(Home::Port(port)) = home else { return None };
    holder(pid, *port).await.map(|who| format!("port {port}, which it was given, was taken by {who}"))
}

async fn last_lines(pump: &Pump) -> Vec<String> {
    let _ = timeout(OUTPUT_BOUND, pump.finished()).await;
    pump.lines().last(REASON_LINES)
}

async fn next(signals: &mut watch::Receiver<Option<Signal>>) -> Signal {
    loop {
        match signals.changed().await {
            Ok(()) => {
                if let Some(signal) = *signals.borrow_and_update() {
                    return signal;
                }
            }
            Err(_) => std::future::pending().await,
        }
    }
}

/// A number from -1 to 1.
fn dice() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 32;
    2.0 * bits as f64 / f64::from(u32::MAX) - 1.0
}
