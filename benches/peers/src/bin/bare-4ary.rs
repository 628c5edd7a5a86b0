//! The bare loop on a 4-ary heap.

use peers::bare::{Event, EventList, simulate};

#[derive(Default)]
struct Quaternary(Vec<Event>);

impl EventList for Quaternary {
    #[inline]
    fn push(&mut self, event: Event) {
        let mut place = self.0.len();
        self.0.push(event);
        while place > 0 {
            let parent = (place - 1) / 4;
            if self.0[parent].at <= event.at {
                break;
            }
            self.0[place] = self.0[parent];
            place = parent;
        }
        self.0[place] = event;
    }

    #[inline]
    fn pop(&mut self) -> Option<Event> {
        let last = self.0.pop()?;
        let Some(&first) = self.0.first() else { return Some(last) };
        let heap = &mut self.0[..];
        let mut place = 0;
        loop {
            let child = 4 * place + 1;
            if child >= heap.len() {
                break;
            }
            let mut least = child;
            for other in child + 1..heap.len().min(child + 4) {
                if heap[other].at < heap[least].at {
                    least = other;
                }
            }
            if last.at <= heap[least].at {
                break;
            }
            heap[place] = heap[least];
            place = least;
        }
        heap[place] = last;
        Some(first)
    }
}

fn main() {
    peers::program(simulate::<Quaternary>);
}
