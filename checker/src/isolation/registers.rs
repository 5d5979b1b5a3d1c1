//! Rw-register: transactions that write registers and read them; each value is written once per key. After Elle.
//!
//! A read tells which write it saw, and nothing of the order of writes. What is known of that is in `register_order`.
//!
//! Invariants
//!  B1  A version is a write, by its number, or the initial state of a key.
//!  B2  A write belongs to the transaction that asked for it, whatever that was answered.
//!  B3  Nobody writes the initial value of keys (a history where somebody does is refused), so that a value names its version.

use tenet_histories::{Call, Completion, Event, Outcome, Value};

use super::anomaly::Anomaly;
use super::columns::{Range, Writes};
use super::index::{Keys, NONE};
use super::micro::{self, Micro, WRITE, items, misshapen};
use super::transactions::{Step, Transactions};
use crate::CheckError;

#[derive(Default)]
pub struct Registers {
    pub(super) transactions: Transactions,
    pub(super) keys: Keys,
    pub(super) writes: Writes,
    /// Reads, in the order of their transactions' completion.
    reads: Vec<Read>,
    first_read: Vec<(u32, u32)>,
    /// In the order of their transactions, once all are known.
    pub(super) ranges: Vec<Range>,
    /// Reads of values that nobody was seen to write before: the read, its transaction, the value's code.
    unclaimed: Vec<(u32, u32, i64)>,
    pub(super) found: Vec<Anomaly>,
    /// Of every key, before anybody writes it.
    initial: Value,
    scratch: Vec<(u32, u32, u32)>,
}

#[derive(Clone, Copy)]
pub(super) struct Read {
    pub key: u32,
    pub version: Version,
    /// Its transaction had neither read nor written this key before.
    pub is_external: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Initial,
    Write(u32),
    /// Nobody wrote it.
    Garbage,
}

impl Registers {
    /// `initial` is the value of every key at first.
    pub fn new(initial: Value) -> Registers {
        Registers { initial, ..Registers::default() }
    }

