//! `msx calls retry`: has a paused call replayed, and waits until it is known what comes of it.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use tokio::time::{Instant, sleep};

use super::{Answer, labels, stopping};
use crate::control::server::{Control, Entry, Refused, Shared};
use crate::core::{CannotRetry, Progress};
use crate::protocol::calls::{Retried, RetryOutcome, RetryRequest};
use crate::protocol::control::{ProblemKind, route};

/// How long the replay is watched, and how often it is looked at.
const WATCHED_FOR: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub fn router() -> Router<Arc<Entry>> {
    Router::new().route(route::RETRY, post(retry))
}

async fn retry(Shared(control): Shared, Json(request): Json<RetryRequest>) -> Answer<Retried> {
    let call = control.shard.retry_call(request, labels(&control)).await.ok_or_else(stopping)??;
    let progress = watch(&control, &call.id).await?;
    let (outcome, paused) = match progress {
        Progress::Paused(paused) => (RetryOutcome::Paused, Some(paused)),
        Progress::GoesOn => (RetryOutcome::GoesOn, None),
        Progress::UnderWay => (RetryOutcome::UnderWay, None),
        Progress::Ended => (RetryOutcome::Ended, None),
    };
    Ok(Json(Retried { call, outcome, paused }))
}

async fn watch(control: &Control, id: &str) -> Result<Progress, Refused> {
    let end = Instant::now() + WATCHED_FOR;
    loop {
        let id = id.to_owned();
        let progress = control.shard.look(move |core, now| core.progress(now, &id)).await;
        let progress = progress.ok_or_else(stopping)?;
        if progress != Progress::UnderWay || Instant::now() >= end {
            return Ok(progress);
        }
        sleep(LOOK_EVERY).await;
    }
}

impl From<CannotRetry> for Refused {
    fn from(error: CannotRetry) -> Self {
        let message = error.to_string();
        let refused = Self::new(ProblemKind::Unavailable, message);
        match error {
            CannotRetry::NotFound(error) => error.into(),
            CannotRetry::NotPaused { id, .. } => refused.help(format!(
                "`msx why {id}` shows what it waits for; only a call that is paused can be retried"
            )),
            CannotRetry::Changed(id) => refused.help(format!("`msx why {id}` shows where")),
            CannotRetry::Hopeless { .. } => refused.help("`msx ps` shows how the service is doing"),
        }
    }
}
