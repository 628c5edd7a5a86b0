//! What every declaration of the file needs.

pub(super) use super::Some1M;
pub(super) use super::decode::{self, Count, Decode, Decoder, Definitions, List, Named, Node, Share};
