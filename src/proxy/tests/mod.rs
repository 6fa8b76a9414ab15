//! The proxy before servers that each test makes, on real sockets: what passes, and what becomes of it when somebody
//! does not keep to it.

mod bench;
mod bodies;
mod failing;
mod hostile;
mod passing;
mod slots;
