//! What replicas say of themselves while a world is played, held together as it comes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tenet_checker::Verdict;
use tenet_checker::leaders::Leaders;
use tenet_checker::promises::{Promise, Promises};
use tenet_checker::state_hash::StateHashes;
use tokio::sync::Notify;

/// One for a world; every boot of every node tells it.
#[derive(Default)]
pub struct Witness {
    state: Mutex<State>,
    election: Notify,
}

#[derive(Default)]
struct State {
    hashes: StateHashes,
    leaders: Leaders,
    promises: Promises,
    /// By shard: the number of the node that was elected last, and its term.
    elected: BTreeMap<u64, (u64, u64)>,
}

impl Witness {
    /// A replica of node number `node` has applied the entry at `index`, and is then in this state.
    pub fn applied(&self, node: u64, shard: u64, index: u64, hash: [u8; 32]) {
        self.with(|state| state.hashes.applied(&name(node), shard, index, hash));
    }

    /// It leads from now on.
    pub fn elected(&self, node: u64, shard: u64, term: u64) {
        self.with(|state| {
            state.leaders.elected(&name(node), shard, term);
            state.elected.insert(shard, (node, term));
        });
        self.election.notify_waiters();
    }

    /// This is on its disk, and others may now be told of it.
    pub fn promised(&self, node: u64, shard: u64, promise: Promise) {
        self.with(|state| state.promises.promised(&name(node), shard, promise));
    }

    /// It has started, and found this.
    pub fn restored(&self, node: u64, shard: u64, promise: Promise) {
        self.with(|state| state.promises.restored(&name(node), shard, promise));
    }

    /// Who was elected last, as shards and numbers of nodes.
    pub fn leaders(&self) -> Vec<(u64, u64)> {
        self.with(|state| state.elected.iter().map(|(shard, (node, _))| (*shard, *node)).collect())
    }

    /// The shard's next election: the number of the node that wins.
    pub async fn next_elected(&self, shard: u64) -> u64 {
        let last = || self.with(|state| state.elected.get(&shard).copied());
        let before = last();
        loop {
            let election = self.election.notified();
            match last() {
                Some((node, term)) if before.is_none_or(|(_, before)| before != term) => return node,
                _ => election.await,
            }
        }
    }

    /// Hashes that were held against one of another replica.
    pub fn hashes_compared(&self) -> u64 {
        self.with(|state| state.hashes.compared())
    }

    pub fn verdicts(&self) -> Vec<Verdict> {
        self.with(|state| vec![state.hashes.verdict(), state.leaders.verdict(), state.promises.verdict()])
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no holder panics"))
    }
}

fn name(node: u64) -> String {
    format!("n{node}")
}
