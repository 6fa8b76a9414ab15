//! Tests of the supervisor: its parts with a simulated clock, and the whole with real processes.

mod fleet;
mod io;
mod random;
mod restarts;
mod sim;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::spec::{InstanceRange, QueuePolicy, ScalePolicy, ServiceSpec, StopPolicy};
use crate::model::{ServiceName, WorkerKind};
use crate::registry::{Offer, Registry};

/// A service with the defaults and exactly one instance.
pub fn offer(name: &str) -> Offer {
    let (module, _) = name.rsplit_once('.').expect("a canonical name");
    let spec = ServiceSpec {
        name: ServiceName::new(name),
        module: module.to_owned(),
        slots: 2,
        max_parked: 256,
        instances: InstanceRange { min: 1, max: 8 },
        scale: ScalePolicy { utilization: 0.7, cpu: 0.8, machine: 0.9, down_after: Duration::from_secs(60) },
        queue: QueuePolicy { max: 1024, timeout: Duration::from_secs(10) },
        run_timeout: Duration::from_secs(30),
        expose: true,
        listen: None,
        depends_on: Vec::new(),
        env: BTreeMap::new(),
        cwd: ".".into(),
        stop: StopPolicy { signal: libc::SIGTERM, grace: Duration::from_secs(10) },
    };
    Offer { spec, kind: WorkerKind::Def, signature: serde_json::json!({}), address: None }
}

pub fn registry(offers: Vec<Offer>) -> Registry {
    Registry::new(offers)
}
