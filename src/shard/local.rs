//! What belongs to the shard's thread alone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use slab::Slab;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use super::looking::StackAskers;
use super::permits::Granted;
use super::{NewAsk, Serve, Teller, Told, Waiter};
use crate::core::{Core, Effect, Event, PATROL, Refusal, ServiceReport};
use crate::model::{CallKey, InstanceId};
use crate::protocol::worker::{Channels, FromControl, FromWorker, ToControl, ToWorker};
use crate::upstream::Pool;
use crate::worker::{Lane, Link, LinkHandlers};

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// HTTP connections of all listeners that may be open at once.
const CONNECTIONS_MAX: usize = 10_000;
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, and what a connection reads ahead: each may hold so much memory.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long the thread polls after it has written to lanes: about what a short call and the next request of its caller
/// take (docs/performance.md, What was tried).
const AWAKE: Duration = Duration::from_micros(100);
/// It polls when it wrote twice within this time: neither long calls nor an idle hub make it poll.
const BUSY_GAP: Duration = Duration::from_micros(400);
/// How long clients may take to read the last answers when the shard ends.
const END_BOUND: Duration = Duration::from_secs(1);

/// The shard, if this is its thread.
pub fn here() -> Option<Rc<Local>> {
    LOCAL.with_borrow(Option::clone)
}

fn with(action: impl FnOnce(&Rc<Local>)) {
    if let Some(local) = here() {
        action(&local);
    }
}

/// See the module.
pub struct Local {
    core: RefCell<Core>,
    /// Kept to use its memory again.
    effects: RefCell<Vec<Effect>>,
    links: RefCell<HashMap<InstanceId, Rc<Link>>>,
    /// Instances that are reached over HTTP.
    pub pools: RefCell<HashMap<InstanceId, Rc<Pool>>>,
    /// Who waits for a slot of one.
    pub applicants: RefCell<Slab<oneshot::Sender<Granted>>>,
    waiters: RefCell<Slab<Waiter>>,
    unflushed: RefCell<Vec<Rc<Lane>>>,
    flush: Notify,
    /// What the loop's timer waits for, and what tells it of something earlier.
    armed: Cell<Option<Instant>>,
    rearm: Notify,
    patrol: Notify,
    is_patrolling: Cell<bool>,
    link_handlers: Rc<LinkHandlers>,
    tell: Teller,
    connections: Cell<usize>,
    /// The shard ends: listeners close, connections too when their answer is out.
    ending: CancellationToken,
    /// The last connection is gone.
    deserted: Notify,
    pub stack_askers: RefCell<StackAskers>,
    /// Who waits until there is no call any more.
    closers: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Local {
    /// Makes this thread the shard.
    pub fn install(core: Core, tell: Teller) -> Rc<Self> {
        let local = Rc::new(Self {
            core: RefCell::new(core),
            effects: RefCell::default(),
            links: RefCell::default(),
            pools: RefCell::default(),
            applicants: RefCell::default(),
            waiters: RefCell::default(),
            unflushed: RefCell::default(),
            flush: Notify::new(),
            armed: Cell::new(None),
            rearm: Notify::new(),
            patrol: Notify::new(),
            is_patrolling: Cell::new(false),
            link_handlers: Rc::new(link_handlers()),
            tell,
            connections: Cell::new(0),
            ending: CancellationToken::new(),
            deserted: Notify::new(),
            stack_askers: RefCell::default(),
            closers: RefCell::default(),
        });
        LOCAL.set(Some(local.clone()));
        local
    }

    pub fn uninstall() {
        LOCAL.set(None);
    }

    /// Gives the core events, all at once, and does what it answers.
    pub fn handle(self: &Rc<Self>, events: impl IntoIterator<Item = Event>) {
        let now = Instant::now();
        let mut effects = self.effects.take();
        {
            let mut core = self.core.borrow_mut();
            for event in events {
                core.handle(now, event, &mut effects);
            }
            self.mind(core.next_timer());
        }
        self.run(effects);
    }

    /// Wakes `timer` if the core has something due earlier than that waits for.
    fn mind(&self, next: Option<Instant>) {
        if next.is_some_and(|next| self.armed.get().is_none_or(|armed| next < armed)) {
            self.armed.set(next);
            self.rearm.notify_one();
        }
    }

    /// Returns when something is due in the core.
    pub async fn timer(&self) {
        loop {
            self.armed.set(self.core.borrow().next_timer());
            match self.armed.get() {
                None => self.rearm.notified().await,
                Some(at) => tokio::select! {
                    () = self.rearm.notified() => (),
                    () = tokio::time::sleep_until(at.into()) => return,
                },
            }
        }
    }

    fn run(self: &Rc<Self>, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            self.do_one(effect);
        }
        self.effects.replace(effects);
        if !self.is_patrolling.get() && self.core.borrow().is_on_patrol() {
            self.is_patrolling.set(true);
            self.patrol.notify_one();
        }
    }

