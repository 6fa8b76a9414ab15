//! What others see of the fleet: the registry's table, and a line of progress for the terminal.

use super::fleet::Fleet;
use super::service::Service;
use super::{Hello, Wiring};
use crate::protocol::control::InstanceState;
use crate::protocol::progress::Progress;
use crate::registry::{InstanceEntry, Mode, ServiceEntry};

/// The part of a service's entry that the supervisor writes.
#[derive(Clone, PartialEq)]
struct View {
    desired: u32,
    mode: Mode,
    instances: Vec<InstanceEntry>,
}

/// Ready, wanted, state.
type Summary = (u32, u32, &'static str);

/// Publishes what differs from the last time.
#[derive(Default)]
pub struct Publisher {
    views: Vec<View>,
    summaries: Vec<Summary>,
}

impl Publisher {
    pub fn publish(&mut self, fleet: &Fleet, wiring: &Wiring) {
        let views: Vec<View> = fleet.services().iter().map(view).collect();
        if views == self.views {
            return;
        }
        wiring.registry.update(|services| {
            for ((entry, view), service) in services.iter_mut().zip(&views).zip(fleet.services()) {
                show(entry, view, service.newest());
            }
        });
        let summaries = views.iter().map(|view| summary(view, fleet.is_ending())).collect();
        let before = std::mem::replace(&mut self.summaries, summaries);
        for (index, (service, summary)) in fleet.services().iter().zip(&self.summaries).enumerate() {
            if before.get(index) != Some(summary) {
                (wiring.report)(progress(service, summary));
            }
        }
        self.views = views;
    }
}

fn view(service: &Service) -> View {
    View { desired: service.desired(), mode: service.mode(), instances: service.instances() }
}

/// Which instance is the newest to serve changes only with the state of one; while none serves, what the last one said
/// stays.
fn show(service: &mut ServiceEntry, view: &View, newest: Option<&Hello>) {
    (service.desired, service.mode) = (view.desired, view.mode);
    if let Some(hello) = newest {
        (service.kind, service.signature) = (hello.kind, hello.signature.clone());
    }
    if service.instances != view.instances {
        service.instances.clone_from(&view.instances);
    }
}

fn progress(service: &Service, &(ready, wanted, state): &Summary) -> Progress {
    Progress::Service { name: service.name().to_string(), ready, wanted, state: state.into() }
}

/// The state is the one that a person should look at first.
fn summary(view: &View, is_ending: bool) -> Summary {
    let count = |state| view.instances.iter().filter(|instance| instance.state == state).count() as u32;
    let completed = count(InstanceState::Completed);
    let ready = count(InstanceState::Ready) + completed;
    let worst = [
        (InstanceState::Crashloop, "crashloop"),
        (InstanceState::Failed, "failed"),
        (InstanceState::Backoff, "backoff"),
        (InstanceState::Starting, "starting"),
        (InstanceState::Running, "running"),
        (InstanceState::Unready, "unready"),
        (InstanceState::Draining, "draining"),
    ];
    let state = match worst.into_iter().find(|(state, _)| count(*state) > 0) {
        Some((_, word)) => word,
        None if is_ending && view.instances.is_empty() => "stopped",
        None if is_ending => "stopping",
        None if ready >= view.desired && completed > 0 => "completed",
        None if ready >= view.desired => "ready",
        None => "starting",
    };
    (ready, view.desired, state)
}
