//! What the core tells of itself: numbers for `msx ps` and for the autoscaler.

use std::time::{Duration, Instant};

use super::Core;
use crate::balancer::Meter;
use crate::model::{InstanceId, ServiceId};

/// Numbers of one service.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    pub service: ServiceId,
    pub queued: usize,
    /// The most of them that one slot takes at once.
    pub batch_size: u32,
    /// Calls that hold a slot.
    pub busy: usize,
    /// Calls of the service that wait for another call in an instance.
    pub suspended: usize,
    pub meter: Meter,
    /// Slot time spent so far, running calls included.
    pub busy_total: Duration,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub instances: Vec<InstanceReport>,
}

#[derive(Clone, Debug)]
pub struct InstanceReport {
    pub instance: InstanceId,
    pub busy: usize,
    pub parked: usize,
    pub completed: u64,
}

impl Core {
    /// Calls and requests that have not ended.
    pub fn unfinished(&self) -> usize {
        self.calls.len() + self.permits.len()
    }

    pub fn report(&mut self, now: Instant) -> Vec<ServiceReport> {
        let services = self.services.iter_mut().enumerate().filter(|(_, service)| !service.setup.is_hub);
        let reports = services.map(|(at, service)| {
            let dispatcher = &mut service.dispatcher;
            let instances = dispatcher.instances().iter().map(|i| InstanceReport {
                instance: i.id,
                busy: i.running.len(),
                parked: i.parked.len() + i.unwinding.len(),
                completed: i.completed,
            });
            let instances: Vec<InstanceReport> = instances.collect();
            ServiceReport {
                service: ServiceId(at as u32),
                queued: dispatcher.queued(),
                batch_size: dispatcher.batch_size(),
                busy: dispatcher.busy(),
                suspended: instances.iter().map(|i| i.parked).sum(),
                meter: dispatcher.meter,
                busy_total: dispatcher.busy_total(now),
                p50_ms: dispatcher.latency.quantile_ms(now, 0.5),
                p99_ms: dispatcher.latency.quantile_ms(now, 0.99),
                instances,
            }
        });
        reports.collect()
    }
}
