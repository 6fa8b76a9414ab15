//! Questions about single calls, which other threads ask the shard.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::local::Local;
use super::{Command, Shard};
use crate::core::{CannotRetry, Core, Effect, Labels, NotFound};
use crate::model::{InstanceId, ServiceId};
use crate::protocol::calls::{CallInfo, RetryRequest};
use crate::protocol::worker::{TaskStack, ToControl};

/// A question, asked on the thread of the shard.
pub type Look = Box<dyn FnOnce(&Rc<Local>) + Send>;

/// How long an instance may take to send its stacks.
pub const STACKS_BOUND: Duration = Duration::from_secs(2);

/// Why an instance has sent no stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    Gone,
    TooLate,
}

impl Shard {
    /// What somebody sees in the core; `None` when the hub ends.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        self.ask_local(|local, answer| {
            // Who asked may have gone.
            let _ = answer.send(local.core(|core| look(core, Instant::now())));
        })
        .await
    }

    /// Cancels a call and answers what it was.
    pub async fn cancel_call(
        &self,
        id: String,
        labels: impl Fn(ServiceId, u32) -> String + Send + 'static,
    ) -> Option<Result<CallInfo, NotFound>> {
        self.ask_local(move |local, answer| {
            let labels: Labels<'_> = &labels;
            let _ = answer.send(local.act(|core, out| core.cancel_call(Instant::now(), &id, labels, out)));
        })
        .await
    }

    /// Has a paused call replayed, and answers what it was.
    pub async fn retry_call(
        &self,
        RetryRequest { id, force }: RetryRequest,
        labels: impl Fn(ServiceId, u32) -> String + Send + 'static,
    ) -> Option<Result<CallInfo, CannotRetry>> {
        self.ask_local(move |local, answer| {
            let retry = |core: &mut Core, out: &mut Vec<Effect>| {
                core.retry_paused(Instant::now(), &id, force, &labels, out)
            };
            let _ = answer.send(local.act(retry));
        })
        .await
    }

    /// The Python stacks of all lanes of an instance.
    pub async fn stacks(&self, instance: InstanceId) -> Result<Vec<TaskStack>, Silent> {
        let answer = self.ask_local(move |local, answer| local.ask_stacks(instance, answer));
        match tokio::time::timeout(STACKS_BOUND, answer).await {
            Ok(stacks) => stacks.ok_or(Silent::Gone),
            Err(_) => Err(Silent::TooLate),
        }
    }

    async fn ask_local<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Rc<Local>, oneshot::Sender<T>) + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.push(Command::Look(Box::new(move |local| look(local, sender))));
        receiver.await.ok()
    }
}

impl Local {
    fn ask_stacks(&self, instance: InstanceId, answer: oneshot::Sender<Vec<TaskStack>>) {
        let nonce = self.stack_askers.borrow().next();
        if self.try_control(instance, &ToControl::Stacks(nonce)) {
            self.stack_askers.borrow_mut().add(answer);
        }
    }

    pub fn on_stacks(&self, nonce: u64, stacks: Vec<TaskStack>) {
        let asker = self.stack_askers.borrow_mut().waiting.remove(&nonce);
        // Who asked may have given up.
        asker.map(|asker| asker.send(stacks));
    }
}

/// Who waits for the stacks of an instance.
#[derive(Default)]
pub struct StackAskers {
    /// Questions so far: no two have the same number.
    asked: u64,
    waiting: HashMap<u64, oneshot::Sender<Vec<TaskStack>>>,
}

impl StackAskers {
    fn next(&self) -> u64 {
        self.asked
    }

    fn add(&mut self, asker: oneshot::Sender<Vec<TaskStack>>) {
        // Instances that never answer must not fill it.
        self.waiting.retain(|_, asker| !asker.is_closed());
        self.waiting.insert(self.asked, asker);
        self.asked += 1;
    }
}
