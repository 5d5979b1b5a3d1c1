//! Linearizable reads at a leader (thesis §6.4): who waits for what.
//!
//! ```text
//!   arrive ──▶ waiting ──(a round begins)──▶ asked ──(a quorum acks the round)──▶ confirmed ──(applied)──▶ Readable
//! ```
//! A round is a number that every message of the leader carries and every ack returns. A read joins the next round to
//! *begin*: only acks of messages sent after it arrived say that no other leader had been elected when it did. While a
//! round that someone waits for is on its way, newcomers gather for the next, so a thousand reads cost a few rounds.
//!
//! Invariants
//!  D1  Indexes ascend from `confirmed` through `asked` to `waiting`.
//!  D2  Nobody waits unless a round is on its way.

use std::collections::VecDeque;

use tenet_types::LogIndex;

use crate::ReadId;

#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    waiting: VecDeque<Asking>,
    asked: Option<(u64, VecDeque<Asking>)>,
    confirmed: VecDeque<Asking>,
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    read: ReadId,
    /// Must be applied before the answer.
    index: LogIndex,
}

impl Reads {
    /// `index`: what was committed when it arrived, and no less than the leader's no-op.
    pub fn arrive(&mut self, read: ReadId, index: LogIndex) {
        self.waiting.push_back(Asking { read, index });
    }

    /// Someone waits, and for no round that is on its way.
    pub fn wants_round(&self) -> bool {
        !self.waiting.is_empty() && self.asked.is_none()
    }

    /// `round` begins with all that wait.
    pub fn begin(&mut self, round: u64) {
        assert!(self.asked.is_none(), "a round is on its way");
        self.asked = Some((round, std::mem::take(&mut self.waiting)));
    }

    /// A quorum has acknowledged `round`, and so all before it.
    pub fn confirm(&mut self, round: u64) {
        if let Some((_, mut reads)) = self.asked.take_if(|(asked, _)| *asked <= round) {
            self.confirmed.append(&mut reads);
        }
    }

    /// The next read that may be answered, now that everything up to `applied` is applied.
    pub fn pop(&mut self, applied: LogIndex) -> Option<(ReadId, LogIndex)> {
        self.confirmed.pop_front_if(|asking| asking.index <= applied).map(|asking| (asking.read, asking.index))
    }

    /// All of them, for leadership is lost.
    pub fn give_up(self) -> impl Iterator<Item = ReadId> {
        let asked = self.asked.into_iter().flat_map(|(_, reads)| reads);
        self.confirmed.into_iter().chain(asked).chain(self.waiting).map(|asking| asking.read)
    }

    pub fn invariants(&self) {
        let asked = self.asked.iter().flat_map(|(_, reads)| reads);
        let all = self.confirmed.iter().chain(asked).chain(&self.waiting);
        assert!(all.is_sorted_by_key(|asking| asking.index), "D1: {self:?}");
        assert!(self.waiting.is_empty() || self.asked.is_some(), "D2: {self:?}");
    }
}
