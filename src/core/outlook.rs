//! A root call that would wait for longer than anybody waits is refused at once, if no capacity is coming.

use std::time::Duration;

use super::{Core, Reason, Refusal};
use crate::balancer::Intake;
use crate::model::ServiceId;

/// Callers are asked to come back within this time.
const RETRY_AFTER_S: (u32, u32) = (1, 60);

/// What is known of a service that has as many instances as it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Slot time of one call.
    pub call_time: Duration,
}

impl Core {
    /// Why it would be no use to wait. `timeout`: how long the caller waits.
    pub(super) fn too_late(&self, id: ServiceId, timeout: Option<Duration>) -> Option<Refusal> {
        let service = self.service(id);
        let Outlook { call_time } = service.outlook.filter(|_| service.hold.is_none())?;
        let dispatcher = &service.dispatcher;
        let ready = dispatcher.instances().iter().filter(|instance| instance.intake == Intake::Ready);
        let slots: u32 = ready.map(|instance| instance.slots).sum();
        if slots == 0 {
            return None;
        }
        let runs = dispatcher.queued().div_ceil(dispatcher.batch_size() as usize);
        let wait_s = runs as f64 * call_time.as_secs_f64() / f64::from(slots);
        let of_queue = service.setup.queue.timeout;
        let bound = timeout.map_or(of_queue, |timeout| timeout.min(of_queue));
        let over_s = wait_s - bound.as_secs_f64();
        if over_s <= 0.0 {
            return None;
        }
        let (name, queued) = (&service.setup.name, dispatcher.queued());
        let message = format!(
            "{name} cannot answer in time: {queued} calls wait for its {slots} slots, which takes about {wait_s:.1} s, and this \
             one may wait for {:.1} s; it cannot have more instances now",
            bound.as_secs_f64()
        );
        let retry_after_s = (over_s.ceil() as u32).clamp(RETRY_AFTER_S.0, RETRY_AFTER_S.1);
        Some(Refusal { reason: Reason::Overloaded { retry_after_s }, message, detail: None })
    }
}
