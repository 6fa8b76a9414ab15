//! The I/O thread of the hub: it owns the core, the links to the instances and the HTTP connections.
//!
//! Between a call that arrives here and a lane there is no task, channel or wake-up. Messages are gathered per lane
//! and flushed once per turn of the loop. Whoever is on another thread pushes a command into the inbox.

mod items;
mod local;
mod looking;
mod permits;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::core::{Answer, Core, Event, Reason, Refusal, ServiceReport, TICK};
use crate::model::{CallKey, InstanceId, ServiceId};
use crate::protocol::worker::{CallOptions, Channels, FromControl, ToControl};
use local::Local;

pub use items::{Part, Render, body as items_body};
pub use local::routed;
pub use looking::{STACKS_BOUND, Silent};
pub use permits::Permit;

/// What the shard tells the rest of the hub.
pub enum Told {
    /// A message of a control channel that is not about a call: hello.
    Hello(InstanceId, FromControl),
    /// The worker is gone or broke the protocol (`Some`: how).
    Closed(InstanceId, Option<String>),
    Drained(InstanceId),
    /// A call waits, and the service has no instance.
    Cold(ServiceId),
    /// It failed too many requests, and gets none for so long.
    Ejected(InstanceId, Duration),
    /// `msx pause` of it has ended by itself.
    Unheld(ServiceId),
    Unresponsive(InstanceId, String),
    /// A call of one of the hub's own services; answered by `Event::Orchestrated`.
    Orchestrate {
        call: CallKey,
        service: ServiceId,
        arguments: Bytes,
    },
}

/// Where it is told; it must not block.
pub type Teller = Box<dyn Fn(Told) + Send>;

/// With so many commands waiting the shard takes no more asks from other threads. What else is pushed has a bound of its
/// own: a few words per instance, and one cancellation per ask.
const ASKS_MAX: usize = 10_000;
/// How often links are asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(5);

