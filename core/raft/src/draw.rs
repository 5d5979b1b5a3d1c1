//! A replica on one line, for logs and golden scripts.
//!
//! ```text
//! r1@3 leader  last=7@3 commit=6 applied=6 durable=7 tickets=1 progress={r2:6→8 r3:probe 2→5 r4:snapshot 0}
//! ```
//! `index@term`; `matched→next`.

use std::fmt;

use crate::node::Node;
use crate::progress::Mode;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        let last = core.log.last();
        let role = match self {
            Node::Follower(_) => "follower",
            Node::PreCandidate(_) => "pre-candidate",
            Node::Candidate(_) => "candidate",
            Node::Leader(_) => "leader",
        };
        write!(f, "{}@{} {role} last={}@{}", core.config.me, core.hard_state.term.0, last.index.0, last.term.0)?;
        write!(f, " commit={} applied={}", core.commit.0, core.applied.0)?;
        if core.tickets.durable() < last.index {
            write!(f, " durable={}", core.tickets.durable().0)?;
        }
        if core.log.base().index.0 > 0 {
            write!(f, " base={}@{}", core.log.base().index.0, core.log.base().term.0)?;
        }
        if let Some(vote) = core.hard_state.vote {
            write!(f, " vote={vote}")?;
        }
        match self {
            Node::Follower(raw) => match raw.role.leader {
                Some(leader) => write!(f, " leader={leader}"),
                None => Ok(()),
            },
            Node::PreCandidate(_) | Node::Candidate(_) => Ok(()),
            Node::Leader(raw) => {
                write!(f, " progress={{")?;
                for (position, (peer, progress)) in raw.progress().iter().enumerate() {
                    let space = if position == 0 { "" } else { " " };
                    let (matched, next) = (progress.matched.0, progress.next.0);
                    match &progress.mode {
                        Mode::Probe { .. } => write!(f, "{space}{peer}:probe {matched}→{next}")?,
                        Mode::Stream { .. } => write!(f, "{space}{peer}:{matched}→{next}")?,
                        Mode::Snapshot { .. } => write!(f, "{space}{peer}:snapshot {matched}")?,
                    }
                }
                write!(f, "}}")
            }
        }
    }
}
