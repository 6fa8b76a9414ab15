//! A connection that has changed its protocol (WebSocket): bytes both ways, as they come.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, timeout, timeout_at};

use super::leaving::Hold;

/// How long nothing may pass in either direction.
const IDLE_BOUND: Duration = Duration::from_secs(3600);
/// How long one side may go on when the other has said its last word.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// What is on its way in one direction at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// See the module. It holds the slot of its instance until it has ended.
pub struct Tunnel {
    pub client: OnUpgrade,
    pub instance: OnUpgrade,
    pub hold: Hold,
}

impl Tunnel {
    pub async fn run(self) {
        if let (Ok(client), Ok(instance)) = tokio::join!(self.client, self.instance) {
            join(client, instance).await;
        }
        self.hold.close();
    }
}

async fn join(client: Upgraded, instance: Upgraded) {
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_instance, to_instance) = split(TokioIo::new(instance));
    let last = Cell::new(Instant::now());
    let mut up = std::pin::pin!(pass(from_client, to_instance, &last));
    let mut down = std::pin::pin!(pass(from_instance, to_client, &last));
    // How either ends is the affair of those who speak.
    let _ = tokio::select! {
        _ = up.as_mut() => timeout(LAST_WORDS, down).await,
        _ = down.as_mut() => timeout(LAST_WORDS, up).await,
    };
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    last: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = read(&mut from, &mut buffer, last).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        timeout(IDLE_BOUND, to.write_all(&buffer[..length])).await??;
        last.set(Instant::now());
    }
}

/// It may be silent here as long as something comes from the other side.
async fn read(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    last: &Cell<Instant>,
) -> io::Result<usize> {
    loop {
        let until = last.get() + IDLE_BOUND;
        match timeout_at(until, from.read(buffer)).await {
            Ok(read) => return read,
            Err(late) if last.get() + IDLE_BOUND <= Instant::now() => return Err(late.into()),
            Err(_) => (),
        }
    }
}
