//! Finding a number by what it stands for, in four bytes a slot: the things themselves stay in their columns.

use std::hash::{DefaultHasher, Hash, Hasher};

use tenet_histories::Value;

/// No number: of a transaction, a place, a slot.
pub(super) const NONE: u32 = u32::MAX;

/// An open-addressed table of numbers. Whoever uses it says what a number's hash is, and whether it is the one sought.
#[derive(Default)]
pub(super) struct Index {
    slots: Vec<u32>,
    count: usize,
}

impl Index {
    pub(super) fn find(&self, hash: u64, is_sought: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        // Ends: the table is never full.
        while self.slots[slot] != NONE {
            if is_sought(self.slots[slot]) {
                return Some(self.slots[slot]);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    /// The number must not be in it yet.
    pub(super) fn insert(&mut self, number: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            let larger = vec![NONE; (self.slots.len() * 2).max(64)];
            for old in std::mem::replace(&mut self.slots, larger) {
                if old != NONE {
                    self.place(old, hash_of(old));
                }
            }
        }
        self.place(number, hash_of(number));
        self.count += 1;
    }

    fn place(&mut self, number: u32, hash: u64) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != NONE {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = number;
    }
}

/// Spreads two numbers over 64 bits: the two halves of their product, folded.
pub(super) fn mix(one: u64, two: u64) -> u64 {
    let product = u128::from(one ^ 0x9e37_79b9_7f4a_7c15) * u128::from(two ^ 0xc2b2_ae3d_27d4_eb4f);
    (product >> 64) as u64 ^ product as u64
}

/// Keys by number, in the order in which they were first named.
#[derive(Default)]
pub(super) struct Keys {
    names: Vec<Value>,
    index: Index,
}

impl Keys {
    pub(super) fn number(&mut self, name: &Value) -> u32 {
        let hash = hash_of(name);
        if let Some(known) = self.index.find(hash, |key| self.names[key as usize] == *name) {
            return known;
        }
        let key = self.names.len() as u32;
        self.names.push(name.clone());
        self.index.insert(key, |key| hash_of(&self.names[key as usize]));
        key
    }

    pub(super) fn name(&self, key: u32) -> &Value {
        &self.names[key as usize]
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// The numbers of all keys, in the order of the keys themselves.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut keys: Vec<u32> = (0..self.names.len() as u32).collect();
        keys.sort_unstable_by(|one, two| self.name(*one).cmp(self.name(*two)));
        keys
    }
}

/// Codes below it are those of values that have no code of their own.
const OWN_MIN: i64 = i64::MIN + (1 << 32);

/// Values in eight bytes: integers as themselves (but those next to the lowest), all else by its number, which is kept once.
#[derive(Default)]
pub(super) struct Values {
    others: Keys,
}

impl Values {
    pub(super) fn code(&mut self, value: &Value) -> i64 {
        match value {
            Value::Int(int) if *int >= OWN_MIN => *int,
            other => i64::MIN + i64::from(self.others.number(other)),
        }
    }

    pub(super) fn is(&self, code: i64, value: &Value) -> bool {
        match value {
            Value::Int(int) if *int >= OWN_MIN => *int == code,
            other => self.other(code) == Some(other),
        }
    }

    pub(super) fn value(&self, code: i64) -> Value {
        self.other(code).cloned().unwrap_or(Value::Int(code))
    }

    /// How many values it keeps.
    pub(super) fn kept_count(&self) -> usize {
        self.others.count()
    }

    fn other(&self, code: i64) -> Option<&Value> {
        (code < OWN_MIN).then(|| self.others.name((code - i64::MIN) as u32))
    }
}

fn hash_of(name: &Value) -> u64 {
    match name {
        Value::Int(int) => mix(*int as u64, 0),
        other => {
            let mut hasher = DefaultHasher::new();
            other.hash(&mut hasher);
            hasher.finish()
        }
    }
}
