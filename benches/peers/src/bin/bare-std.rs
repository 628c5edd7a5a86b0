//! The bare loop on the standard library's binary heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use peers::bare::{Event, EventList, simulate};

#[derive(Default)]
struct Binary(BinaryHeap<Reverse<Event>>);

impl EventList for Binary {
    #[inline]
    fn push(&mut self, event: Event) {
        self.0.push(Reverse(event));
    }

    #[inline]
    fn pop(&mut self) -> Option<Event> {
        self.0.pop().map(|event| event.0)
    }
}

fn main() {
    peers::program(simulate::<Binary>);
}
