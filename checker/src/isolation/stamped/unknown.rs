//! What was written at a time that nobody knows, if ever: by transactions, of which each wrote all or nothing.
//!
//! When a read shows one of their writes, that transaction has committed, and all its other writes are there from then on.

use std::collections::BTreeMap;

/// A key and the code of a value.
pub(super) type Write = (u32, i64);

#[derive(Default)]
pub(super) struct Unknown {
    /// Those that no read has shown yet, and whose they are.
    writes: BTreeMap<Write, u32>,
    /// Of each transaction that no read has shown yet its shard and its writes, if there are several.
    transactions: BTreeMap<u32, (Option<u64>, Vec<Write>)>,
    count: u32,
}

impl Unknown {
    pub(super) fn add(&mut self, shard: Option<u64>, writes: &[Write]) {
        self.count += 1;
        self.writes.extend(writes.iter().map(|write| (*write, self.count)));
        if writes.len() > 1 {
            self.transactions.insert(self.count, (shard, writes.to_vec()));
        }
    }

    pub(super) fn contains(&self, write: Write) -> bool {
        self.writes.contains_key(&write)
    }

    /// What else its transaction wrote, if no read has shown any of it. Timestamps of another shard say nothing of it.
    pub(super) fn others(&self, shard: Option<u64>, write: Write) -> &[Write] {
        let transaction = self.writes.get(&write).and_then(|number| self.transactions.get(number));
        transaction.filter(|(of, _)| *of == shard).map_or(&[], |(_, writes)| writes)
    }

    /// A read has shown it.
    pub(super) fn remove(&mut self, write: Write) {
        if let Some(number) = self.writes.remove(&write) {
            self.transactions.remove(&number);
        }
    }

    /// Gives all values new codes.
    pub(super) fn renew(&mut self, mut code: impl FnMut(i64) -> i64) {
        let writes = std::mem::take(&mut self.writes);
        self.writes = writes.into_iter().map(|((key, value), number)| ((key, code(value)), number)).collect();
        self.transactions.values_mut().flat_map(|(_, writes)| writes).for_each(|write| write.1 = code(write.1));
    }
}
