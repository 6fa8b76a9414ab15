use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::config::command::{Dependency, Until};
use crate::config::spec::{
    InstanceRange, OnNondeterminism, Program, QueuePolicy, RetryPolicy, ScalePolicy, StopPolicy,
};
use crate::model::{Language, ServiceName};

/// A service as it is with the defaults.
pub fn offer(name: &str) -> Offer {
    let (module, _) = name.rsplit_once('.').expect("a canonical name");
    let spec = ServiceSpec {
        name: ServiceName::new(name),
        program: Program::Function { language: Language::Python, module: module.to_owned() },
        slots: 2,
        max_parked: 256,
        instances: InstanceRange { min: 1, max: 8 },
        scale: ScalePolicy {
            utilization: 0.7,
            cpu: 0.8,
            machine: 0.9,
            down_after: Duration::from_secs(60),
            idle_to_zero: None,
        },
        queue: QueuePolicy { max: 1024, timeout: Duration::from_secs(10) },
        run_timeout: Duration::from_secs(30),
        retries: RetryPolicy::NONE,
        idempotent: false,
        concurrency_key: None,
        batch: None,
        on_nondeterminism: OnNondeterminism::Fail,
        expose: true,
        listen: None,
        depends_on: Vec::new(),
        env: BTreeMap::new(),
        cwd: ".".into(),
        watch: Vec::new(),
        stop: StopPolicy { signal: libc::SIGTERM, grace: Duration::from_secs(10) },
    };
    Offer { spec, kind: WorkerKind::Def, signature: Arc::default(), address: None }
}

/// A dependency on a service that must be ready.
pub fn ready_first(name: &str) -> Dependency {
    Dependency { service: name.to_owned(), until: Until::Ready }
}

#[test]
fn the_position_of_an_offer_becomes_its_id() {
    let registry = Registry::new(vec![offer("a.a"), offer("x.b"), offer("y.b")]);
    let snapshot = registry.snapshot();
    let shorts: Vec<&str> = snapshot.services.iter().map(ServiceEntry::short).collect();
    assert_eq!(shorts, ["a", "x.b", "y.b"]);
    assert_eq!(registry.resolve("y.b"), Ok(ServiceId(2)));
    assert_eq!(snapshot.get(ServiceId(2)).map(|service| service.id), Some(ServiceId(2)));
    assert!(snapshot.get(ServiceId(3)).is_none());
}

#[test]
fn instances_are_named_after_the_shortest_unambiguous_name() {
    let snapshot = Registry::new(vec![offer("a.a"), offer("x.b"), offer("y.b")]).snapshot();
    assert_eq!(snapshot.services[0].label(1), "a-1");
    assert_eq!(snapshot.services[1].label(12), "x.b-12");
}

#[test]
fn a_service_begins_with_its_least_number_of_instances() {
    let mut fixed = offer("b.b");
    fixed.spec.instances = InstanceRange { min: 3, max: 3 };
    let snapshot = Registry::new(vec![offer("a.a"), fixed]).snapshot();
    let begun: Vec<(u32, &str)> =
        snapshot.services.iter().map(|service| (service.desired, service.mode.as_str())).collect();
    assert_eq!(begun, [(1, "auto"), (3, "fixed")]);
}

#[test]
fn force_goes_beyond_the_max_of_the_service_but_not_of_msx() {
    let snapshot = Registry::new(vec![offer("a.a")]).snapshot();
    let refused =
        |instances, force| snapshot.services[0].allows(instances, force).err().map(|e| e.to_string());
    assert_eq!((refused(8, false), refused(9, true), refused(1_024, true)), (None, None, None));
    let above = "cannot scale a to 9 instances: its max is 8";
    assert_eq!(refused(9, false).as_deref(), Some(above));
    for (instances, force) in [(5_000, false), (5_000, true), (u32::MAX, true)] {
        let above = format!("cannot scale a to {instances} instances: msx runs at most 1024 of one service");
        assert_eq!(refused(instances, force), Some(above));
    }
}

#[test]
fn a_reader_keeps_its_moment() {
    let registry = Registry::new(vec![offer("a.a")]);
    let before = registry.snapshot();
    registry.clone().update(|services| services[0].desired = 7);
    assert_eq!(before.services[0].desired, 1);
    assert_eq!(registry.peek().services[0].desired, 7);
}

#[test]
fn writers_do_not_lose_each_others_changes() {
    let registry = Registry::new(vec![offer("a.a")]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| registry.update(|services| services[0].desired += 1)));
        }
    });
    assert_eq!(registry.snapshot().services[0].desired, 401);
}
