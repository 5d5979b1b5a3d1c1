//! The read set while it grows: merged spans, and a bound on its size.

use std::collections::{BTreeMap, BTreeSet};

use tenet_types::{Key, ReadSet, Span};

/// Greatest size of a read set's keys and bounds, in bytes. A commit request must fit a peer frame (1 MiB) together with
/// [`tenet_types::TXN_BYTES_MAX`] of writes. Beyond it the set is widened: more conflicts, never fewer (T2).
pub const READ_SET_BYTES_MAX: usize = 32 * 1024;

/// Length of a key's table id: widening never joins two tables.
const TABLE_BYTES: usize = 8;

#[derive(Default)]
pub(crate) struct Reads {
    keys: BTreeSet<Key>,
    /// start → end; disjoint and not adjacent.
    spans: BTreeMap<Key, Key>,
    bytes: usize,
}

impl Reads {
    pub(crate) fn add_key(&mut self, key: &Key) {
        if self.keys.contains(key) || self.covers(key) {
            return;
        }
        self.bytes += key.0.len();
        self.keys.insert(key.clone());
        self.maybe_widen();
    }

    pub(crate) fn add_span(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        let Span { mut start, mut end } = span;
        // Every span that begins at or before our end and ends at or after our start becomes part of ours.
        while let Some((s, e)) = self.spans.range(..=&end).next_back().map(|(s, e)| (s.clone(), e.clone())) {
            if e < start {
                break;
            }
            self.spans.remove(&s);
            self.bytes -= s.0.len() + e.0.len();
            start = start.min(s);
            end = end.max(e);
        }
        self.bytes += start.0.len() + end.0.len();
        self.spans.insert(start, end);
        self.maybe_widen();
    }

    fn covers(&self, key: &Key) -> bool {
        self.spans.range(..=key).next_back().is_some_and(|(_, end)| key < end)
    }

    /// One span per table, from the least to the greatest that was read of it.
    fn maybe_widen(&mut self) {
        if self.bytes <= READ_SET_BYTES_MAX {
            return;
        }
        let keys = std::mem::take(&mut self.keys).into_iter().map(|key| (key.clone(), key.successor()));
        let spans = std::mem::take(&mut self.spans);
        let mut hulls: BTreeMap<Vec<u8>, (Key, Key)> = BTreeMap::new();
        for (start, end) in keys.chain(spans) {
            let table = start.0[..start.0.len().min(TABLE_BYTES)].to_vec();
            let hull = hulls.entry(table).or_insert_with(|| (start.clone(), end.clone()));
            hull.0 = start.min(hull.0.clone());
            hull.1 = end.max(hull.1.clone());
        }
        self.bytes = hulls.values().map(|(start, end)| start.0.len() + end.0.len()).sum();
        self.spans = hulls.into_values().collect();
    }

    /// What a commit sends.
    pub(crate) fn to_read_set(&self) -> ReadSet {
        ReadSet {
            keys: self.keys.iter().filter(|key| !self.covers(key)).cloned().collect(),
            spans: self.spans.iter().map(|(s, e)| Span { start: s.clone(), end: e.clone() }).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
