//! The simulator's behaviour: a file per kind.

mod support;

mod queues;