    fn do_one(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Send { instance, lane, message } => self.send(instance, lane, &message),
            Effect::Answer { token, answer } => {
                let waiter = self.waiters.borrow_mut().try_remove(token as usize);
                // The one who asked may have gone in this very turn.
                waiter.map(|waiter| waiter.answer.send(answer));
            }
            Effect::Item { token, item } => {
                let waiters = self.waiters.borrow();
                let items = waiters.get(token as usize).and_then(|waiter| waiter.items.as_ref());
                // The one who asked may have gone in this very turn.
                items.map(|items| items.send(item));
            }
            Effect::Permit { token, granted } => self.granted(token, granted),
            Effect::Forget { token } => drop(self.waiters.borrow_mut().try_remove(token as usize)),
            Effect::OpenLane { instance, lane } => self.open_lane(instance, lane),
            Effect::Interrupt { instance, call, attempt, reason } => {
                self.control(instance, &ToControl::Interrupt { call, attempt, reason: reason.to_owned() });
            }
            Effect::Orchestrate { call, service, arguments } => {
                (self.tell)(Told::Orchestrate { call, service, arguments });
            }
            Effect::AskBack { instance, lane } => self.control(instance, &ToControl::AskBack(lane)),
            Effect::Drained(instance) => (self.tell)(Told::Drained(instance)),
            Effect::Cold(service) => (self.tell)(Told::Cold(service)),
            Effect::Unheld(service) => (self.tell)(Told::Unheld(service)),
            Effect::Ejected { instance, bound } => (self.tell)(Told::Ejected(instance, bound)),
            Effect::Log(text) => tracing::warn!("{text}"),
            Effect::Unresponsive { instance, why } => (self.tell)(Told::Unresponsive(instance, why)),
        }
    }

    fn link(&self, instance: InstanceId) -> Option<Rc<Link>> {
        self.links.borrow().get(&instance).cloned()
    }

    fn send(&self, instance: InstanceId, lane: u32, message: &ToWorker) {
        let Some(lane) = self.link(instance).and_then(|link| link.push(lane, message)) else { return };
        let mut unflushed = self.unflushed.borrow_mut();
        if unflushed.is_empty() {
            self.flush.notify_one();
        }
        unflushed.push(lane);
    }

    /// Runs behind the tasks that are ready now, so that what they send to one lane goes in one write.
    pub async fn flush_each_turn(self: Rc<Self>) {
        let mut last = Instant::now();
        loop {
            self.flush.notified().await;
            let lanes = self.unflushed.take();
            for lane in &lanes {
                lane.flush();
            }
            let now = Instant::now();
            if now - last < BUSY_GAP {
                self.stay_awake(now + AWAKE).await;
            }
            last = now;
        }
    }

    /// Looks after the calls that are sent ahead, while there are any.
    pub async fn patrol(self: Rc<Self>) {
        loop {
            self.patrol.notified().await;
            while self.core.borrow().is_on_patrol() {
                tokio::time::sleep(PATROL).await;
                self.handle([Event::Patrol]);
            }
            self.is_patrolling.set(false);
        }
    }

    /// Polls for a moment instead of sleeping: to be woken costs more than a short call takes.
    /// Whoever else wants the processor gets it first.
    async fn stay_awake(&self, until: Instant) {
        while self.unflushed.borrow().is_empty() && Instant::now() < until {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }

    fn open_lane(self: &Rc<Self>, instance: InstanceId, lane: u32) {
        let Some(link) = self.link(instance) else { return };
        if let Err(error) = link.open_lane(lane) {
            // Later, for the core is in the middle of something.
            let (local, why) = (self.clone(), format!("cannot open a lane: {error}"));
            spawn_local(async move { local.sever(instance, Some(why)) });
        }
    }

    /// The instance cannot go on: the core uses it no more, and the supervisor ends it.
    fn sever(self: &Rc<Self>, instance: InstanceId, why: Option<String>) {
        self.handle([Event::Severed(instance)]);
        (self.tell)(Told::Closed(instance, why));
    }

    pub fn control(&self, instance: InstanceId, message: &ToControl) {
        self.try_control(instance, message);
    }

    /// False: there is no such instance.
    pub fn try_control(&self, instance: InstanceId, message: &ToControl) -> bool {
        self.link(instance).inspect(|link| link.send(message)).is_some()
    }

    pub fn attach(self: &Rc<Self>, event: Event, instance: InstanceId, lanes: usize, channels: Channels) {
        match Link::new(instance, channels, lanes, self.link_handlers.clone()) {
            Ok(link) => {
                self.links.borrow_mut().insert(instance, link);
                self.handle([event]);
            }
            Err(error) => {
                (self.tell)(Told::Closed(
                    instance,
                    Some(format!("cannot serve its control channel: {error}")),
                ));
            }
        }
    }

    /// The process of an instance is gone. The core hears of it behind its last words.
    pub fn gone(self: &Rc<Self>, instance: InstanceId, reason: String) {
        let local = self.clone();
        let pool = self.pools.borrow_mut().remove(&instance);
        pool.into_iter().for_each(|pool| pool.end());
        spawn_local(async move {
            let link = local.link(instance);
            let begun = match &link {
                Some(link) => link.end().await,
                // It never had a lane.
                None => Vec::new(),
            };
            local.links.borrow_mut().remove(&instance);
            local.handle([Event::Gone { instance, reason, begun }]);
        });
    }

    /// Starts a root call for this waiter.
    pub fn ask(self: &Rc<Self>, ask: NewAsk, waiter: Waiter) -> Result<CallKey, (Refusal, Waiter)> {
        let mut effects = self.effects.take();
        let token = self.waiters.borrow_mut().insert(waiter);
        let NewAsk { service, arguments, options } = ask;
        let asked = {
            let mut core = self.core.borrow_mut();
            let asked = core.ask(Instant::now(), service, arguments, options, token as u64, &mut effects);
            self.mind(core.next_timer());
            asked
        };
        let result = asked.map_err(|refusal| (refusal, self.waiters.borrow_mut().remove(token)));
        self.run(effects);
        result
    }

    pub fn ping_all(&self, now: Instant) {
        for (instance, link) in self.links.borrow().iter() {
            if !link.ping(now) {
                let why = "its control thread did not answer for 30 s".to_owned();
                (self.tell)(Told::Unresponsive(*instance, why));
            }
        }
    }

    pub fn report(&self) -> Vec<ServiceReport> {
        self.core.borrow_mut().report(Instant::now())
    }

    /// Lets somebody look at the core.
    pub fn core<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core.borrow())
    }

    /// Lets somebody change the core, and does what it answers.
    pub fn act<T>(self: &Rc<Self>, act: impl FnOnce(&mut Core, &mut Vec<Effect>) -> T) -> T {
        let mut effects = self.effects.take();
        let result = {
            let mut core = self.core.borrow_mut();
            let result = act(&mut core, &mut effects);
            self.mind(core.next_timer());
            result
        };
        self.run(effects);
        result
    }

    /// No more root calls; `idle` hears when those that were admitted have ended.
    pub fn close(self: &Rc<Self>, idle: oneshot::Sender<()>) {
        self.closers.borrow_mut().push(idle);
        self.handle([Event::Close]);
    }

    /// Asked between turns and not after each call, to keep it off the path of calls.
    pub fn tell_if_idle(&self) {
        if !self.closers.borrow().is_empty() && self.core.borrow().unfinished() == 0 {
            for closer in self.closers.take() {
                // Who asked may have stopped waiting.
                let _ = closer.send(());
            }
        }
    }

    /// Closes the listeners, and the connections as soon as they are idle.
    pub async fn end_connections(&self) {
        self.ending.cancel();
        let deserted = async {
            while self.connections.get() > 0 {
                self.deserted.notified().await;
            }
        };
        // Who does not read in time does not get the rest.
        let _ = tokio::time::timeout(END_BOUND, deserted).await;
    }

    fn on_messages(self: &Rc<Self>, instance: InstanceId, lane: u32, messages: &mut Vec<FromWorker>) {
        self.handle(messages.drain(..).map(|message| Event::Worker { instance, lane, message }));
    }

    fn on_control(self: &Rc<Self>, instance: InstanceId, message: FromControl) {
        match message {
            FromControl::Stack { call, attempt, text } => {
                self.handle([Event::Stack { instance, call, attempt, text }]);
            }
            FromControl::Stacks { nonce, stacks } => self.on_stacks(nonce, stacks),
            hello => (self.tell)(Told::Hello(instance, hello)),
        }
    }
}

