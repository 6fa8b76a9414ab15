//! Tests of the supervisor: its parts with a simulated clock, and the whole with real processes.

mod fleet;
mod io;
mod programs;
mod random;
mod restarts;
mod sim;
