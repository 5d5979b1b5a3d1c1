//! Messages, replies and logs in a few characters each.

use tenet_raft::{AppendOutcome, LogRange, Message, Reply, Run, SnapshotMeta};
use tenet_types::LogIndex;

use crate::host::{FullLog, Packet};

fn point(meta: SnapshotMeta) -> String {
    format!("{}@{}", meta.index.0, meta.term.0)
}

/// `4..6@1 7@2`.
fn runs(runs: &[Run], last: LogIndex) -> String {
    let mut drawn = Vec::new();
    for (position, run) in runs.iter().enumerate() {
        let end = runs.get(position + 1).map_or(last, |next| next.first.prev());
        let span = if run.first == end { end.0.to_string() } else { format!("{}..{}", run.first.0, end.0) };
        drawn.push(format!("{span}@{}", run.term.0));
    }
    drawn.join(" ")
}

fn range(range: &LogRange) -> String {
    runs(&range.runs, range.last)
}

pub fn log(log: &FullLog) -> String {
    let base = if log.base.index.0 > 0 { format!("[{}] ", point(log.base)) } else { String::new() };
    let entries = if log.entries.is_empty() { "·".to_string() } else { runs(&log.runs(), log.last()) };
    format!("{base}{entries}")
}

pub fn packet(packet: &Packet) -> String {
    let (from, to) = (packet.from(), packet.to());
    match packet {
        Packet::Message { message: said, .. } => format!("{from}→{to} {}", message(said)),
        Packet::Snapshot { term, machine, .. } => {
            format!("{from}→{to} t{} snapshot {}", term.0, point(machine.applied))
        }
    }
}

fn message(message: &Message) -> String {
    let answer = |granted: bool| if granted { "yes" } else { "no" };
    let said = match message {
        Message::PreVote { last, .. } => format!("pre-vote? last={}", point(*last)),
        Message::PreVoteReply { granted, .. } => format!("pre-vote {}", answer(*granted)),
        Message::Vote { last, .. } => format!("vote? last={}", point(*last)),
        Message::VoteReply { granted, .. } => format!("vote {}", answer(*granted)),
        Message::Append { prev, entries, commit, round, .. } => {
            let entries = entries.as_ref().map_or("probe".to_string(), |entries| format!("+ {}", range(entries)));
            format!("append {} {entries} commit={} round={round}", point(*prev), commit.0)
        }
        Message::AppendReply { round, outcome: AppendOutcome::Matched(index), .. } => {
            format!("matched {} round={round}", index.0)
        }
        Message::AppendReply { round, outcome: AppendOutcome::Conflict(hint), .. } => {
            format!("conflict, try {} round={round}", point(*hint))
        }
        Message::Heartbeat { commit, round, .. } => format!("heartbeat commit={} round={round}", commit.0),
        Message::HeartbeatReply { round, .. } => format!("heard round={round}"),
    };
    format!("t{} {said}", message.term().0)
}

pub fn reply(reply: &Reply) -> String {
    let hint =
        |leader: &Option<tenet_types::ReplicaId>| leader.map_or(String::new(), |leader| format!(", ask {leader}"));
    match reply {
        Reply::Appended { proposal, index } => format!("p{} appended at {}", proposal.0, index.0),
        Reply::Committed { proposal, index } => format!("p{} committed at {}", proposal.0, index.0),
        Reply::Refused { proposal, leader } => format!("p{} refused{}", proposal.0, hint(leader)),
        Reply::Dropped { proposal } => format!("p{} dropped", proposal.0),
        Reply::Unknown { proposal } => format!("p{} unknown", proposal.0),
        Reply::Readable { read, index } => format!("read{} readable at {}", read.0, index.0),
        Reply::NotLeader { read, leader } => format!("read{} not leader{}", read.0, hint(leader)),
    }
}