enum Command {
    Event(Event),
    Attach { event: Event, instance: InstanceId, lanes: usize, channels: Channels },
    Gone { instance: InstanceId, reason: String },
    Control { instance: InstanceId, message: ToControl },
    Ask { ask: NewAsk, waiter: Waiter, key: Arc<Mutex<AskKey>> },
    Report(oneshot::Sender<Vec<ServiceReport>>),
    Look(looking::Look),
    Serve { listener: TcpListener, serve: Serve },
    Close(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// What serves a connection. When the token is cancelled it ends as soon as what is under way has ended.
pub type Serve = Box<dyn Fn(TcpStream, SocketAddr, CancellationToken) -> Served + Send>;
pub type Served = Pin<Box<dyn Future<Output = ()>>>;

/// A root call to be made.
pub struct NewAsk {
    pub service: ServiceId,
    pub arguments: Bytes,
    pub options: Option<Box<CallOptions>>,
}

/// Who waits for a root call.
pub struct Waiter {
    answer: oneshot::Sender<Answer>,
    /// For the items, if it is a stream. Unbounded, as the core lets a stream go on only when they are taken.
    items: Option<mpsc::UnboundedSender<Bytes>>,
}

/// Where an ask from another thread stands.
enum AskKey {
    Sent,
    Running(CallKey),
    Dropped,
}

#[derive(Default)]
struct Inbox {
    commands: Mutex<Vec<Command>>,
    wake: Notify,
}

/// Handle on the shard, for any thread.
#[derive(Clone)]
pub struct Shard {
    inbox: Arc<Inbox>,
}

impl Shard {
    /// Starts the thread.
    pub fn start(core: Core, tell: Teller) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let shard = Self { inbox: inbox.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("shard".into()).spawn(move || {
            let local = LocalSet::new();
            runtime.block_on(local.run_until(serve(core, tell, inbox)));
        })?;
        Ok(shard)
    }

    fn push(&self, command: Command) {
        self.inbox.commands.lock().push(command);
        self.inbox.wake.notify_one();
    }

    pub fn event(&self, event: Event) {
        self.push(Command::Event(event));
    }

    /// The process of an instance is gone.
    pub fn gone(&self, instance: InstanceId, reason: String) {
        self.push(Command::Gone { instance, reason });
    }

    /// Serves the channels of a new instance, which will have `lanes` lanes at most. `event` is its `Attached`.
    pub fn attach(&self, event: Event, instance: InstanceId, lanes: usize, channels: Channels) {
        self.push(Command::Attach { event, instance, lanes, channels });
    }

    /// Sends an instance a message on its control channel.
    pub fn control(&self, instance: InstanceId, message: ToControl) {
        self.push(Command::Control { instance, message });
    }

    /// Takes connections of this listener as long as the shard lives.
    pub fn serve(&self, listener: TcpListener, serve: Serve) {
        self.push(Command::Serve { listener, serve });
    }

    fn on_local(&self, act: impl FnOnce(&std::rc::Rc<Local>) + Send + 'static) {
        self.push(Command::Look(Box::new(act)));
    }

    pub async fn report(&self) -> Vec<ServiceReport> {
        let (sender, receiver) = oneshot::channel();
        self.push(Command::Report(sender));
        receiver.await.unwrap_or_default()
    }

    /// Takes no root call any more. Returns when those that were admitted have ended.
    pub async fn close(&self) {
        let (sender, ended) = oneshot::channel();
        self.push(Command::Close(sender));
        // A shard that has ended has no calls.
        let _ = ended.await;
    }

    /// Ends the thread, once the answers that were given have left it.
    pub async fn stop(&self) {
        let (sender, ended) = oneshot::channel();
        self.push(Command::Stop(sender));
        let _ = ended.await;
    }

    /// Starts a root call. Dropping the answer's future cancels the call.
    pub fn ask(&self, ask: NewAsk) -> Ask {
        let (answer, receiver) = oneshot::channel();
        let streams = ask.options.as_ref().is_some_and(|options| options.stream);
        let (items, items_receiver) = streams.then(mpsc::unbounded_channel).unzip();
        let waiter = Waiter { answer, items };
        let state = match local::here() {
            None => self.ask_from_afar(ask, waiter),
            Some(local) => match local.ask(ask, waiter) {
                Ok(key) => State::Here(key),
                Err((refusal, _)) => State::Refused(Some(refusal)),
            },
        };
        Ask { state, receiver, items: items_receiver, shard: self.clone() }
    }

    fn ask_from_afar(&self, ask: NewAsk, waiter: Waiter) -> State {
        if self.inbox.commands.lock().len() >= ASKS_MAX {
            let refused = refusal(Reason::QueueFull, "the hub does not keep up with its callers");
            return State::Refused(Some(refused));
        }
        let key = Arc::new(Mutex::new(AskKey::Sent));
        self.push(Command::Ask { ask, waiter, key: key.clone() });
        State::Away(key)
    }
}

fn refusal(reason: Reason, message: &str) -> Refusal {
    Refusal { reason, message: message.to_owned(), detail: None }
}

enum State {
    Here(CallKey),
    Away(Arc<Mutex<AskKey>>),
    Refused(Option<Refusal>),
    Answered,
}

/// The answer of a root call.
pub struct Ask {
    state: State,
    receiver: oneshot::Receiver<Answer>,
    items: Option<mpsc::UnboundedReceiver<Bytes>>,
    shard: Shard,
}

impl Ask {
    /// The next item, if it is a stream that goes on. It makes room for another one.
    async fn next_item(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        let item = std::task::ready!(items.poll_recv(context));
        if let Some(key) = self.state.key().filter(|_| item.is_some()) {
            self.shard.event(Event::Took(key));
        }
        Poll::Ready(item)
    }
}

impl State {
    fn key(&self) -> Option<CallKey> {
        match self {
            Self::Here(key) => Some(*key),
            Self::Away(state) => match *state.lock() {
                AskKey::Running(key) => Some(key),
                AskKey::Sent | AskKey::Dropped => None,
            },
            Self::Refused(_) | Self::Answered => None,
        }
    }
}

impl Future for Ask {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        if let State::Refused(refusal) = &mut self.state
            && let Some(refusal) = refusal.take()
        {
            return Poll::Ready(Answer::Refused(refusal));
        }
        let answer = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        self.state = State::Answered;
        Poll::Ready(
            answer.unwrap_or_else(|_| Answer::Refused(refusal(Reason::Stopping, "the hub is stopping"))),
        )
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        match &self.state {
            State::Here(key) => self.shard.cancel(*key),
            State::Away(state) => {
                let was = std::mem::replace(&mut *state.lock(), AskKey::Dropped);
                if let AskKey::Running(key) = was {
                    self.shard.cancel(key);
                }
            }
            State::Refused(_) | State::Answered => (),
        }
    }
}

impl Shard {
    /// Never in the middle of another event: the connection that is dropped may belong to the running one.
    fn cancel(&self, key: CallKey) {
        self.event(Event::Cancel(key));
    }
}

async fn serve(core: Core, tell: Teller, inbox: Arc<Inbox>) {
    let local = Local::install(core, tell);
    let flusher = tokio::task::spawn_local(local.clone().flush_each_turn());
    let patrol = tokio::task::spawn_local(local.clone().patrol());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inbox.wake.notified() => {
                let commands = std::mem::take(&mut *inbox.commands.lock());
                for command in commands {
                    if let Command::Stop(stopped) = command {
                        local.end_connections().await;
                        flusher.abort();
                        patrol.abort();
                        Local::uninstall();
                        // Whoever waited may have given up.
                        let _ = stopped.send(());
                        return;
                    }
                    obey(&local, command);
                }
                local.tell_if_idle();
            }
            _ = ticks.tick() => {
                local.handle([Event::Tick]);
                local.sweep_pools(Instant::now());
                local.tell_if_idle();
            }
            () = local.timer() => local.handle([Event::Timer]),
            _ = pings.tick() => local.ping_all(Instant::now()),
        }
    }
}

fn obey(local: &std::rc::Rc<Local>, command: Command) {
    match command {
        Command::Event(event) => local.handle([event]),
        Command::Gone { instance, reason } => local.gone(instance, reason),
        Command::Attach { event, instance, lanes, channels } => {
            local.attach(event, instance, lanes, channels)
        }
        Command::Control { instance, message } => local.control(instance, &message),
        Command::Ask { ask, waiter, key } => {
            let mut state = key.lock();
            if matches!(*state, AskKey::Dropped) {
                return;
            }
            match local.ask(ask, waiter) {
                Ok(call) => *state = AskKey::Running(call),
                Err((refusal, waiter)) => drop(waiter.answer.send(Answer::Refused(refusal))),
            }
        }
        // The one who asked may have gone; then nobody needs the answer.
        Command::Report(answer) => drop(answer.send(local.report())),
        Command::Look(look) => look(local),
        Command::Serve { listener, serve } => local::listen(local.clone(), listener, serve),
        Command::Close(idle) => local.close(idle),
        // Taken by the loop itself.
        Command::Stop(_) => (),
    }
}
