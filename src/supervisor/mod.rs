//! Instances and what becomes of them.

pub mod logs;
