//! What transactions wrote, and which ranges they read, by columns: appends to lists and writes of registers alike.
//!
//! Invariant: a value is written once per key, so that key and value name the write.

use tenet_histories::Value;

use super::index::{Index, Values, mix};

/// Writes have numbers, in the order of their transactions.
#[derive(Default)]
pub(super) struct Writes {
    pub by: Vec<u32>,
    pub key: Vec<u32>,
    /// What was written: see `values`.
    pub code: Vec<i64>,
    pub values: Values,
    /// Of each transaction.
    first: Vec<u32>,
    index: Index,
}

impl Writes {
    /// The next transaction begins: what is added from now on is its.
    pub fn begin(&mut self) {
        self.first.push(self.by.len() as u32);
    }

    /// Those of a transaction, in its order.
    pub fn of(&self, number: u32) -> std::ops::Range<u32> {
        let at = number as usize;
        self.first[at]..self.first.get(at + 1).copied().unwrap_or(self.by.len() as u32)
    }

    pub fn value(&self, write: u32) -> Value {
        self.values.value(self.code[write as usize])
    }

    pub fn find(&self, key: u32, code: i64) -> Option<u32> {
        let is_it = |write: u32| self.code[write as usize] == code && self.key[write as usize] == key;
        self.index.find(mix(code as u64, key.into()), is_it)
    }

    /// False: the key was given that value before.
    pub fn add(&mut self, by: u32, key: u32, value: &Value) -> bool {
        let code = self.values.code(value);
        if self.find(key, code).is_some() {
            return false;
        }
        let write = self.by.len() as u32;
        self.by.push(by);
        self.key.push(key);
        self.code.push(code);
        let (codes, keys) = (&self.code, &self.key);
        self.index.insert(write, |at| mix(codes[at as usize] as u64, keys[at as usize].into()));
        true
    }
}

/// A read of all keys from `low` to `high`: those not among its transaction's reads were not there.
pub(super) struct Range {
    pub by: u32,
    pub low: Value,
    pub high: Value,
    /// Which of its transaction's reads are of this range.
    pub reads: std::ops::Range<u32>,
    /// How many writes of its transaction came before.
    pub writes_before: u32,
}

/// Ranges in the order of their transactions: those of one.
pub(super) fn ranges_of(ranges: &[Range], number: u32) -> &[Range] {
    let begin = ranges.partition_point(|range| range.by < number);
    let end = ranges.partition_point(|range| range.by <= number);
    &ranges[begin..end]
}
