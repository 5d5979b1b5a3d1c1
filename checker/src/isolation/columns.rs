//! What transactions wrote, and which ranges they read, by columns: appends to lists and writes of registers alike.
//!
//! Invariant: a value is written once per key, so that key and value name the write.

use tenet_histories::Value;

use super::index::{Index, mix};

/// Writes have numbers, in the order of their transactions.
#[derive(Default)]
pub(super) struct Writes {
    pub by: Vec<u32>,
    pub key: Vec<u32>,
    pub value: Vec<i64>,
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

    pub fn find(&self, key: u32, value: i64) -> Option<u32> {
        let is_it = |write: u32| self.value[write as usize] == value && self.key[write as usize] == key;
        self.index.find(mix(value as u64, key.into()), is_it)
    }

    /// False: the key was given that value before.
    pub fn add(&mut self, by: u32, key: u32, value: i64) -> bool {
        if self.find(key, value).is_some() {
            return false;
        }
        let write = self.by.len() as u32;
        self.by.push(by);
        self.key.push(key);
        self.value.push(value);
        let (values, keys) = (&self.value, &self.key);
        self.index.insert(write, |at| mix(values[at as usize] as u64, keys[at as usize].into()));
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
}
