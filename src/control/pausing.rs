//! `msx pause` and `msx resume`: a service that begins no call for a while, and the wait until it has none.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};

use super::server::{Control, Entry, Refused, Shared};
use crate::core::Event;
use crate::model::ServiceId;
use crate::protocol::control::{PAUSE_MAX, PauseRequest, ProblemKind, ResumeRequest, route};
use crate::protocol::events::EventKind;

/// How often the calls that still run are counted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub fn router() -> Router<Arc<Entry>> {
    Router::new().route(route::PAUSE, post(pause)).route(route::RESUME, post(resume))
}

/// Answers when the calls that had begun have ended.
async fn pause(Shared(control): Shared, Json(request): Json<PauseRequest>) -> Result<StatusCode, Refused> {
    let bound = Duration::from_millis(request.max_ms);
    if bound.is_zero() || bound > PAUSE_MAX {
        let message = format!("cannot pause for {} s", bound.as_secs_f64());
        return Err(Refused::usage(message).help(format!("pause for at most {} s", PAUSE_MAX.as_secs())));
    }
    let services = resolve(&control, &request.services)?;
    for id in &services {
        control.shard.event(Event::Hold { service: *id, bound });
        control.tell(*id, EventKind::Paused, &format!("for at most {} s", bound.as_secs_f64()));
    }
    if request.wait {
        for id in services {
            control.drained(id, bound).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(Shared(control): Shared, Json(request): Json<ResumeRequest>) -> Result<StatusCode, Refused> {
    for id in resolve(&control, &request.services)? {
        if control.going(id).await.is_none() {
            let message = format!("cannot resume {}: it is not paused", control.short(id));
            let help = "a pause ends by itself after its --max; `msx events` shows when";
            return Err(Refused::new(ProblemKind::Unavailable, message).help(help));
        }
        control.shard.event(Event::Unhold(id));
        control.tell(id, EventKind::Resumed, "by `msx resume`");
    }
    Ok(StatusCode::NO_CONTENT)
}

fn resolve(control: &Control, names: &[String]) -> Result<Vec<ServiceId>, Refused> {
    names.iter().map(|name| Ok(control.registry.resolve(name)?)).collect()
}

impl Control {
    /// Returns when no call of a paused service has begun and not ended.
    async fn drained(&self, id: ServiceId, bound: Duration) -> Result<(), Refused> {
        let mut last = 0;
        loop {
            match self.going(id).await {
                Some(0) => return Ok(()),
                Some(going) => last = going,
                None => return Err(self.not_drained(id, bound, last)),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn not_drained(&self, id: ServiceId, bound: Duration, going: usize) -> Refused {
        let (name, seconds) = (self.short(id), bound.as_secs_f64());
        let message = format!(
            "{name} goes on: {going} of its calls had not ended when its pause did, after at most {seconds} s"
        );
        let help = format!("`msx calls --service {name}` shows them; `--max` pauses for longer");
        Refused::new(ProblemKind::Unavailable, message).help(&help)
    }

    /// Calls of a paused service that have begun; `None`: it is not paused.
    async fn going(&self, id: ServiceId) -> Option<usize> {
        self.shard.look(move |core, _| core.held(id).map(|(_, going)| going)).await.flatten()
    }

    fn tell(&self, id: ServiceId, kind: EventKind, why: &str) {
        if let Some(service) = self.registry.peek().get(id) {
            self.orchestrator.reporter.events.tell(kind, service.subject(), why);
        }
    }

    fn short(&self, id: ServiceId) -> String {
        self.registry.peek().get(id).map_or_else(String::new, |service| service.short().to_owned())
    }
}
