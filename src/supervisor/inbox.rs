//! What the shards tell the supervisor: taken without waiting, kept in order, lost never.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Hello;
use crate::model::{InstanceId, ServiceId};

/// One piece of news. Of each kind there is at most one for an instance (and for a service), which bounds the inbox.
#[derive(Debug)]
pub enum Notice {
    Hello(InstanceId, Hello),
    Severed(InstanceId, Option<String>),
    Drained(InstanceId),
    Unresponsive(InstanceId, String),
    Steer(ServiceId, u32),
}

/// The inbox of the supervisor's task.
#[derive(Default)]
pub struct Inbox {
    notices: Mutex<VecDeque<Notice>>,
    filled: Notify,
}

impl Inbox {
    /// Puts news in. It takes the place of unread news of the same kind and origin.
    pub fn push(&self, notice: Notice) {
        let mut notices = self.notices.lock();
        match notices.iter_mut().find(|unread| unread.is_like(&notice)) {
            Some(unread) => *unread = notice,
            None => notices.push_back(notice),
        }
        drop(notices);
        self.filled.notify_one();
    }

    /// Waits until there is news.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes all news, oldest first.
    pub fn take(&self) -> VecDeque<Notice> {
        std::mem::take(&mut *self.notices.lock())
    }
}

impl Notice {
    fn is_like(&self, other: &Notice) -> bool {
        match (self, other) {
            (Notice::Hello(a, _), Notice::Hello(b, _))
            | (Notice::Severed(a, _), Notice::Severed(b, _))
            | (Notice::Drained(a), Notice::Drained(b))
            | (Notice::Unresponsive(a, _), Notice::Unresponsive(b, _)) => a == b,
            (Notice::Steer(a, _), Notice::Steer(b, _)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Generation;

    #[test]
    fn unread_news_is_replaced_by_its_like_and_keeps_its_order() {
        let inbox = Inbox::default();
        let instance = InstanceId { service: ServiceId(0), number: 1, generation: Generation(1) };
        inbox.push(Notice::Steer(ServiceId(0), 2));
        inbox.push(Notice::Severed(instance, None));
        inbox.push(Notice::Drained(instance));
        inbox.push(Notice::Steer(ServiceId(1), 3));
        inbox.push(Notice::Steer(ServiceId(0), 4));
        inbox.push(Notice::Severed(instance, None));
        let taken: Vec<String> = inbox.take().iter().map(|notice| format!("{notice:?}")).collect();
        let instance = format!("{instance:?}");
        let expected = [
            "Steer(ServiceId(0), 4)".to_owned(),
            format!("Severed({instance}, None)"),
            format!("Drained({instance})"),
            "Steer(ServiceId(1), 3)".to_owned(),
        ];
        assert_eq!(taken, expected);
        assert!(inbox.take().is_empty());
    }
}
