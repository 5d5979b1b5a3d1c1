//! The words between the machine and its host.

use tenet_types::{LogIndex, ReplicaId, Term};

/// What one replica is told when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub me: ReplicaId,
    /// All voters, `me` among them, sorted. Static for now.
    pub voters: Vec<ReplicaId>,
    /// An election begins after this many ticks of silence, plus a random number below as many again.
    pub election_ticks: u32,
    /// A leader sends a heartbeat round at least this often.
    pub heartbeat_ticks: u32,
    /// Most entries in one append message.
    pub append_entries_max: u64,
    /// Most unacknowledged append messages to one follower.
    pub appends_in_flight_max: u32,
    /// Ticks after which a snapshot that brought no acknowledgement is offered again.
    pub snapshot_retry_ticks: u32,
}

/// Must be durable before anything that rests on it is said (R2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<ReplicaId>,
}

/// A stretch of entries of one term, from `first` to the next run or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: LogIndex,
    pub term: Term,
}

/// Entries `first..=last` and their terms. Never empty: `runs[0].first == first`, runs ascend in index and term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRange {
    pub first: LogIndex,
    pub last: LogIndex,
    pub runs: Vec<Run>,
}

/// Which entries a log holds, without their payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The entry before the first one held: what a snapshot covers. Index 0 and term 0 when nothing was ever dropped.
    pub base: SnapshotMeta,
    /// Entries after `base`; `None` when there are none.
    pub entries: Option<LogRange>,
}

/// The last entry that a snapshot covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    pub index: LogIndex,
    pub term: Term,
}

/// What was on disk when the replica starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub hard_state: HardState,
    pub log: LogState,
    /// What the state machine has durably applied; at least `log.base.index`. Everything up to it is committed.
    pub applied: LogIndex,
}

/// Names a [`Persist`]; tickets of one node ascend. Persisting is in order: when a ticket is answered, so are those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The host's name for a proposal, echoed in its [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// The host's name for a read, echoed in its [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// One tick of the host's timer.
    Tick,
    Receive {
        from: ReplicaId,
        message: Message,
    },
    /// Append these, in this order, if this replica leads in exactly `term`; otherwise each is answered `Refused`.
    Propose {
        term: Term,
        proposals: Vec<ProposalId>,
    },
    /// A linearizable read wants its index.
    Read {
        read: ReadId,
    },
    /// Everything of this ticket, and of those before it, is durable.
    Persisted(Ticket),
    /// The state machine has applied everything up to here.
    Applied(LogIndex),
    /// A whole snapshot, sent by `from` in `term`, has arrived at the host and is ready to be put in place.
    SnapshotReceived {
        from: ReplicaId,
        term: Term,
        meta: SnapshotMeta,
    },
    /// The host no longer keeps entries up to and including `meta.index`.
    Compacted(SnapshotMeta),
}

/// What is said between replicas of one shard. The sender's term is in each; the host adds shard, replica ids and payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "Would you vote for me in `term`?" `term` is the one after the sender's own, which it has not entered.
    PreVote {
        term: Term,
        last: SnapshotMeta,
    },
    /// `term` echoes the question's when granted; it is the answerer's own when not.
    PreVoteReply {
        term: Term,
        granted: bool,
    },
    Vote {
        term: Term,
        last: SnapshotMeta,
    },
    VoteReply {
        term: Term,
        granted: bool,
    },
    /// Entries after `prev`. `entries` is `None` for a bare probe. Carries a heartbeat's `round` too.
    Append {
        term: Term,
        prev: SnapshotMeta,
        entries: Option<LogRange>,
        commit: LogIndex,
        round: u64,
    },
    AppendReply {
        term: Term,
        round: u64,
        outcome: AppendOutcome,
    },
    /// `commit` never passes what the leader knows the follower to hold.
    Heartbeat {
        term: Term,
        commit: LogIndex,
        round: u64,
    },
    HeartbeatReply {
        term: Term,
        round: u64,
    },
}

impl Message {
    /// The term that the message was said in.
    pub fn term(&self) -> Term {
        match self {
            Message::PreVote { term, .. }
            | Message::PreVoteReply { term, .. }
            | Message::Vote { term, .. }
            | Message::VoteReply { term, .. }
            | Message::Append { term, .. }
            | Message::AppendReply { term, .. }
            | Message::Heartbeat { term, .. }
            | Message::HeartbeatReply { term, .. } => *term,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable, and equal to the leader's log, up to here.
    Matched(LogIndex),
    /// `prev` was not there. The last entry at or before `prev` whose term is at most `prev.term` (or the log's base): where
    /// the leader may probe next.
    Conflict(SnapshotMeta),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub to: ReplicaId,
    pub message: Message,
}

/// What must become durable, in one piece: first the cut, then the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persist {
    /// When it changed.
    pub hard_state: Option<HardState>,
    /// Put this received snapshot in place of the state machine and of the whole log.
    pub snapshot: Option<SnapshotMeta>,
    /// Append these; entries at and after `first` that are there are dropped before.
    pub append: Option<LogRange>,
}

/// What the host must do. Order within one step: `persist` is handed to the disk, `send_now` may leave at once, `send_after`
/// when its ticket is durable; `apply` in order of index; replies at once.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub persist: Option<(Ticket, Persist)>,
    pub send_now: Vec<Envelope>,
    pub send_after: Vec<(Ticket, Envelope)>,
    /// Apply entries `.0 ..= .1`: committed and locally durable (R5). Each is named once.
    pub apply: Option<(LogIndex, LogIndex)>,
    pub reply: Vec<Reply>,
    /// These followers are behind the log: stream them a snapshot.
    pub send_snapshot: Vec<ReplicaId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The proposal was appended at `index` (its payload belongs there from now on). Not an answer yet.
    Appended { proposal: ProposalId, index: LogIndex },
    /// Committed; its result is known once `index` is applied.
    Committed { proposal: ProposalId, index: LogIndex },
    /// Never appended. `leader` is a hint.
    Refused { proposal: ProposalId, leader: Option<ReplicaId> },
    /// A different entry is committed at its index: it never happened.
    Dropped { proposal: ProposalId },
    /// Leadership was lost with the proposal in the log: it may or may not commit.
    Unknown { proposal: ProposalId },
    /// `index` is applied and was committed after the read began.
    Readable { read: ReadId, index: LogIndex },
    /// Ask another replica. `leader` is a hint.
    NotLeader { read: ReadId, leader: Option<ReplicaId> },
}

/// A look at a node, for its host, metrics and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub term: Term,
    pub leader: Option<ReplicaId>,
    /// This replica leads in `term`.
    pub leading: bool,
    /// Leading, and the no-op of this term is applied: validation may begin.
    pub serving: bool,
    pub commit: LogIndex,
    pub applied: LogIndex,
    /// Entries up to here are no longer in the log.
    pub base: LogIndex,
    /// The own disk has answered for the log up to here.
    pub durable: LogIndex,
    pub last: SnapshotMeta,
    /// Per voter, as the leader knows it: the last index known to be durable there. Empty elsewhere.
    pub matched: Vec<(ReplicaId, LogIndex)>,
}
