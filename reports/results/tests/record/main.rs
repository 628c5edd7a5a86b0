//! What producers write is what readers read.

mod figures;
mod files;
mod hdr_log;
mod journal;
mod synthetic;
