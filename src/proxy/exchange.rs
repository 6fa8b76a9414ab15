//! One request, from its head to the head of its response.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use tokio::time::{sleep, timeout};

use super::download::{self, Download};
use super::front::{Front, Session};
use super::headers::{self, Wishes};
use super::leaving::{Pending, Unanswered};
use super::refused::Refused;
use super::tunnel::Tunnel;
use crate::core::Failure;
use crate::shard::Permit;
use crate::upstream::{ClientFault, Connection, Gate, Upload};

/// How long an instance may take to begin its answer (design 5).
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// How long a client may take to begin with the body that it has announced.
const FIRST_PART: Duration = Duration::from_secs(60);
/// How long an instance may take to say that it wants the body. Many never say it.
const CONTINUE_BOUND: Duration = Duration::from_secs(1);

/// Passes a request on, and answers with the response as soon as that begins.
pub(super) async fn exchange(
    session: &Rc<Session>,
    request: Request<Incoming>,
) -> Result<Response<Download>, Refused> {
    let (mut head, body) = request.into_parts();
    headers::check(&head)?;
    let wishes = headers::pass_on(&mut head, &session.client, !body.is_end_stream());
    let client = head.extensions.remove::<OnUpgrade>().filter(|_| wishes.upgrade.is_some());
    let (request, gate) = prepare(head, body, &wishes).await?;
    let spare = Spare::of(&request, session.front.is_idempotent);
    let delivery = Delivery { front: &session.front, spare, gate, is_retried: false, wants_new: false };
    let (pending, response) = delivery.run(request.into_request()).await?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => switch(session, pending, response, client),
        _ => relay(session, pending, response),
    }
}

/// A request that is ready to be sent.
struct Ready {
    head: Parts,
    body: Upload,
}

impl Ready {
    fn into_request(self) -> Request<Upload> {
        Request::from_parts(self.head, self.body)
    }
}

/// Waits for the first part of the body, so that a client that is slow with it holds no slot meanwhile. One that waits to
/// be asked for its body is asked when the instance does.
async fn prepare(head: Parts, mut body: Incoming, wishes: &Wishes) -> Result<(Ready, Option<Gate>), Refused> {
    if wishes.expects_continue {
        return Ok(expecting(head, body));
    }
    let first = match body.is_end_stream() {
        true => None,
        false => first_part(&mut body).await.map_err(Refused::client)?,
    };
    let rest = (!body.is_end_stream()).then_some(body);
    Ok((Ready { head, body: Upload::new(first, rest, None) }, None))
}

fn expecting(mut head: Parts, body: Incoming) -> (Ready, Option<Gate>) {
    let gate = Gate::default();
    let mut carrier = Request::new(());
    let opens = gate.clone();
    hyper::ext::on_informational(&mut carrier, move |response| {
        if response.status() == StatusCode::CONTINUE {
            opens.open();
        }
    });
    head.extensions.extend(std::mem::take(carrier.extensions_mut()));
    (Ready { head, body: Upload::new(None, Some(body), Some(gate.clone())) }, Some(gate))
}

async fn first_part(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, ClientFault> {
    match timeout(FIRST_PART, body.frame()).await {
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(_))) => Err(ClientFault::Broken),
        Ok(None) => Ok(None),
        Err(_) => Err(ClientFault::Idle),
    }
}

/// What it takes to send a request a second time.
struct Spare {
    head: Parts,
    body: Option<Bytes>,
}

impl Spare {
    /// None, if sending it twice could do harm, or its body is not at hand.
    fn of(request: &Ready, is_idempotent: bool) -> Option<Self> {
        let methods =
            [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE];
        let may_be_repeated = is_idempotent || methods.contains(&request.head.method);
        let body = request.body.whole().filter(|_| may_be_repeated)?;
        Some(Self { head: request.head.clone(), body: Some(body).filter(|body| !body.is_empty()) })
    }

    fn request(&self) -> Request<Upload> {
        let body = Upload::new(self.body.clone().map(Frame::data), None, None);
        Request::from_parts(self.head.clone(), body)
    }
}

/// A request on its way: in a slot of an instance, and in another one where that is right, until one answers.
struct Delivery<'a> {
    front: &'a Front,
    spare: Option<Spare>,
    gate: Option<Gate>,
    is_retried: bool,
    /// A kept connection was closed under it: the next one is a new one.
    wants_new: bool,
}

