//! Pages put together from their parts, each of which is looked up or fetched like any request.

use std::pin::Pin;
use std::rc::Rc;

use super::Cache;
use super::asked::Asked;
use super::esi::{DEPTH_LIMIT, Include, Piece};
use super::object::Object;
use super::obtain::Obtained;
use super::upstream::Collected;

impl Cache {
    /// The page that `asked` asks for with its parts in it, one after the other. A part that fails leaves a gap, as in
    /// Varnish; so do those too deep, and those for which there is no room.
    pub(super) fn assemble<'a>(
        self: &'a Rc<Self>,
        asked: &'a Asked,
        page: &'a Object,
        depth: u32,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + 'a>> {
        Box::pin(async move {
            let mut out = Vec::with_capacity(page.body.len());
            for piece in page.page.iter().flat_map(|pieces| pieces.iter()) {
                match piece {
                    Piece::Text(range) => out.extend_from_slice(&page.body[range.clone()]),
                    Piece::Include(include) if depth < DEPTH_LIMIT => {
                        let Some(part) = self.include(asked, include, depth).await else {
                            // Without `onerror` the page is at fault, but half of one is better than none.
                            continue;
                        };
                        if out.len() + part.len() <= self.object_limit {
                            out.extend_from_slice(&part);
                        }
                    }
                    Piece::Include(_) => {}
                }
            }
            out
        })
    }

    async fn include(self: &Rc<Self>, asked: &Asked, include: &Include, depth: u32) -> Option<Vec<u8>> {
        match self.part(asked, &include.source, depth).await {
            Some(part) => Some(part),
            None => self.part(asked, include.alternative.as_deref()?, depth).await,
        }
    }

    /// The body of a part; none where it fails.
    async fn part(self: &Rc<Self>, page: &Asked, reference: &str, depth: u32) -> Option<Vec<u8>> {
        let asked = page.part(reference)?;
        let (asked, decision) = self.in_context(asked).await.ok()?;
        match self.obtain(&asked, decision).await {
            Obtained::Object(object, _) if !is_good(object.status) => None,
            Obtained::Object(object, _) if object.page.is_some() => {
                Some(self.assemble(&asked, &object, depth + 1).await)
            }
            Obtained::Object(object, _) => Some(object.body.to_vec()),
            Obtained::Answer(mut answer, _) if is_good(answer.status) => {
                let Ok(Collected::Whole(body)) = answer.collect(self.object_limit).await else { return None };
                answer.give_back(&self.back_ends);
                Some(body)
            }
            Obtained::Answer(..) | Obtained::Failed(_) => None,
        }
    }
}

fn is_good(status: u16) -> bool {
    matches!(status, 200..=299)
}
