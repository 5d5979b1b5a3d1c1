//! What timestamps can prove wrong.

use std::fmt;

use tenet_histories::Value;

use crate::isolation::level::Level;
use crate::isolation::proof::Who;

/// The rules, and the levels that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A commit is above its own snapshot.
    CommitAboveSnapshot,
    /// A commit is alone at its timestamp.
    CommitAlone,
    /// A read finds what its snapshot has.
    Read,
    /// A read finds what its transaction wrote.
    Internal,
    /// Nobody else wrote the same between snapshot and commit.
    Conflict,
    /// Nobody wrote what was read, between snapshot and commit.
    Unchanged,
    /// Timestamps do not go back for a client.
    Session,
    /// Nor in real time.
    RealTime,
}

impl Rule {
    pub fn is_of(self, level: Level) -> bool {
        match self {
            Rule::CommitAboveSnapshot | Rule::CommitAlone | Rule::Read | Rule::Internal => true,
            Rule::Conflict => level.is_at_least(Level::SnapshotIsolation) && !level.is_at_least(Level::Serializable),
            Rule::Unchanged => level.is_at_least(Level::Serializable),
            Rule::Session => level.is_at_least(Level::StrongSessionSnapshotIsolation),
            Rule::RealTime => level.is_at_least(Level::StrongSnapshotIsolation),
        }
    }

    /// It is about what keys have at a moment, for which all that came before must be known.
    pub(super) fn is_of_keys(self) -> bool {
        match self {
            Rule::CommitAboveSnapshot | Rule::Internal | Rule::Session | Rule::RealTime => false,
            Rule::CommitAlone | Rule::Read | Rule::Conflict | Rule::Unchanged => true,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::CommitAboveSnapshot => "commit-above-snapshot",
            Rule::CommitAlone => "commit-alone",
            Rule::Read => "read",
            Rule::Internal => "internal",
            Rule::Conflict => "conflict",
            Rule::Unchanged => "unchanged",
            Rule::Session => "session",
            Rule::RealTime => "real-time",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    CommitBelowSnapshot {
        who: Who,
        read: u64,
        commit: u64,
    },
    SameCommit {
        whos: [Who; 2],
        commit: u64,
    },
    /// What comes first where the two differ; nothing: one of them ends there.
    WrongRead {
        who: Who,
        key: Value,
        read: u64,
        found: Option<Seen>,
        due: Option<Seen>,
    },
    /// A read shows what a transaction wrote to one key, and another read misses what it wrote to another.
    HalfSeen {
        who: Who,
        seen: Part,
        missed: Part,
    },
    Internal {
        who: Who,
        key: Value,
        found: Value,
    },
    Conflict {
        who: Who,
        key: Value,
        read: u64,
        commit: u64,
        other: Option<(Who, u64)>,
    },
    Changed {
        who: Who,
        key: Value,
        read: u64,
        commit: u64,
        other: Option<(Who, u64)>,
    },
    /// The earlier one had returned before the later one was invoked, by the same client or by any.
    Back {
        is_session: bool,
        earlier: Who,
        did: Did,
        at: u64,
        later: Who,
        does: Did,
        back: u64,
    },
}

/// A version, and the commit that wrote it, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub value: Value,
    pub commit: Option<u64>,
}

/// A write of which a snapshot shows whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub key: Value,
    pub value: Value,
    pub read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    Read,
    Committed,
}

impl Violation {
    pub fn rule(&self) -> Rule {
        match self {
            Violation::CommitBelowSnapshot { .. } => Rule::CommitAboveSnapshot,
            Violation::SameCommit { .. } => Rule::CommitAlone,
            Violation::WrongRead { .. } | Violation::HalfSeen { .. } => Rule::Read,
            Violation::Internal { .. } => Rule::Internal,
            Violation::Conflict { .. } => Rule::Conflict,
            Violation::Changed { .. } => Rule::Unchanged,
            Violation::Back { is_session: true, .. } => Rule::Session,
            Violation::Back { is_session: false, .. } => Rule::RealTime,
        }
    }

    /// Those that prove it.
    pub fn operations(&self) -> Vec<usize> {
        match self {
            Violation::SameCommit { whos: [one, two], .. } | Violation::Back { earlier: one, later: two, .. } => {
                vec![one.operation, two.operation]
            }
            Violation::Conflict { who, other: Some((other, _)), .. }
            | Violation::Changed { who, other: Some((other, _)), .. } => vec![other.operation, who.operation],
            Violation::CommitBelowSnapshot { who, .. }
            | Violation::WrongRead { who, .. }
            | Violation::HalfSeen { who, .. }
            | Violation::Internal { who, .. }
            | Violation::Conflict { who, .. }
            | Violation::Changed { who, .. } => vec![who.operation],
        }
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Did::Read => "read",
            Did::Committed => "committed",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = |other: &Option<(Who, u64)>| match other {
            Some((who, commit)) => format!("{who} wrote it at {commit}"),
            None => "it was written".to_string(),
        };
        match self {
            Violation::CommitBelowSnapshot { who, read, commit } => {
                write!(f, "{who} committed at {commit}, not above its own snapshot {read}")
            }
            Violation::SameCommit { whos: [one, two], commit } => {
                write!(f, "{one} and {two} both committed at {commit}")
            }
            Violation::WrongRead { who, key, read, found, due } => {
                let seen = |seen: &Option<Seen>| match seen {
                    None => "nothing more".to_string(),
                    Some(Seen { value, commit: Some(commit) }) => format!("{value}, committed at {commit}"),
                    Some(Seen { value, commit: None }) => format!("{value}, of which no commit is known"),
                };
                write!(f, "{who} read {key} at {read} and found {}, expected {}", seen(found), seen(due))
            }
            Violation::HalfSeen { who, seen, missed } => write!(
                f,
                "{who} saw half of a transaction: {} of {} was there at {}, and {} of {}, which it wrote too, not at {}",
                seen.value, seen.key, seen.read, missed.value, missed.key, missed.read
            ),
            Violation::Internal { who, key, found } => {
                write!(f, "{who} read {found} of {key}, which it had itself written otherwise")
            }
            Violation::Conflict { who, key, read, commit, other: by } => {
                write!(f, "{who} wrote {key} at {commit}, but since its snapshot {read} {}", other(by))
            }
            Violation::Changed { who, key, read, commit, other: by } => {
                write!(f, "{who} read {key} at {read} and committed at {commit}, but between them {}", other(by))
            }
            Violation::Back { is_session, earlier, did, at, later, does, back } => {
                let whose = if *is_session { "its own client's " } else { "" };
                write!(f, "{later} {does} at {back}, though {whose}{earlier} had returned before and {did} at {at}")
            }
        }
    }
}
