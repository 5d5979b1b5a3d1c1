//! Raft as a pure machine: `step(input) -> effects`. No I/O, no clock, no luck of its own, no payloads.
//!
//! ```text
//!            Input                                      Effects
//!   Tick, Receive, Propose, Read  ──▶  ┌──────┐  ──▶  persist (with a ticket)
//!   Persisted(ticket), Applied,        │ Node │       send_now · send_after(ticket)
//!   SnapshotReceived, Compacted   ──▶  └──────┘  ──▶  apply · reply · send_snapshot
//! ```
//!
//! The host executes the effects and answers with inputs; `core/shard` is the host. The machine knows of each entry only its
//! index and term (as runs), so an append effect names a range, and the host fills in the payloads.
//!
//! Invariants
//!  R1  Election safety: at most one leader per term.
//!  R2  A term or vote is durable before a message that rests on it leaves (`send_after`).
//!  R3  A leader counts its own log only up to the last persisted ticket of its own term.
//!  R4  Only an entry of the leader's own term is committed by counting (Raft §5.4.2).
//!  R5  commit <= last; applied <= min(commit, durable).
//!  R6  A read is answered only after a round of heartbeats that *began* after it arrived was acknowledged by a quorum, the
//!      leader's no-op is applied, and the read index is applied.
//!  R7  A proposal is answered exactly once: `Committed`, `Dropped` (another entry is committed at its index), `Refused`
//!      (never appended) or `Unknown` (leadership was lost; it may still commit).
//!  R8  A replica whose disk has owed an answer for two election timeouts neither leads nor stands, unless it is the only voter.
//!
//! Sources: Ongaro & Ousterhout (ATC '14), Ongaro's thesis §§6.4 (reads), 9.6 (pre-vote), 10.2.1 (parallel disk write).
//! Deliberately missing for now: joint consensus, leader transfer, learners, leases.

mod api;
mod candidate;
mod draw;
mod follower;
mod leader;
mod log;
mod node;
mod progress;
mod reads;
mod tickets;

pub use api::{
    AppendOutcome, Config, Effects, Envelope, HardState, Input, LogRange, LogState, Message, Persist, ProposalId,
    ReadId, Reply, Restored, Run, SnapshotMeta, Status, Ticket,
};
pub use candidate::{Candidate, PreCandidate};
pub use follower::Follower;
pub use leader::Leader;
pub use node::{Node, Raw};
