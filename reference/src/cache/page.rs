//! Pages put together from their parts, each of which is looked up or fetched like any request.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

use super::Cache;
use super::asked::Asked;
use super::esi::{DEPTH_LIMIT, Include, Piece};
use super::object::Object;
use super::obtain::Obtained;
use super::upstream::Collected;

/// The most parts of a page with all that they include in turn; those beyond fail.
const PARTS_LIMIT: usize = 10_000;
/// After so many parts others have their turn.
const PARTS_IN_A_ROW: usize = 32;

/// What is left for a page with all that it includes: a page that includes others many times over, level upon level, would
/// hold everybody up.
#[derive(Debug)]
pub(super) struct Budget {
    parts: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    /// For a page of so many bytes at most.
    pub(super) fn new(bytes: usize) -> Self {
        Self { parts: Cell::new(PARTS_LIMIT), bytes: Cell::new(bytes) }
    }

    /// Whether there is so much left of it, which is taken then.
    fn takes(left: &Cell<usize>, wanted: usize) -> bool {
        let rest = left.get().checked_sub(wanted);
        left.set(rest.unwrap_or(left.get()));
        rest.is_some()
    }
}

impl Cache {
    /// The page that `asked` asks for with its parts in it, one after the other; none where a part fails that is not let go
    /// (`onerror="continue"`): then the page fails (ESI 1.0, section 3.1; Varnish breaks it off with its `esi_include_onerror`).
    /// A part that is too deep, or for which there is no room, fails as others do.
    pub(super) fn assemble<'a>(
        self: &'a Rc<Self>,
        asked: &'a Asked,
        page: &'a Object,
        depth: u32,
        budget: &'a Budget,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + 'a>> {
        Box::pin(async move {
            let mut out = Vec::with_capacity(page.body.len());
            for piece in page.page.iter().flat_map(|pieces| pieces.iter()) {
                match piece {
                    Piece::Text(range) => {
                        if Budget::takes(&budget.bytes, range.len()) {
                            out.extend_from_slice(&page.body[range.clone()]);
                        }
                    }
                    Piece::Include(include) => match self.include(asked, include, depth, budget).await {
                        Some(part) => out.extend_from_slice(&part),
                        None if include.continues => {}
                        None => return None,
                    },
                }
            }
            Some(out)
        })
    }

    /// What is put in the place of an include; none where it fails.
    async fn include(
        self: &Rc<Self>,
        asked: &Asked,
        include: &Include,
        depth: u32,
        budget: &Budget,
    ) -> Option<Vec<u8>> {
        if depth >= DEPTH_LIMIT || !Budget::takes(&budget.parts, 1) {
            return None;
        }
        if budget.parts.get().is_multiple_of(PARTS_IN_A_ROW) {
            tokio::task::yield_now().await;
        }
        match self.part(asked, &include.source, depth, budget).await {
            Some(part) => Some(part),
            None => self.part(asked, include.alternative.as_deref()?, depth, budget).await,
        }
    }

    /// The body of a part; none where it fails.
    async fn part(
        self: &Rc<Self>,
        page: &Asked,
        reference: &str,
        depth: u32,
        budget: &Budget,
    ) -> Option<Vec<u8>> {
        let asked = page.part(reference)?;
        let (asked, decision) = self.in_context(asked).await.ok()?;
        match self.obtain(&asked, decision).await {
            Obtained::Object(object, _) if !is_good(object.status) => None,
            Obtained::Object(object, _) if object.page.is_some() => {
                self.assemble(&asked, &object, depth + 1, budget).await
            }
            Obtained::Object(object, _) => {
                Budget::takes(&budget.bytes, object.body.len()).then(|| object.body.to_vec())
            }
            Obtained::Answer(mut answer, _) if is_good(answer.status) => {
                let Ok(Collected::Whole(body)) = answer.collect(budget.bytes.get(), &self.fetching).await
                else {
                    return None;
                };
                answer.give_back(&self.back_ends);
                Budget::takes(&budget.bytes, body.len()).then_some(body)
            }
            Obtained::Answer(..) | Obtained::Failed(_) => None,
        }
    }
}

fn is_good(status: u16) -> bool {
    matches!(status, 200..=299)
}
