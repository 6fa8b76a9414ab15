//! The front of a service that speaks HTTP: each request takes a slot of an instance and is passed on to it as it comes,
//! and its response back as that comes.
//!
//! Life of a request: `front` has its head from hyper, `headers` refuses what is not sound and makes of it what the
//! instance gets, `exchange` takes a slot from the core (`shard::Permit`) and a connection from the pool of that slot's
//! instance (`upstream`), and sends it. The response's head goes back at once, its body as `Download`, which holds the
//! slot until the last byte has come. A client that leaves does not end its request in the instance; `leaving` keeps the
//! slot until it has ended there.

mod download;
mod exchange;
mod front;
mod headers;
mod leaving;
mod refused;
#[cfg(test)]
mod tests;
mod tunnel;

pub use front::front;