impl Delivery<'_> {
    async fn run(mut self, mut request: Request<Upload>) -> Result<(Pending, Response<Incoming>), Refused> {
        let front = self.front;
        let mut permit = front.shard.permit(front.service).await.map_err(Refused::unavailable)?;
        loop {
            let Some(connection) = self.connect(&permit).await else {
                permit = self.elsewhere(permit, Failure::Unsent).await?;
                continue;
            };
            let was_new = connection.is_new;
            let mut pending = Pending::send(permit, connection, request, FIRST_BYTE).await;
            let why = match self.head(&mut pending).await {
                Ok(response) => return Ok((pending, response)),
                Err(why) => why,
            };
            permit = pending.give_up().ok_or_else(|| self.broke())?;
            (permit, request) = self.recover(permit, why, was_new).await?;
        }
    }

    /// None: the instance takes no connections. What cannot be sent twice is not sent where nobody may be any more.
    async fn connect(&self, permit: &Permit) -> Option<Connection> {
        let is_careful = self.spare.is_none();
        let kept = if self.wants_new { None } else { permit.pool.take(is_careful) };
        match kept {
            Some(connection) => Some(connection),
            None => permit.pool.dial().await.ok(),
        }
    }

    async fn head(&self, pending: &mut Pending) -> Result<Response<Incoming>, Unanswered> {
        let Some(gate) = &self.gate else { return pending.head().await };
        tokio::select! {
            answer = pending.head() => return answer,
            () = sleep(CONTINUE_BOUND) => gate.open(),
        }
        pending.head().await
    }

    /// The slot and the request of the next attempt.
    async fn recover(
        &mut self,
        permit: Permit,
        why: Unanswered,
        was_new: bool,
    ) -> Result<(Permit, Request<Upload>), Refused> {
        match (why, &self.spare) {
            (Unanswered::Client(fault), _) => Err(Refused::client(fault)),
            (Unanswered::Unsent(request), _) if was_new => {
                Ok((self.elsewhere(permit, Failure::Unsent).await?, *request))
            }
            (Unanswered::Unsent(request), _) => Ok((permit, *request)),
            // The instance may have closed a kept connection before it saw the request.
            (Unanswered::Broke, Some(spare)) if !was_new && !self.wants_new => {
                self.wants_new = true;
                Ok((permit, spare.request()))
            }
            (Unanswered::Broke, Some(spare)) if !self.is_retried => {
                self.is_retried = true;
                Ok((self.elsewhere(permit, Failure::Broken { again: true }).await?, spare.request()))
            }
            (Unanswered::Broke, _) => {
                permit.broke();
                Err(self.broke())
            }
            (Unanswered::Late, _) => {
                permit.broke();
                Err(Refused::late(&self.front.name, FIRST_BYTE.as_secs()))
            }
        }
    }

    async fn elsewhere(&self, permit: Permit, failure: Failure) -> Result<Permit, Refused> {
        match permit.failed(failure).await {
            Some(granted) => granted.map_err(Refused::unavailable),
            None => Err(self.broke()),
        }
    }

    fn broke(&self) -> Refused {
        Refused::broke(&self.front.name)
    }
}

fn relay(
    session: &Session,
    pending: Pending,
    response: Response<Incoming>,
) -> Result<Response<Download>, Refused> {
    let (mut head, body) = response.into_parts();
    let keeps = headers::keeps_alive(head.version, &head.headers);
    let hold = pending.hold(keeps).ok_or_else(|| Refused::broke(&session.front.name))?;
    hold.answered();
    headers::pass_back(&mut head.headers);
    head.version = Version::HTTP_11;
    let body = Download::of_instance(body, hold, idle_bound(&head.headers));
    Ok(Response::from_parts(head, body))
}

fn idle_bound(headers: &HeaderMap) -> Duration {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    match kind.starts_with(b"text/event-stream") {
        true => download::EVENTS_IDLE_BOUND,
        false => download::IDLE_BOUND,
    }
}

/// The instance agrees to another protocol: from here on bytes are passed on as they come.
fn switch(
    session: &Session,
    pending: Pending,
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
) -> Result<Response<Download>, Refused> {
    let broke = || Refused::broke(&session.front.name);
    let instance = hyper::upgrade::on(&mut response);
    let hold = pending.hold(false).ok_or_else(broke)?;
    let Some(client) = client else {
        // Nobody had asked for it.
        hold.fail();
        return Err(broke());
    };
    hold.answered();
    session.tunnel.replace(Some(Tunnel { client, instance, hold }));
    let (mut head, _) = response.into_parts();
    headers::pass_back_upgrade(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, Download::whole(Bytes::new())))
}
