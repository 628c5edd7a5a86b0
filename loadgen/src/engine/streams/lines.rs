//! The connections that streams go over: how they come to stand, and how they end.

use results::Failure;
use rustix::net::sockopt;

use super::super::connecting::{connect, is_backlogged, lacked, of_connecting};
use super::super::exchange::{Task, waker};
use super::super::line::{Line, Phase, State, handshake};
use super::super::wire::Wire;
use super::Streams;

impl Streams {
    /// Begins a connection, or lets it wait for its turn.
    pub(super) fn connect(&mut self, link: usize) -> Result<(), Failure> {
        if self.links[link].backlogged {
            return Ok(());
        }
        let begun = connect(&self.links[link].address, None).and_then(|(descriptor, begun)| match begun {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => Ok(descriptor),
            Err(error) => Err(error),
        });
        let descriptor = match begun {
            Ok(descriptor) => descriptor,
            Err(error) if is_backlogged(&self.links[link].address, error) => {
                self.links[link].backlogged = true;
                self.backlogged.push(link);
                return Ok(());
            }
            Err(error) => {
                self.lacked = lacked(error).or(self.lacked.take());
                return Err(of_connecting(error));
            }
        };
        let free = self.lines.iter().position(|(_, line)| line.is_none());
        let number = free.unwrap_or_else(|| {
            self.lines.push((0, None));
            self.lines.len() - 1
        });
        let generation = self.lines[number].0;
        let token = u64::from(generation) << 32 | number as u64;
        self.poller.add(&descriptor, token).map_err(|_| Failure::Refused)?;
        let waker = waker(Task::Line(number as u32, generation), &self.woken);
        let state = State::Connecting(Some(Wire::new(descriptor)));
        self.lines[number].1 = Some(Line { link, state, waker, under_way: 0, answered: false });
        self.links[link].line = Some(number as u32);
        Ok(())
    }

    /// Whether somebody waits for a link's connection.
    pub(super) fn is_wanted(&self, link: usize) -> bool {
        let waits = |slot: &u32| matches!(self.places[*slot as usize].phase, Phase::Waiting(_));
        self.links[link].slots.iter().any(waits)
    }

    /// Tries again to reach those whose backlog was full.
    pub(super) fn reach_again(&mut self) {
        for link in self.backlogged.due() {
            self.links[link].backlogged = false;
            if self.is_wanted(link)
                && let Err(failure) = self.connect(link)
            {
                self.lose_all(link, failure);
            }
        }
    }

    /// Takes a connection away; nothing more is heard of it.
    pub(super) fn hang_up(&mut self, number: u32) {
        let (generation, line) = &mut self.lines[number as usize];
        *generation = generation.wrapping_add(1);
        if let Some(line) = line.take() {
            let current = &mut self.links[line.link].line;
            *current = current.filter(|current| *current != number);
        }
    }

    /// Goes on with a connection that does not stand yet.
    pub(super) fn connecting(&mut self, number: u32) {
        let Some(Line { state: State::Connecting(Some(wire)), .. }) = &mut self.lines[number as usize].1
        else {
            return;
        };
        if let Err(error) = sockopt::socket_error(wire.descriptor()).and_then(|result| result) {
            let failure = of_connecting(error);
            return self.fail(number, failure, String::new());
        }
        match wire.shake(self.tls.as_ref()) {
            Ok(false) => {}
            Err(problem) => self.fail(number, Failure::Refused, problem),
            Ok(true) => {
                let Some(line) = &mut self.lines[number as usize].1 else { return };
                let State::Connecting(wire) = &mut line.state else { return };
                let Some(wire) = wire.take() else { return };
                line.state = State::Shaking(handshake(wire));
                self.drive(number);
            }
        }
    }

    /// A connection does not come to stand.
    pub(super) fn fail(&mut self, number: u32, failure: Failure, problem: String) {
        let Some(line) = &self.lines[number as usize].1 else { return };
        let link = line.link;
        if !problem.is_empty() {
            self.problem = Some(problem);
        }
        self.hang_up(number);
        self.lose_all(link, failure);
    }

    /// A connection takes no more requests: another is opened at once for those who have none under way. One that has answered
    /// nothing is no reason to try again before the lane does.
    pub(super) fn retire(&mut self, number: u32) {
        let Some(line) = &self.lines[number as usize].1 else { return };
        let (link, answered) = (line.link, line.answered);
        if self.links[link].line != Some(number) {
            return;
        }
        self.links[link].line = None;
        let again = if answered { self.connect(link) } else { Err(Failure::Reset) };
        if let Err(failure) = again {
            self.lose_all(link, failure);
        }
        self.leave(number, 0);
    }

    /// All places of a link that have no request under way are closed.
    pub(super) fn lose_all(&mut self, link: usize, failure: Failure) {
        for slot in self.links[link].slots.clone() {
            if matches!(self.places[slot as usize].phase, Phase::Open | Phase::Waiting(_)) {
                self.lose(slot, failure);
            }
        }
    }

    /// So many requests over a connection have come to their end; one that takes no more and has none is closed.
    pub(super) fn leave(&mut self, number: u32, requests: u32) {
        let Some(line) = &mut self.lines[number as usize].1 else { return };
        line.under_way -= requests;
        if line.under_way == 0 && self.links[line.link].line != Some(number) {
            self.hang_up(number);
        }
    }
}
