//! The `sim` command.
