//! What producers write is what readers read.

mod figures;
mod files;
mod journal;
mod synthetic;
