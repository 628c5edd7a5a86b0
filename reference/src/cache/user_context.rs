//! Answers that differ by what a user may see, and are the same for all who may see the same (FOSHttpCache's user context).
//!
//! The application gives every group of such users a hash, says it to who asks for [`PATH`] with a user's cookie or
//! authorisation, and lets its answers vary by [`HASH`]. The cache finds a user's hash out before it looks such an answer up; the
//! hash is an answer like others, kept by what it says and varies by itself. So that nobody can choose his group, the field is
//! taken out of what clients send.

use std::rc::Rc;

use httparse::Header;

use super::Cache;
use super::asked::Asked;
use super::fields::{first, has};
use super::obtain::{Decision, Obtained};
use super::vary::Names;

/// The field with the hash, in requests to the application and in its answer at [`PATH`].
pub(super) const HASH: &str = "x-user-context-hash";
/// Where the application tells a user's hash.
pub(super) const PATH: &str = "/_fos_user_context_hash";
/// What is accepted there.
pub(super) const ACCEPTED: &str = "application/vnd.fos.user-context-hash";

/// Whether a request says whose it is.
fn has_credentials(headers: &[Header<'_>]) -> bool {
    has(headers, "cookie") || has(headers, "authorization")
}

/// Whether an answer that varies by these is somebody's own, because it was asked for without the hash of his group.
pub(super) fn is_personal(names: &Names, request: &[Header<'_>]) -> bool {
    names.iter().any(|name| &**name == HASH) && has_credentials(request) && !has(request, HASH)
}

impl Cache {
    /// Whether the hash of a user's group has to be found out before what he asks for can be looked up.
    pub(super) fn needs_context(&self, address: &[u8], headers: &[Header<'_>]) -> bool {
        has_credentials(headers) && !has(headers, HASH) && {
            let names = self.store.borrow().names(address);
            names.iter().any(|name| &**name == HASH)
        }
    }

    /// The request with the hash of its user's group, if what it asks for varies by that, and what is to be done for it.
    ///
    /// # Errors
    /// The status that the client gets where the application does not tell the hash.
    pub(super) async fn in_context(self: &Rc<Self>, asked: Asked) -> Result<(Asked, Decision), u16> {
        let needs = asked.with(|head| self.needs_context(&asked.address, head.headers));
        let asked = if needs {
            let hash = self.hash(&asked).await.ok_or(503_u16)?;
            asked.with_field(HASH, &hash).ok_or(503_u16)?
        } else {
            asked
        };
        let decision = asked.with(|head| self.decide(&asked.address, head.headers));
        Ok((asked, decision))
    }

    async fn hash(self: &Rc<Self>, asked: &Asked) -> Option<Vec<u8>> {
        let question = asked.context()?;
        let decision = question.with(|head| self.decide(&question.address, head.headers));
        match Box::pin(self.obtain(&question, decision)).await {
            Obtained::Object(object, _) if object.status == 200 => {
                object.with_fields(|_, headers| first(headers, HASH).map(<[u8]>::to_vec))
            }
            Obtained::Answer(answer, _) if answer.status == 200 => answer.field(HASH),
            _ => None,
        }
    }
}
