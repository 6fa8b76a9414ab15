//! The hub's side of native workers: one link per instance, made of its control channel and its lanes. Moves
//! messages in batches and gives them to the handlers it was made with; it neither picks nor knows what a call means.

mod control;
mod lane;
mod link;
mod tally;

pub use lane::Lane;
pub use link::{Link, LinkHandlers};

use bytes::{Bytes, BytesMut};

use crate::protocol::worker::{DecodeError, whole_message};

/// Room kept free in a read buffer; a larger message makes it grow to that message.
const READ_BYTES: usize = 16 << 10;
/// Payloads up to this size are copied out, larger ones keep the buffer they were read into.
const COPY_BYTES_MAX: usize = 4 << 10;

/// Room that a channel keeps between messages; what a larger one took is given back.
const KEPT_BYTES: usize = 64 << 10;

/// Takes each whole message off the front of `buffer` and hands it over together with how to keep its payloads.
fn each_message(
    buffer: &mut BytesMut,
    mut take: impl FnMut(&[u8], &dyn Fn(&[u8]) -> Bytes) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while let Some(length) = whole_message(buffer)? {
        if length <= COPY_BYTES_MAX {
            take(&buffer[..length], &Bytes::copy_from_slice)?;
            bytes::Buf::advance(buffer, length);
        } else {
            let message = buffer.split_to(length).freeze();
            if length > KEPT_BYTES {
                // What follows it shares its memory, and would keep all of it for as long as the lane lives.
                *buffer = BytesMut::from(&buffer[..]);
            }
            take(&message, &|payload| keep(&message, payload))?;
        }
    }
    Ok(())
}

fn keep(message: &Bytes, payload: &[u8]) -> Bytes {
    if payload.len() <= COPY_BYTES_MAX { Bytes::copy_from_slice(payload) } else { message.slice_ref(payload) }
}

/// Makes room for the next read: for the rest of the message that has begun, if its length is known.
fn make_room(buffer: &mut BytesMut) {
    let begun = buffer.first_chunk::<4>().map_or(0, |prefix| u32::from_le_bytes(*prefix) as usize + 4);
    buffer.reserve(READ_BYTES.max(begun.saturating_sub(buffer.len())));
}
