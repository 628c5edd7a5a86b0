//! Answers that are there before anybody asks for them: those that a service of the scenario would give, made by the code that makes
//! its own.

use scenarios::Scenario;
use scenarios::plan::RequestId;

use super::answer;
use super::caching::{self, Caching};
use crate::component::Context;
use crate::http::head::{NO_FIELDS, parse_request};

/// Whom such an answer names as the one that gave it.
const NODE: &str = "prefill";

/// What it takes to make them.
#[derive(Debug)]
pub(crate) struct Ready(Caching);

impl Ready {
    /// As the scenario's classes say.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self(Caching::new(scenario))
    }

    /// Appends the answer to a request of a class; none where caches are not to keep it.
    pub(crate) fn write(
        &self,
        context: &Context,
        class: usize,
        request: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let mut fields = NO_FIELDS;
        let head = parse_request(request, &mut fields).ok().flatten()?;
        let stated = &context.scenario.requests[class];
        let wanted = self.0.wanted(class, &stated.path, &head, &context.scenario)?;
        let size = context.draws.object_size(wanted.class, wanted.keys(), &stated.response) as usize;
        let mut told = Vec::new();
        self.0.write(class, Some(&wanted), &mut told);
        let head = answer::Head { fields: &told, close: false, without_body: false };
        match caching::page(context, class, wanted.name, size) {
            Some(page) => answer::write_body(&page, &head, out),
            None => answer::write(size, RequestId(wanted.name), NODE, &head, out),
        }
        Some(())
    }
}
