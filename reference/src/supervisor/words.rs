//! What a child says. It answers every order once and in order, however late, so counting tells which answer belongs to
//! which order.

use tokio::sync::mpsc::UnboundedReceiver;

use crate::message::Word;

/// A child's words, and how many of them are still owed.
#[derive(Debug)]
pub(super) struct Words {
    receiver: UnboundedReceiver<Word>,
    owed: u32,
}

impl Words {
    /// Nothing is owed yet.
    pub(super) fn new(receiver: UnboundedReceiver<Word>) -> Self {
        Self { receiver, owed: 0 }
    }

    /// The child was given a reason to say something.
    pub(super) fn expect_one(&mut self) {
        self.owed += 1;
    }

    /// The last word that is owed; those before it came too late for whoever wanted them. None where the child will say
    /// no more. May be dropped half-way.
    pub(super) async fn last(&mut self) -> Option<Word> {
        loop {
            let word = self.receiver.recv().await?;
            self.owed = self.owed.saturating_sub(1);
            if self.owed == 0 {
                return Some(word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn an_answer_that_came_too_late_is_not_taken_for_the_next_one() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (child, words) = mpsc::unbounded_channel();
            let mut words = Words::new(words);
            words.expect_one();
            let silence = timeout(Duration::ZERO, words.last()).await;
            assert!(silence.is_err(), "the child is silent");
            child.send(Word::Failed("late".to_owned())).expect("the words are there");
            words.expect_one();
            child.send(Word::Done).expect("the words are there");
            assert!(matches!(words.last().await, Some(Word::Done)));
        });
    }
}