    pub fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        match self.transactions.push(event)? {
            Step::Invoked(number, call) => self.on_invoke(number, call),
            Step::Completed(number, completion) if completion.outcome == Outcome::Ok => self.on_ok(number, completion),
            Step::Completed(..) | Step::Other => Ok(()),
        }
    }

    pub(super) fn reads_of(&self, number: u32) -> &[Read] {
        let (first, count) = self.first_read[number as usize];
        &self.reads[first as usize..(first + count) as usize]
    }

    pub(super) fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// The last write of a transaction to a key: the only one that others may see.
    pub(super) fn final_write(&self, number: u32, key: u32) -> Option<u32> {
        self.writes.of(number).rev().find(|write| self.writes.key[*write as usize] == key)
    }

    pub(super) fn is_final(&self, write: u32) -> bool {
        self.final_write(self.writes.by[write as usize], self.writes.key[write as usize]) == Some(write)
    }

    pub(super) fn value(&self, version: Version) -> Value {
        match version {
            Version::Write(write) => self.writes.value(write),
            Version::Initial => self.initial.clone(),
            Version::Garbage => Value::Nil,
        }
    }

    fn on_invoke(&mut self, number: u32, call: &Call) -> Result<(), CheckError> {
        self.writes.begin();
        self.first_read.push((0, 0));
        for item in items(number, &call.value)? {
            let Micro::Write(name, key, value) = Micro::of(number, item)? else { continue };
            if name != WRITE {
                return Err(misshapen(number, item, "w or r: these are registers"));
            }
            if *value == self.initial {
                return Err(misshapen(number, item, micro::NOT_INITIAL));
            }
            let key = self.keys.number(key);
            if !self.writes.add(number, key, value) {
                return Err(misshapen(number, item, "each value written once to a key"));
            }
        }
        Ok(())
    }

    fn on_ok(&mut self, number: u32, completion: &Completion) -> Result<(), CheckError> {
        let answers = items(number, &completion.value)?;
        let first_read = self.reads.len() as u32;
        let mut writes = self.writes.of(number);
        // Key, place in the transaction, and what: a write's number, or a read's.
        let mut steps = std::mem::take(&mut self.scratch);
        steps.clear();
        for (place, item) in answers.iter().enumerate() {
            let place = place as u32;
            match Micro::of(number, item)? {
                Micro::Write(_, key, value) => {
                    let write = writes.next().filter(|write| {
                        let at = *write as usize;
                        self.writes.values.is(self.writes.code[at], value) && self.keys.name(self.writes.key[at]) == key
                    });
                    let write = write.ok_or_else(|| misshapen(number, item, "the writes that were asked for"))?;
                    steps.push((self.writes.key[write as usize], place, write));
                }
                Micro::Read(key, there) => steps.push(self.observe(number, place, key, there)),
                Micro::Range([low, high], Some(pairs)) => {
                    let first = self.reads.len() as u32;
                    for pair in pairs {
                        let (key, there) = micro::pair(number, pair)?;
                        if key < low || key > high {
                            return Err(misshapen(number, pair, "only keys of the range that was asked for"));
                        }
                        steps.push(self.observe(number, place, key, there));
                    }
                    let (low, high) = (low.clone(), high.clone());
                    let reads = first - first_read..self.reads.len() as u32 - first_read;
                    // Nothing asks for more: what a register was written after is not known from its own transaction.
                    self.ranges.push(Range { by: number, low, high, reads, writes_before: 0 });
                }
                Micro::Range(_, None) => return Err(misshapen(number, item, "an answer to each read of a range")),
            }
        }
        if writes.next().is_some() {
            return Err(misshapen(number, &completion.value, "the writes that were asked for"));
        }
        self.first_read[number as usize] = (first_read, self.reads.len() as u32 - first_read);
        steps.sort_unstable();
        for of_key in steps.chunk_by(|one, two| one.0 == two.0).filter(|of_key| of_key.len() > 1) {
            self.within(number, answers, of_key)?;
        }
        self.absent_own(number, answers)?;
        self.scratch = steps;
        Ok(())
    }

    /// Finds the write that a read saw.
    fn observe(&mut self, number: u32, place: u32, key: &Value, there: &Value) -> (u32, u32, u32) {
        let key = self.keys.number(key);
        let read = self.reads.len() as u32;
        let version = match there {
            there if *there == self.initial => Version::Initial,
            there => {
                let code = self.writes.values.code(there);
                self.writes.find(key, code).map_or_else(
                    || {
                        self.unclaimed.push((read, number, code));
                        Version::Garbage
                    },
                    Version::Write,
                )
            }
        };
        self.reads.push(Read { key, version, is_external: true });
        (key, place, read)
    }

    /// A transaction reads again what it read or wrote before, and nothing that it writes only later.
    fn within(&mut self, number: u32, answers: &[Value], steps: &[(u32, u32, u32)]) -> Result<(), CheckError> {
        let own = self.writes.of(number);
        let mut known: Option<Version> = None;
        let mut written = own.start;
        for (key, place, what) in steps {
            if let Micro::Write(..) = Micro::of(number, &answers[*place as usize])? {
                (known, written) = (Some(Version::Write(*what)), *what + 1);
                continue;
            }
            let read = &mut self.reads[*what as usize];
            read.is_external = known.is_none();
            let version = read.version;
            if let Version::Write(write) = version
                && (written..own.end).contains(&write)
            {
                let (who, key, value) = (self.transactions.who(number), *key, self.writes.value(write));
                self.report(Anomaly::FutureRead { who, key: self.keys.name(key).clone(), value });
            } else if let Some(expected) = known.filter(|known| *known != version) {
                let (found, expected) = (self.value(version), self.value(expected));
                let (who, key) = (self.transactions.who(number), self.keys.name(*key).clone());
                self.report(Anomaly::Internal { who, key, found, expected, is_end: false });
            }
            known = Some(version);
        }
        Ok(())
    }

    /// A range read shows what its own transaction wrote before.
    fn absent_own(&mut self, number: u32, answers: &[Value]) -> Result<(), CheckError> {
        for (place, item) in answers.iter().enumerate() {
            let Micro::Range([low, high], Some(pairs)) = Micro::of(number, item)? else { continue };
            for earlier in &answers[..place] {
                let Micro::Write(_, key, value) = Micro::of(number, earlier)? else { continue };
                if low <= key && key <= high && micro::found(pairs, key).is_nil() {
                    let (who, expected) = (self.transactions.who(number), value.clone());
                    let key = key.clone();
                    self.report(Anomaly::Internal { who, key, found: Value::Nil, expected, is_end: false });
                }
            }
        }
        Ok(())
    }

    /// Values that were read before they were written find their write; those that have none are garbage.
    pub(super) fn claim(&mut self) {
        self.ranges.sort_by_key(|range| range.by);
        for (read, reader, code) in std::mem::take(&mut self.unclaimed) {
            let key = self.reads[read as usize].key;
            match self.writes.find(key, code) {
                Some(write) => self.reads[read as usize].version = Version::Write(write),
                None => {
                    let (reader, key) = (self.transactions.who(reader), self.keys.name(key).clone());
                    self.report(Anomaly::GarbageRead { reader, key, value: self.writes.values.value(code) });
                }
            }
        }
    }

    /// The first of each name is kept.
    fn report(&mut self, anomaly: Anomaly) {
        if self.found.iter().all(|other| other.name() != anomaly.name()) {
            self.found.push(anomaly);
        }
    }
}

impl Version {
    /// Its node in the graph of versions: writes first, then the initial state of each key.
    pub(super) fn node(self, key: u32, writes: usize) -> u32 {
        match self {
            Version::Write(write) => write,
            Version::Initial => writes as u32 + key,
            Version::Garbage => NONE,
        }
    }
}
