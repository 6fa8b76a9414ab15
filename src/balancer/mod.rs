//! Which call runs where: one dispatcher per service with one queue, exact slots per instance and late binding.
//! Pure: the core drives it.

mod dispatcher;
mod gather;
mod health;
mod instance;
mod meter;
mod pace;

pub use dispatcher::{Bound, Dispatcher, Rank, Work};
pub use health::Verdict;
pub use instance::{Instance, Intake, Interrupted, Running};
pub use meter::Meter;
#[cfg(test)]
pub use pace::Pace;
