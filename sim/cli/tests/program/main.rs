//! The `sim` program from outside: a file per kind of behaviour.

mod runs;
