//! Registers as `session`, `causal` and `staleness` see them: who wrote each value, and which write each read shows.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | write | the new value | it was written | it may be written at any time after the invocation |
//! | read | - | answers the value; the initial value, nil unless told, is nobody's | says nothing |
//! | cas | `[from, to]` | it read `from`, then wrote `to`; nothing if it answers false | `to` may be written |
//! | txn | `[["w", key, value], ["r", key, null], ..]` | its accesses, one after the other | its writes may be written |
//!
//! Failed: never happened. Each value is written to a key once, so that a read tells whose write it shows; if a value is
//! written twice, or is the initial one, nothing can be judged (K4). An unknown write may take effect after what its client
//! does next: it comes after what that client did before, and before nothing.

use std::collections::HashMap;
use std::fmt;

use tenet_histories::{Outcome, Value, functions};

use super::{Done, Names, Of, Op};
use crate::CheckError;

/// What a read of the initial value shows, and an access that there is not.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub op: u32,
    pub key: u32,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    /// Nobody knows whether, or when.
    MaybeWrite,
    /// Of the write with that number, or of the initial value.
    Read(u32),
}

impl Access {
    pub fn is_write(&self) -> bool {
        matches!(self.kind, Kind::Write | Kind::MaybeWrite)
    }
}

#[derive(Default)]
pub(super) struct Accesses {
    pub initial: Value,
    pub ops: Vec<Op>,
    /// In the order of invocation once finished; those of one client stand in its order.
    pub all: Vec<Access>,
    pub keys: Names,
    values: Names,
    /// By number of the access.
    value: Vec<u32>,
    writes: HashMap<(u32, u32), u32>,
    failed: HashMap<(u32, u32), Op>,
    pub twice: Option<(Value, Value)>,
}

/// A read of what nobody can have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinAir {
    pub key: Value,
    pub value: Value,
    pub read: Op,
    pub why: Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nobody {
    Wrote,
    /// This one failed to.
    Failed(Op),
    /// The read had ended before this one began to.
    Yet(Op),
}

impl ThinAir {
    pub(super) fn operations(&self) -> Vec<usize> {
        match self.why {
            Nobody::Wrote => vec![self.read.number],
            Nobody::Failed(op) | Nobody::Yet(op) => vec![op.number, self.read.number],
        }
    }
}

impl fmt::Display for ThinAir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ThinAir { key, value, read, why } = self;
        write!(f, "{read} read {value}{}, ", Of(key))?;
        match why {
            Nobody::Wrote => write!(f, "which nobody wrote"),
            Nobody::Failed(op) => write!(f, "which {op} failed to write and nobody else tried to"),
            Nobody::Yet(op) => write!(f, "and ended before {op} began to write it"),
        }
    }
}

impl Accesses {
    pub fn new(initial: Value) -> Accesses {
        Accesses { initial, ..Accesses::default() }
    }

    pub fn push(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let (key, value) = (&done.call.key, &done.call.value);
        let op = self.ops.len();
        self.ops.push(done.op);
        match done.function() {
            functions::READ => {
                if done.is_ok() {
                    self.read(op, key, done.answer);
                }
            }
            functions::WRITE => self.write(op, key, value, done.outcome),
            functions::COMPARE_AND_SET => {
                let Some([from, to]) = value.as_list() else { return Err(done.misshapen(value, "[from, to]")) };
                if done.answer != &Value::Bool(false) {
                    if done.is_ok() {
                        self.read(op, key, from);
                    }
                    self.write(op, key, to, done.outcome);
                }
            }
            functions::TRANSACTION => {
                const EXPECTED: &str = "a list of [\"w\", key, value] and [\"r\", key, value or null]";
                let told = if done.is_ok() && !done.answer.is_nil() { done.answer } else { value };
                for item in told.as_list().ok_or_else(|| done.misshapen(told, EXPECTED))? {
                    match item.as_list() {
                        Some([name, key, value]) if name.as_name() == Some("w") => {
                            self.write(op, key, value, done.outcome)
                        }
                        Some([name, key, value]) if name.as_name() == Some("r") => {
                            if done.is_ok() {
                                self.read(op, key, value);
                            }
                        }
                        _ => return Err(done.misshapen(item, EXPECTED)),
                    }
                }
            }
            _ => return Err(done.stranger("read, write, cas or txn")),
        }
        Ok(())
    }