/// The handlers find the shard by its thread, so that links do not keep it alive.
fn link_handlers() -> LinkHandlers {
    LinkHandlers {
        messages: Box::new(|instance, lane, messages| {
            with(|local| local.on_messages(instance, lane, messages));
        }),
        control: Box::new(|instance, message| {
            with(|local| local.on_control(instance, message));
        }),
        closed: Box::new(|instance, why| with(|local| local.sever(instance, why))),
    }
}

/// Takes connections of a listener as long as the shard lives.
pub fn listen(local: Rc<Local>, listener: StdTcpListener, serve: Serve) {
    spawn_local(async move {
        let ending = local.ending.clone();
        ending.run_until_cancelled(accept_all(local, listener, serve)).await;
    });
}

async fn accept_all(local: Rc<Local>, listener: StdTcpListener, serve: Serve) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => accept(&local, stream, peer, &serve),
            // Out of descriptors: connections that are open must end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn accept(local: &Rc<Local>, stream: TcpStream, peer: SocketAddr, serve: &Serve) {
    if local.connections.get() >= CONNECTIONS_MAX {
        return;
    }
    local.connections.update(|count| count + 1);
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let served = serve(stream, peer, local.ending.clone());
    let local = local.clone();
    spawn_local(async move {
        served.await;
        local.connections.update(|count| count - 1);
        if local.connections.get() == 0 {
            local.deserted.notify_one();
        }
    });
}

/// Serves the connections of a listener with what this router does.
pub fn routed(router: Router) -> Serve {
    Box::new(move |stream, _, ending| Box::pin(serve_router(stream, router.clone(), ending)))
}

/// How a connection ends is its client's affair.
async fn serve_router(stream: TcpStream, router: Router, ending: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
