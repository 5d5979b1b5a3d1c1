//! What was handed to the disk, and what of it is durable.
//!
//! Every step that changes the hard state or the log opens one ticket. The disk answers them in order, so a ticket that is
//! answered makes the log durable as it stood when that ticket was opened, less what was dropped since.
//!
//! ```text
//!              open        the log then     7 dropped, ticket 4     3 answered
//!   ticket 2   5..=6       durable to 6     durable to 6            ·
//!   ticket 3   7..=9       durable to 9     durable to 6   ◀── a dropped suffix counts for nothing (R3)
//!   ticket 4   7..=8′                       durable to 8            durable = 6, not 9
//! ```
//!
//! A message rests on something ([`Rest`]), and leaves when that is durable. What it rests on is as little as the rule
//! needs: an ack of entries that are durable does not wait for later ones, and an ack of a heartbeat never waits for
//! entries, so that a slow disk does not look like a dead node.
//!
//! A disk that answers nothing while a ticket is open hangs. Whoever answers, however late, is alive: the count begins anew with
//! each answer, so that a disk that is only slow is never taken for a dead one because of what is queued.
//!
//! Invariants
//!  T1  Tickets ascend; `log` of open ones never descends, and is at least `durable`.
//!  T2  `durable` names a prefix of the log as it is now.

use std::collections::VecDeque;

use tenet_types::LogIndex;

use crate::{HardState, SnapshotMeta, Ticket};

#[derive(Clone, Debug)]
pub(crate) struct Tickets {
    /// The hard state that the disk holds or was last handed.
    handed: HardState,
    /// The log is durable up to here.
    durable: LogIndex,
    last: Ticket,
    open: VecDeque<Open>,
    /// Ticks for which a ticket was open and none was answered.
    unanswered_ticks: u32,
}

#[derive(Clone, Debug)]
struct Open {
    ticket: Ticket,
    hard_state: bool,
    /// How far the log, as it is now, is durable once this is.
    log: LogIndex,
    snapshot: Option<SnapshotMeta>,
}

/// What must be durable before a message may leave (R2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It asks or orders and promises nothing: appends and heartbeats of a leader (whose term is durable since its election),
    /// pre-votes and their answers.
    Nothing,
    /// The sender's term and vote: votes and requests for them, acks of heartbeats, refusals.
    Term,
    /// The same, and its log up to here: acks of appends.
    Log(LogIndex),
}

impl Tickets {
    pub fn new(handed: HardState, durable: LogIndex) -> Tickets {
        Tickets { handed, durable, last: Ticket(0), open: VecDeque::new(), unanswered_ticks: 0 }
    }

    pub fn handed(&self) -> HardState {
        self.handed
    }

    pub fn durable(&self) -> LogIndex {
        self.durable
    }

    /// The newest hard state is durable.
    pub fn is_hard_state_durable(&self) -> bool {
        !self.open.iter().any(|open| open.hard_state)
    }

    /// Hands over a change: the hard state if it changed, and the log, which now ends at `log`.
    pub fn open(&mut self, hard_state: Option<HardState>, log: LogIndex, snapshot: Option<SnapshotMeta>) -> Ticket {
        self.last = Ticket(self.last.0 + 1);
        if let Some(hard_state) = hard_state {
            self.handed = hard_state;
        }
        self.open.push_back(Open { ticket: self.last, hard_state: hard_state.is_some(), log, snapshot });
        self.last
    }

    /// The log was cut: entries after `last` are no longer those that the disk has or was handed.
    pub fn cut(&mut self, last: LogIndex) {
        self.durable = self.durable.min(last);
        for open in &mut self.open {
            open.log = open.log.min(last);
        }
    }

    pub fn on_tick(&mut self) {
        self.unanswered_ticks = if self.open.is_empty() { 0 } else { self.unanswered_ticks.saturating_add(1) };
    }

    pub fn unanswered_ticks(&self) -> u32 {
        self.unanswered_ticks
    }

    /// The disk has answered `ticket`, and so all before it. Returns the last snapshot among them.
    pub fn close(&mut self, ticket: Ticket) -> Option<SnapshotMeta> {
        assert!(ticket <= self.last, "{ticket:?} was never opened");
        let mut snapshot = None;
        while self.open.front().is_some_and(|open| open.ticket <= ticket) {
            let open = self.open.pop_front().expect("there is a front");
            self.unanswered_ticks = 0;
            self.durable = self.durable.max(open.log);
            snapshot = open.snapshot.or(snapshot);
        }
        snapshot
    }

    /// The ticket that `rest` waits for; `None` if it is durable already.
    pub fn awaited(&self, rest: Rest) -> Option<Ticket> {
        let term = || self.open.iter().rev().find(|open| open.hard_state).map(|open| open.ticket);
        match rest {
            Rest::Nothing => None,
            Rest::Term => term(),
            Rest::Log(index) if index <= self.durable => term(),
            Rest::Log(index) => {
                let log = self.open.iter().find(|open| open.log >= index).map(|open| open.ticket);
                assert!(log.is_some(), "no ticket makes {index} durable");
                log.max(term())
            }
        }
    }

    pub fn invariants(&self, last: LogIndex) {
        assert!(self.durable <= last, "T2: durable {} past last {last}", self.durable);
        let mut log = self.durable;
        let mut ticket = Ticket(0);
        for open in &self.open {
            assert!(log <= open.log && open.log <= last && ticket < open.ticket, "T1: {:?}", self.open);
            log = open.log;
            ticket = open.ticket;
        }
        assert!(ticket <= self.last, "T1: {:?}", self.open);
    }
}

#[cfg(test)]
mod tests;
