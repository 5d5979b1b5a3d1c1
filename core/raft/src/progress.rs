//! What a leader knows of one follower, and how it talks to it.
//!
//! ```text
//!                     matched                         log compacted past `next`
//!         ┌───────┐ ──────────▶ ┌────────┐ ─────────────────────▶ ┌──────────┐
//!    ──▶  │ Probe │             │ Stream │                        │ Snapshot │
//!         └───────┘ ◀────────── └────────┘ ◀───────────────────── └──────────┘
//!            conflict, in either               matched at or after the base
//! ```
//! *Probe*: where its log meets ours is a guess; one append at a time. *Stream*: it is known; appends follow each other
//! up to a window, and `next` runs ahead of the acks. *Snapshot*: it needs entries that are gone.
//!
//! Nothing waits for an ack that may be lost: a follower that has owed one for a heartbeat's time gets a bare append that
//! asks again. If entries were lost on the way it answers with a conflict, otherwise with the ack, late or not.
//!
//! Invariants
//!  P1  `matched < next`; both only of this leadership; `matched` never descends.
//!  P2  In Stream, `in_flight` ascends and its last is `next - 1`, or it is empty.

use std::collections::VecDeque;

use tenet_types::LogIndex;

#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// Durable there, and equal to the leader's log, up to here.
    pub matched: LogIndex,
    /// The next entry to send.
    pub next: LogIndex,
    pub mode: Mode,
    /// The highest round that it acknowledged.
    pub round: u64,
    /// It answered, in this term, since quorum was last checked.
    pub heard: bool,
    /// Ticks since anything was sent to it.
    pub unsent_ticks: u32,
    /// Ticks since anything was heard of it, or a heartbeat was sent.
    pub unheard_ticks: u32,
    /// Ticks for which an ack has been owed and no answer to any append came.
    pub unacked_ticks: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// `asked`: an append is on its way; nothing more is sent before its answer.
    Probe { asked: bool },
    /// The last index of each unacknowledged append.
    Stream { in_flight: VecDeque<LogIndex> },
    /// Offered; to be offered again after so many ticks.
    Snapshot { retry_ticks: u32 },
}

impl Progress {
    pub fn new(next: LogIndex) -> Progress {
        Progress {
            matched: LogIndex::ZERO,
            next,
            mode: Mode::Probe { asked: false },
            round: 0,
            heard: true,
            unsent_ticks: 0,
            unheard_ticks: 0,
            unacked_ticks: 0,
        }
    }

    /// An ack up to `matched`; `base` is where the leader's log begins. Returns whether it told us anything.
    pub fn on_matched(&mut self, matched: LogIndex, base: LogIndex) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        match &mut self.mode {
            // An ack of an earlier append may arrive while a later place is probed: it does not answer the probe.
            Mode::Probe { .. } if matched.next() < self.next => {}
            Mode::Probe { .. } => self.stream(),
            Mode::Stream { in_flight } => {
                while in_flight.front().is_some_and(|last| *last <= matched) {
                    in_flight.pop_front();
                }
                if self.next <= matched {
                    self.stream();
                }
            }
            // An ack from before the offer; it still needs what is gone.
            Mode::Snapshot { .. } if matched < base => self.next = self.next.max(self.matched.next()),
            Mode::Snapshot { .. } => self.stream(),
        }
        news
    }

    fn stream(&mut self) {
        self.next = self.matched.next();
        self.mode = Mode::Stream { in_flight: VecDeque::new() };
    }

    /// Back to asking, from `next` on.
    pub fn probe(&mut self, next: LogIndex) {
        assert!(next > self.matched, "P1: probe at {next}, matched {}", self.matched);
        self.next = next;
        self.mode = Mode::Probe { asked: false };
    }

    /// It may be sent an append now.
    pub fn is_open(&self, in_flight_max: u32) -> bool {
        match &self.mode {
            Mode::Probe { asked } => !asked,
            Mode::Stream { in_flight } => in_flight.len() < in_flight_max as usize,
            Mode::Snapshot { .. } => false,
        }
    }

    /// An append of entries up to `last` was sent.
    pub fn on_sent(&mut self, last: LogIndex) {
        self.unsent_ticks = 0;
        match &mut self.mode {
            Mode::Probe { asked } => *asked = true,
            Mode::Stream { in_flight } => {
                in_flight.push_back(last);
                self.next = last.next();
            }
            Mode::Snapshot { .. } => unreachable!("appends are not sent while a snapshot is"),
        }
    }

    /// It owes an ack: an append is on its way, or the answer to a snapshot is.
    pub fn is_waiting(&self) -> bool {
        match &self.mode {
            Mode::Probe { .. } | Mode::Snapshot { .. } => true,
            Mode::Stream { .. } => self.matched.next() < self.next,
        }
    }

    pub fn invariants(&self, last: LogIndex) {
        assert!(self.matched < self.next && self.next <= last.next(), "P1: {self:?}, last {last}");
        if let Mode::Stream { in_flight } = &self.mode {
            assert!(in_flight.iter().is_sorted(), "P2: {self:?}");
            assert!(in_flight.back().is_none_or(|back| back.next() == self.next), "P2: {self:?}");
        }
    }
}
