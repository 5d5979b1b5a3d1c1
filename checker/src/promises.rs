//! Oracle `promises`: what a replica has promised to others, its term and its vote, it finds again after a restart.
//!
//! A replica may find more than it said, when it died between the disk's answer and its own. It may not find less: it could
//! vote twice in a term, and two leaders would follow, sooner or later.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Oracle, Verdict};

/// Term, and the replica voted for in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    pub term: u64,
    pub vote: Option<u64>,
}

impl Promise {
    /// Whether whoever holds to `self` also holds to `earlier`.
    fn keeps(self, earlier: Promise) -> bool {
        self.term > earlier.term || self.term == earlier.term && (earlier.vote.is_none() || self.vote == earlier.vote)
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vote {
            Some(vote) => write!(f, "term {} with its vote for replica {vote}", self.term),
            None => write!(f, "term {} without a vote", self.term),
        }
    }
}

/// Remembers the last promise of every replica.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// By replica and shard.
    last: BTreeMap<(String, u64), Promise>,
    contradiction: Option<String>,
}

impl Promises {
    /// The replica (a name for people) has this on disk, and acts upon it from now on.
    pub fn promised(&mut self, replica: &str, shard: u64, promise: Promise) {
        self.look(replica, shard, promise, "goes on in");
        self.last.insert((replica.to_string(), shard), promise);
    }

    /// The replica has started, and found this on its disk.
    pub fn restored(&mut self, replica: &str, shard: u64, promise: Promise) {
        self.look(replica, shard, promise, "came back in");
    }

    fn look(&mut self, replica: &str, shard: u64, promise: Promise, how: &str) {
        let Some(last) = self.last.get(&(replica.to_string(), shard)) else { return };
        if !promise.keeps(*last) && self.contradiction.is_none() {
            self.contradiction = Some(format!("shard {shard}: {replica} was in {last}, and {how} {promise}"));
        }
    }

    pub fn verdict(&self) -> Verdict {
        Verdict::of(Oracle::Promises, self.contradiction.clone())
    }
}
