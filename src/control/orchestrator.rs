//! `msx.orchestrator`: the hub as a service. Its functions are called like any other and answered here.

use std::time::Duration;

use serde_json::{Value, json};

use crate::control::status::Reporter;
use crate::model::{InstanceId, Outcome, ServiceId, ServiceName, Upstream};
use crate::protocol::error::RemoteError;
use crate::protocol::events::{EventKind, Subject};
use crate::protocol::json;
use crate::protocol::signature::Signature;
use crate::registry::{InstanceEntry, Registry, ServiceEntry};
use crate::supervisor::Supervisor;

/// Name of the module whose functions the hub answers.
pub const MODULE: &str = "msx.orchestrator";

/// Names and types.
type Parameters = &'static [(&'static str, &'static str)];

/// The functions, with their parameters as a person would write them.
const FUNCTIONS: [(&str, Parameters); 5] = [
    ("services", &[]),
    ("access", &[("name", "str")]),
    ("instances", &[("name", "str")]),
    ("scale", &[("name", "str"), ("n", "int")]),
    ("health", &[]),
];

/// Canonical names of the functions.
pub fn names() -> impl Iterator<Item = ServiceName> {
    FUNCTIONS.iter().map(|(function, _)| ServiceName::new(format!("{MODULE}.{function}")))
}

fn parameters(name: &ServiceName) -> Parameters {
    FUNCTIONS.iter().find(|(function, _)| *function == name.alias()).map_or(&[], |(_, parameters)| parameters)
}

/// The signature of a function, in the form that discovery gives for others.
pub fn signature(name: &ServiceName) -> Signature {
    let parameters = parameters(name);
    let text: Vec<String> = parameters.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
    let described = parameters.iter().map(|(name, kind)| {
        let schema = json!({"type": if *kind == "int" { "integer" } else { "string" }});
        json!({"name": name, "kind": "positional_or_keyword", "annotation": kind, "required": true, "schema": schema})
    });
    let described: Vec<Value> = described.collect();
    let signature =
        json!({"text": format!("({})", text.join(", ")), "doc": null, "returns": null, "params": described});
    Signature::parse(signature.to_string().as_bytes()).expect("this is the form of a signature")
}

/// What the functions look at and act on.
#[derive(Clone)]
pub struct Orchestrator {
    pub registry: Registry,
    pub supervisor: Supervisor,
    pub reporter: Reporter,
}

impl Orchestrator {
    /// Answers one call; `arguments` is its payload.
    pub async fn answer(&self, name: &ServiceName, arguments: &[u8]) -> Outcome {
        let result = match bound(name, arguments) {
            Ok(arguments) => self.run(name.alias(), &arguments).await,
            Err(message) => Err(raised("builtins.TypeError", name, message)),
        };
        match result.and_then(|value| encoded(name, &value)) {
            Ok(payload) => Outcome::Value(payload),
            Err(error) => Outcome::Error(RemoteError { service: name.to_string(), ..*error }.encode()),
        }
    }

    /// Puts on record that an instance gets no requests for a while.
    pub fn tell_ejected(&self, instance: InstanceId, bound: Duration) {
        let snapshot = self.registry.peek();
        let Some(service) = snapshot.get(instance.service) else { return };
        let (shown, name) = (service.label(instance.number), service.spec.name.as_str());
        let why = format!("it failed five requests in a row, and gets none for {} s", bound.as_secs());
        self.reporter.events.tell(EventKind::Ejected, Subject { service: Some(name), shown: &shown }, &why);
    }

    /// Puts on record that a service goes on.
    pub fn tell_resumed(&self, service: ServiceId, why: &str) {
        let snapshot = self.registry.peek();
        let Some(service) = snapshot.get(service) else { return };
        self.reporter.events.tell(EventKind::Resumed, service.subject(), why);
    }

    async fn run(&self, function: &str, arguments: &[Value]) -> Result<Value, Box<RemoteError>> {
        let text = |at: usize| arguments.get(at).and_then(Value::as_str).unwrap_or_default();
        match function {
            "services" => Ok(services(&self.registry.snapshot().services)),
            "access" => self.access(text(0)),
            "instances" => self.instances(text(0)),
            "scale" => self.scale(text(0), arguments.get(1).and_then(Value::as_u64)).await,
            _ => Ok(health(&self.registry.snapshot().services, self.reporter.uptime())),
        }
    }

    fn access(&self, name: &str) -> Result<Value, Box<RemoteError>> {
        let snapshot = self.registry.snapshot();
        let id = snapshot.resolve(name).map_err(unknown)?;
        Ok(snapshot.get(id).map_or(Value::Null, address))
    }

    fn instances(&self, name: &str) -> Result<Value, Box<RemoteError>> {
        let snapshot = self.registry.snapshot();
        let id = snapshot.resolve(name).map_err(unknown)?;
        let instances = snapshot.get(id).map_or(&[][..], |service| &service.instances);
        let described = instances.iter().map(described_instance);
        Ok(described.collect())
    }

    async fn scale(&self, name: &str, instances: Option<u64>) -> Result<Value, Box<RemoteError>> {
        let id = self.registry.resolve(name).map_err(unknown)?;
        let instances = instances.and_then(|n| u32::try_from(n).ok());
        let instances = instances.ok_or_else(|| value_error("n must be a whole number from 0"))?;
        let scaled = self.supervisor.scale(id, Some(instances), true, false).await;
        scaled.map(|()| Value::Null).map_err(|error| {
            let help = error.help().map(|help| format!("; {help}"));
            value_error(format!("{error}{}", help.unwrap_or_default()))
        })
    }
}

