//! Oracle `leaders`: a shard has at most one leader in a term (Raft, election safety), and a replica at most one leadership.

use std::collections::BTreeMap;

use crate::{Oracle, Verdict};

/// Remembers every election.
#[derive(Clone, Debug, Default)]
pub struct Leaders {
    /// By shard and term.
    elected: BTreeMap<(u64, u64), String>,
    contradiction: Option<String>,
}

impl Leaders {
    /// A replica (a name for people) leads a shard in this term, from now on.
    pub fn elected(&mut self, replica: &str, shard: u64, term: u64) {
        if let Some(first) = self.elected.insert((shard, term), replica.to_string())
            && self.contradiction.is_none()
        {
            self.contradiction = Some(format!("shard {shard}, term {term}: {first} was elected, and then {replica}"));
        }
    }

    pub fn verdict(&self) -> Verdict {
        Verdict::of(Oracle::Leaders, self.contradiction.clone())
    }
}
