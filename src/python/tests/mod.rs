//! Behaviour of the whole room, on interpreters that are small shell scripts and, once, on the real one.
