//! Nothing but the benches.