fn described_instance(instance: &InstanceEntry) -> Value {
    let upstream = instance.upstream.as_ref().map(Upstream::to_string);
    json!({
        "id": instance.label, "state": instance.state, "pid": instance.pid, "restarts": instance.restarts,
        "address": upstream,
    })
}

fn services(services: &[ServiceEntry]) -> Value {
    let described = services.iter().map(|service| {
        json!({
            "name": service.spec.name.as_str(),
            "alias": service.alias.as_deref(),
            "address": address(service),
            "instances": service.ready(),
        })
    });
    described.collect()
}

/// Of the service's own front.
fn address(service: &ServiceEntry) -> Value {
    service.address.map_or(Value::Null, |address| json!(format!("http://{address}/")))
}

/// It is well if every service has at least the ready instances that are wanted of it.
fn health(services: &[ServiceEntry], uptime: Duration) -> Value {
    let is_ok = services.iter().all(|service| service.well() >= service.desired as usize);
    let numbers = services.iter().map(|service| {
        let numbers = json!({"ready": service.ready(), "desired": service.desired});
        (service.spec.name.to_string(), numbers)
    });
    let numbers: serde_json::Map<String, Value> = numbers.collect();
    json!({"ok": is_ok, "uptime": uptime.as_secs_f64(), "services": numbers})
}

/// The arguments in the order of the parameters.
fn bound(name: &ServiceName, payload: &[u8]) -> Result<Vec<Value>, String> {
    let mut text = Vec::new();
    json::to_json(payload, &mut text).map_err(|error| error.to_string())?;
    let (args, mut kwargs): (Vec<Value>, serde_json::Map<String, Value>) =
        serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let parameters = parameters(name);
    let missing = |parameter: &str| format!("{name}() misses its argument `{parameter}`");
    let mut given = args.into_iter();
    let bound: Result<Vec<Value>, String> = parameters
        .iter()
        .map(|(parameter, _)| {
            given.next().or_else(|| kwargs.remove(*parameter)).ok_or_else(|| missing(parameter))
        })
        .collect();
    match given.next().is_some() || !kwargs.is_empty() {
        true => Err(format!("{name}() takes {} argument(s)", parameters.len())),
        false => bound,
    }
}

fn encoded(name: &ServiceName, value: &Value) -> Result<bytes::Bytes, Box<RemoteError>> {
    json::from_json(value.to_string().as_bytes())
        .map_err(|error| raised("builtins.ValueError", name, error.to_string()))
}

fn raised(kind: &str, name: &ServiceName, message: impl Into<String>) -> Box<RemoteError> {
    Box::new(RemoteError {
        kind: kind.to_owned(),
        message: message.into(),
        mro: vec!["builtins.Exception".into()],
        service: name.to_string(),
        ..RemoteError::default()
    })
}

fn value_error(message: impl Into<String>) -> Box<RemoteError> {
    raised("builtins.ValueError", &ServiceName::new(MODULE), message)
}

fn unknown(error: crate::registry::NameError) -> Box<RemoteError> {
    let text = format!("{error}; {}", error.help());
    raised("builtins.LookupError", &ServiceName::new(MODULE), text)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::model::{Generation, InstanceId};
    use crate::protocol::control::InstanceState;
    use crate::registry::tests::offer;

    /// One that was ready at some time, whatever it is now.
    fn instance(service: &ServiceEntry, number: u32, state: InstanceState) -> InstanceEntry {
        InstanceEntry {
            id: InstanceId { service: service.id, number, generation: Generation(number) },
            label: service.label(number),
            state,
            pid: None,
            upstream: None,
            started: Instant::now(),
            ready: Some(Instant::now()),
            restarts: 0,
            reason: None,
        }
    }

    fn table(states: &[InstanceState], desired: u32) -> Vec<ServiceEntry> {
        let mut offer = offer("m.a");
        offer.address = Some(([127, 0, 0, 1], 4000).into());
        let mut services = Registry::new(vec![offer]).snapshot().services.clone();
        let service = &mut services[0];
        service.instances =
            (1..).zip(states).map(|(number, state)| instance(service, number, *state)).collect();
        service.desired = desired;
        services
    }

    #[test]
    fn only_instances_that_are_ready_now_count() {
        use InstanceState::{Backoff, Completed, Draining, Failed, Ready};
        for (states, desired, ready, ok) in [
            (&[Backoff][..], 1, 0, false),
            (&[Ready, Draining], 2, 1, false),
            (&[Ready], 2, 1, false),
            (&[Ready, Ready], 1, 2, true),
            (&[], 0, 0, true),
            (&[Completed], 1, 0, true),
            (&[Failed], 1, 0, false),
        ] {
            let shown = health(&table(states, desired), Duration::from_secs(2));
            let numbers = json!({"m.a": {"ready": ready, "desired": desired}});
            assert_eq!(shown, json!({"ok": ok, "uptime": 2.0, "services": numbers}), "{states:?}");
        }
    }

    #[test]
    fn services_are_described() {
        let shown = services(&table(&[InstanceState::Ready, InstanceState::Backoff], 2));
        let expected =
            json!({"name": "m.a", "alias": "a", "address": "http://127.0.0.1:4000/", "instances": 1});
        assert_eq!(shown, json!([expected]));
    }
}
