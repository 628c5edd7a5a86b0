//! The way through a class's steps: which are taken, how often, several at once, and whom they are asked of.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use scenarios::plan::RequestId;
use scenarios::scenario::{ThirdParty, serializing};
use scenarios::units::SimTime;

use super::Service;
use super::program::{Op, Task};
use crate::resp::Failed;

/// For whom steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) id: RequestId,
    /// The class of the client's request.
    pub(super) class: usize,
    /// Which attempt it is, and which those are that it is made for: what is drawn goes by it. Zero for the first of the
    /// first.
    pub(super) tries: u16,
    /// Whether it is a queue's message, which may be delivered again.
    pub(super) is_message: bool,
}

impl Errand {
    /// The number by which a task or a step of this number draws.
    pub(super) fn draw(&self, number: u16) -> usize {
        usize::from(number) | usize::from(self.tries) << 16
    }
}

impl Service {
    /// Takes all steps of a list.
    ///
    /// # Errors
    /// The first failure.
    pub(super) async fn walk(&self, errand: Errand, list: usize) -> Result<(), Failed> {
        let Some(steps) = self.program.list(list) else {
            return Err(Failed::Server(format!("there is no list of steps {list}")));
        };
        for step in steps {
            if self.context.switched_off.borrow().contains(&step.written) {
                continue;
            }
            if !self.context.draws.takes(errand.id, errand.draw(step.draw), step.share) {
                continue;
            }
            for task in &step.times {
                match task.site {
                    None => self.perform(errand, task).await?,
                    Some(site) => self.guarded(errand, task, site).await?,
                }
            }
        }
        Ok(())
    }

    /// Does a task once, whatever its policy.
    ///
    /// # Errors
    /// Its failure.
    pub(super) async fn perform(&self, errand: Errand, task: &Task) -> Result<(), Failed> {
        let context = &self.context;
        let draw = errand.draw(task.draw);
        match &task.op {
            Op::Work(law) => {
                let nanos = context.draws.step(errand.id, draw, law).as_nanos();
                context.cores.work(context.slowed(nanos)).await;
                Ok(())
            }
            Op::Serialize { per_kb, response } => {
                let bytes = context.draws.response_size(errand.id, response);
                let work = SimTime::from_secs_f64(serializing(*per_kb, bytes as f64));
                context.cores.work(context.slowed(work.as_nanos())).await;
                Ok(())
            }
            Op::Wait(law) => {
                context.timer.sleep_nanos(context.draws.step(errand.id, draw, law).as_nanos()).await;
                Ok(())
            }
            Op::ThirdParty(party) => self.third_party(errand.id, draw, party).await,
            Op::Call { to, list } => self.call(*to, *list, errand, self.guards.most_idle(task.site)).await,
            Op::Publish { to } => self.publish(*to, errand).await,
            Op::Parallel(lists) => self.all_at_once(errand, lists).await,
            Op::Get { keyspace, count, on_miss } => {
                self.get(errand.id, draw, *keyspace, *count, *on_miss).await
            }
            Op::Set { keyspace, count } => self.set(errand.id, *keyspace, *count).await,
            Op::Statement { database, keyspace, rows, update } => {
                let keys = self.keys(errand.id, *keyspace, *rows);
                let verb = if *update { "UPDATE" } else { "SELECT" };
                self.statement(verb, errand.id, draw, *database, *keyspace, &keys).await.map(drop)
            }
            Op::Purge(purge) => self.purge(errand, draw, purge).await,
        }
    }

    /// Somebody else's answer, or the end of the patience with it.
    async fn third_party(&self, id: RequestId, draw: usize, party: &ThirdParty) -> Result<(), Failed> {
        let context = &self.context;
        let nanos = context.draws.step(id, draw, &party.latency).as_nanos();
        let patience = party.timeout.map_or(u64::MAX, |timeout| timeout.as_nanos());
        context.timer.sleep_nanos(nanos.min(patience)).await;
        if party.required && (nanos > patience || context.draws.fails(id, draw, party.error)) {
            return Err(Failed::Server("a third party failed".to_owned()));
        }
        Ok(())
    }

    /// Walks several lists at once. It is done with the last of them, whatever becomes of the others.
    async fn all_at_once(&self, errand: Errand, lists: &[usize]) -> Result<(), Failed> {
        type Branch<'a> = Pin<Box<dyn Future<Output = Result<(), Failed>> + 'a>>;
        let branch = |list: &usize| Some(Box::pin(self.walk(errand, *list)) as Branch<'_>);
        let mut branches: Vec<Option<Branch<'_>>> = lists.iter().map(branch).collect();
        let mut whole = Ok(());
        poll_fn(|cx| {
            for place in &mut branches {
                let Some(running) = place else { continue };
                if let Poll::Ready(done) = running.as_mut().poll(cx) {
                    *place = None;
                    if whole.is_ok() {
                        whole = done;
                    }
                }
            }
            if branches.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        whole
    }
}