    fn access(&mut self, op: usize, key: u32, value: &Value, kind: Kind) {
        let value = self.values.number(value) as u32;
        self.value.push(value);
        self.all.push(Access { op: op as u32, key, kind });
    }

    fn read(&mut self, op: usize, key: &Value, value: &Value) {
        let key = self.keys.number(key) as u32;
        self.access(op, key, value, Kind::Read(NONE));
    }

    fn write(&mut self, op: usize, key: &Value, value: &Value, outcome: Outcome) {
        let number = self.keys.number(key) as u32;
        let of = (number, self.values.number(value) as u32);
        match outcome {
            Outcome::Fail => {
                self.failed.entry(of).or_insert(self.ops[op]);
            }
            Outcome::Ok | Outcome::Unknown => {
                if *value == self.initial || self.writes.insert(of, 0).is_some() {
                    self.twice.get_or_insert_with(|| (key.clone(), value.clone()));
                }
                let kind = if outcome == Outcome::Ok { Kind::Write } else { Kind::MaybeWrite };
                self.access(op, number, value, kind);
            }
        }
    }

    /// Puts accesses in the order of invocation and finds the write of each read; those that can have none are
    /// returned.
    pub fn finish(&mut self) -> Vec<ThinAir> {
        let mut order: Vec<u32> = (0..self.all.len() as u32).collect();
        // Stable: accesses of one operation keep their order.
        order.sort_by_key(|at| self.ops[self.all[*at as usize].op as usize].number);
        self.all = order.iter().map(|at| self.all[*at as usize]).collect();
        self.value = order.iter().map(|at| self.value[*at as usize]).collect();
        for (at, access) in self.all.iter().enumerate().filter(|(_, access)| access.is_write()) {
            self.writes.insert((access.key, self.value[at]), at as u32);
        }
        let mut thin_air = Vec::new();
        for at in 0..self.all.len() {
            let Access { key, kind: Kind::Read(_), .. } = self.all[at] else { continue };
            let of = (key, self.value[at]);
            if let Some(write) = self.writes.get(&of) {
                self.all[at].kind = Kind::Read(*write);
                if self.op(at as u32).precedes(&self.op(*write)) {
                    thin_air.push(self.thin_air(at as u32, Nobody::Yet(self.op(*write))));
                }
            } else if *self.values.value(self.value[at] as usize) != self.initial {
                let failed = self.failed.get(&of);
                thin_air.push(self.thin_air(at as u32, failed.map_or(Nobody::Wrote, |op| Nobody::Failed(*op))));
            }
        }
        thin_air
    }

    fn thin_air(&self, read: u32, why: Nobody) -> ThinAir {
        let (key, value) = (self.key(read).clone(), self.value(read).clone());
        ThinAir { key, value, read: self.op(read), why }
    }

    pub fn op(&self, access: u32) -> Op {
        self.ops[self.all[access as usize].op as usize]
    }

    pub fn key(&self, access: u32) -> &Value {
        self.keys.value(self.all[access as usize].key as usize)
    }

    pub fn value(&self, access: u32) -> &Value {
        self.values.value(self.value[access as usize] as usize)
    }

    /// Why nothing can be judged, if so.
    pub fn undecided(&self) -> Option<String> {
        let (key, value) = self.twice.as_ref()?;
        let of = Of(key);
        Some(match *value == self.initial {
            true => format!("the initial value {value}{of} is written, so that reads do not tell whose it is"),
            false => format!("{value}{of} is written twice, so that reads do not tell whose it is"),
        })
    }
}
