//! Asks a program how it is, for as long as it runs: until it has started, then whether it is ready and whether it
//! lives. What follows from the answers is not decided here.

mod dial;
mod exec;
mod http;
mod owner;
mod pace;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::event::{Event, Health};
use super::logs::Lines;
use super::program::Home;
use crate::config::command::{Check, CommandSpec, Probe, Serving, Target};
use crate::config::spec::ServiceSpec;
use crate::guard::Guard;
use crate::model::{InstanceId, Upstream};
use dial::Endpoint;
pub use exec::Surroundings;
use owner::Listening;
pub use owner::holder;
use pace::{Streak, pause};

/// Of which nothing can be asked, that has started when it has run for so long: what cannot start ends sooner.
const SETTLED: Duration = Duration::from_millis(300);
/// How long an attempt may take, unless its probe says otherwise.
const ATTEMPT_BOUND: Duration = Duration::from_secs(5);
/// Between two attempts of a probe that does not say.
const READY_EVERY: Duration = Duration::from_secs(2);
const LIVE_EVERY: Duration = Duration::from_secs(10);

/// What is to be asked of a program, and of whom.
pub struct Inquiry {
    pub spec: Arc<ServiceSpec>,
    /// Where it is to take connections.
    pub home: Option<Home>,
    pub surroundings: Surroundings,
}

/// Everything that the probes of one process need.
pub struct Prober {
    pub instance: InstanceId,
    pub inquiry: Inquiry,
    pub pid: u32,
    pub guard: Guard,
    pub lines: Lines,
    pub report: mpsc::Sender<Event>,
}

impl Prober {
    /// Never ends by itself.
    pub async fn run(self) {
        if let Some(command) = self.inquiry.spec.command().filter(|command| !command.is_oneshot) {
            let upstream = self.start(command).await;
            self.tell(Health::Up(upstream)).await;
            tokio::join!(self.watch_ready(command), self.watch_live(command));
        }
        std::future::pending().await
    }

    /// Asks until it has started; how long that may take is for others to say.
    async fn start(&self, command: &CommandSpec) -> Option<Upstream> {
        let probe = command.startup.as_ref().or(command.ready.as_ref());
        let mut said = String::new();
        for attempt in 0.. {
            match self.try_start(command, probe).await {
                Ok(upstream) => return upstream,
                Err(why) if why == said => (),
                Err(why) => {
                    said.clone_from(&why);
                    self.tell(Health::NotYet(why)).await;
                }
            }
            sleep(pause(attempt)).await;
        }
        None
    }

    async fn try_start(
        &self,
        command: &CommandSpec,
        probe: Option<&Probe>,
    ) -> Result<Option<Upstream>, String> {
        let upstream = self.upstream(command).await?;
        match probe {
            Some(probe) => {
                // The timeout of `startup` is that of the whole start.
                let own = probe.timeout.filter(|_| command.startup.is_none());
                self.ask(&probe.check, own.unwrap_or(ATTEMPT_BOUND), upstream.as_ref()).await?;
            }
            None if upstream.is_none() => sleep(SETTLED).await,
            None => (),
        }
        Ok(upstream)
    }

    /// Where it takes connections, once it does. The listening socket must be its own: a stranger's answers nothing.
    async fn upstream(&self, command: &CommandSpec) -> Result<Option<Upstream>, String> {
        match &self.inquiry.home {
            None => Ok(None),
            Some(Home::Port(port)) if command.serving == Serving::Handed => {
                Ok(Some(Upstream::Tcp((Ipv4Addr::LOCALHOST, *port).into())))
            }
            Some(Home::Port(port)) => match owner::look(self.pid, *port).await {
                Listening::Own(address) => Ok(Some(Upstream::Tcp(address))),
                Listening::Nobody => Err(format!("nothing listens on its port {port}")),
                Listening::Stranger(who) => Err(format!("its port {port} belongs to {who}")),
            },
            // Nobody else knows the path, in a folder that is the user's alone.
            Some(Home::Path(path)) => {
                let upstream = Upstream::Unix(path.clone());
                let dialled = dial::ask(&Endpoint::Own(upstream.clone())).await;
                dialled.map_err(|why| format!("nothing listens on its socket {}: {why}", path.display()))?;
                Ok(Some(upstream))
            }
        }
    }

    async fn watch_ready(&self, command: &CommandSpec) {
        let Some(probe) = &command.ready else { return self.tell(Health::Fit).await };
        let bound = probe.timeout.unwrap_or(ATTEMPT_BOUND);
        let mut streak = Streak::new(probe.failures);
        loop {
            let outcome = self.ask_again(command, &probe.check, bound).await;
            match streak.note(outcome.is_ok()) {
                Some(true) => self.tell(Health::Fit).await,
                Some(false) => self.tell(Health::Unfit(failed("ready", outcome))).await,
                None => (),
            }
            sleep(probe.interval.unwrap_or(READY_EVERY)).await;
        }
    }

    async fn watch_live(&self, command: &CommandSpec) {
        let Some(probe) = &command.live else { return };
        let bound = probe.timeout.unwrap_or(ATTEMPT_BOUND);
        let mut streak = Streak::new(probe.failures);
        loop {
            sleep(probe.interval.unwrap_or(LIVE_EVERY)).await;
            let outcome = self.ask_again(command, &probe.check, bound).await;
            if streak.note(outcome.is_ok()) == Some(false) {
                self.tell(Health::Dead(failed("live", outcome))).await;
            }
        }
    }

    async fn ask_again(&self, command: &CommandSpec, check: &Check, bound: Duration) -> Result<(), String> {
        let is_about_port =
            matches!(check, Check::Http { target: Target::Own, .. } | Check::Tcp(Target::Own));
        let upstream = if is_about_port { self.upstream(command).await? } else { None };
        self.ask(check, bound, upstream.as_ref()).await
    }

    /// One question, and why the answer is not the right one.
    async fn ask(&self, check: &Check, bound: Duration, upstream: Option<&Upstream>) -> Result<(), String> {
        let (what, outcome) = match check {
            Check::Tcp(target) => {
                let endpoint = Endpoint::of(target, upstream);
                (format!("tcp {}", endpoint.host()), timeout(bound, dial::ask(&endpoint)).await)
            }
            Check::Http { target, path } => {
                let endpoint = Endpoint::of(target, upstream);
                let what = format!("GET http://{}{path}", endpoint.host());
                (what, timeout(bound, http::ask(&endpoint, path)).await)
            }
            Check::Exec(argv) => {
                let asked =
                    exec::ask(&self.guard, &self.inquiry.surroundings, argv, self.inquiry.home.as_ref());
                (format!("`{}`", argv.join(" ")), timeout(bound, asked).await)
            }
            Check::Log(text) => return self.lines.has_printed(text),
        };
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(format!("{what}: {why}")),
            Err(_) => Err(format!("{what}: no answer within {} s", bound.as_secs_f64())),
        }
    }

    /// A supervisor that has ended needs no news.
    async fn tell(&self, health: Health) {
        let _ = self.report.send(Event::Probed { instance: self.instance, health }).await;
    }
}

fn failed(probe: &str, outcome: Result<(), String>) -> String {
    format!("its {probe} probe fails: {}", outcome.err().unwrap_or_default())
}
