//! List-append: transactions that append unique elements to lists and read them. After Elle.
//!
//! Lists only grow, so that a read tells the order of all appends before it. Events are taken one by one: of a read, only
//! its length is kept if it agrees with what was read of its key before, which in an honest history is always so.
//!
//! Invariants
//!  A1  Of each key, `order` is what its longest agreeing read showed; a read that is kept by its length read that much of it.
//!  A2  What was read beyond `trusted` is in dispute: two reads disagree, or an element is twice in it. Nothing is inferred
//!      from the order there.
//!  A3  An append belongs to the transaction that asked for it, whatever that was answered.

use tenet_histories::{Call, Completion, Event, Outcome, Value, functions};

use super::anomaly::Anomaly;
use super::columns::{Range, Writes};
use super::index::{Keys, NONE};
use super::micro::{self, Micro, items, misshapen};
use super::transactions::{Step, Transactions};
use crate::CheckError;

/// How many reads that disagree with others are kept whole, as evidence.
const DISAGREEING_MAX: usize = 64;

/// Up to which length a read that disagrees with others is searched for elements that it has twice.
const REPEATS_MAX: usize = 4096;

/// The place of an append of which it is only known that some read shows it.
pub(super) const SEEN: u32 = NONE - 1;

#[derive(Default)]
pub struct Lists {
    pub(super) transactions: Transactions,
    pub(super) keys: Keys,
    pub(super) orders: Vec<Order>,
    pub(super) appends: Writes,
    /// Of each append its place in the key's order.
    pub(super) append_place: Vec<u32>,
    /// Reads, in the order of their transactions' completion.
    reads: Vec<Read>,
    /// Of each read, how many appends of its transaction came before; `u8::MAX` stands for more, too.
    appends_before: Vec<u8>,
    first_read: Vec<(u32, u32)>,
    /// In the order of their transactions, once all are known.
    pub(super) ranges: Vec<Range>,
    pub(super) disagreeing: Vec<Disagreeing>,
    /// Read before anybody was seen to append them: a key and a place, and who read it.
    unclaimed: Vec<(u32, u32, u32)>,
    pub(super) found: Vec<Anomaly>,
    scratch: Vec<(u32, u32, u32)>,
}

#[derive(Default)]
pub(super) struct Order {
    pub elements: Vec<i64>,
    pub trusted: u32,
    /// Some read disagrees, or has an element twice.
    pub is_disputed: bool,
}

/// A read that is kept by its length. Two bits say more of it.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub key: u32,
    bits: u32,
}

const DISAGREES: u32 = 1 << 31;
const AFTER_APPEND: u32 = 1 << 30;

impl Read {
    /// How much of its key's order it read; if it disagrees, how much before it did.
    pub(super) fn length(self) -> u32 {
        self.bits & !(DISAGREES | AFTER_APPEND)
    }

    pub(super) fn disagrees(self) -> bool {
        self.bits & DISAGREES != 0
    }

    /// Its own transaction had appended to this key before.
    pub(super) fn is_after_append(self) -> bool {
        self.bits & AFTER_APPEND != 0
    }
}

pub(super) struct Disagreeing {
    pub by: u32,
    pub key: u32,
    pub list: Vec<i64>,
}

impl Lists {
    pub fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        match self.transactions.push(event)? {
            Step::Invoked(number, call) => self.on_invoke(number, call),
            Step::Completed(number, completion) if completion.outcome == Outcome::Ok => self.on_ok(number, completion),
            Step::Completed(..) | Step::Other => Ok(()),
        }
    }

    /// The reads of a transaction that is ok, in its order.
    pub(super) fn reads_of(&self, number: u32) -> &[Read] {
        let (first, count) = self.first_read[number as usize];
        &self.reads[first as usize..(first + count) as usize]
    }

    /// How many of its own appends came before each of these reads, or at least how many.
    pub(super) fn appends_before(&self, number: u32) -> &[u8] {
        let (first, count) = self.first_read[number as usize];
        &self.appends_before[first as usize..(first + count) as usize]
    }

    /// Its transaction appends to the same key again.
    pub(super) fn is_followed(&self, append: u32) -> bool {
        let later = append + 1..self.appends.of(self.appends.by[append as usize]).end;
        later.into_iter().any(|later| self.appends.key[later as usize] == self.appends.key[append as usize])
    }

    fn on_invoke(&mut self, number: u32, call: &Call) -> Result<(), CheckError> {
        self.appends.begin();
        self.first_read.push((0, 0));
        for item in items(number, &call.value)? {
            let Micro::Write(name, key, element) = Micro::of(number, item)? else { continue };
            if name != functions::MICRO_APPEND {
                return Err(misshapen(number, item, "append or r: these are lists"));
            }
            let key = self.key(key);
            if !self.appends.add(number, key, element) {
                return Err(misshapen(number, item, "each element appended once to a key"));
            }
            self.append_place.push(NONE);
        }
        Ok(())
    }

    fn key(&mut self, name: &Value) -> u32 {
        let key = self.keys.number(name);
        self.orders.resize_with(self.keys.count(), Order::default);
        key
    }

    fn on_ok(&mut self, number: u32, completion: &Completion) -> Result<(), CheckError> {
        let answers = items(number, &completion.value)?;
        let first_read = self.reads.len() as u32;
        let mut appends = self.appends.of(number);
        let first_append = appends.start;
        let before = |next: &std::ops::Range<u32>| (next.start - first_append).min(u8::MAX.into()) as u8;
        // Key, place in the transaction, and what: an append's number, or a read's.
        let mut steps = std::mem::take(&mut self.scratch);
        steps.clear();
        for (place, item) in answers.iter().enumerate() {
            let place = place as u32;
            match Micro::of(number, item)? {
                Micro::Write(_, key, element) => {
                    let append = appends.next().filter(|append| {
                        let at = *append as usize;
                        self.appends.values.is(self.appends.code[at], element)
                            && self.keys.name(self.appends.key[at]) == key
                    });
                    let append = append.ok_or_else(|| misshapen(number, item, "the appends that were asked for"))?;
                    steps.push((self.appends.key[append as usize], place, append));
                }
                Micro::Read(key, there) => {
                    let list = list(number, there)?;
                    let key = self.key(key);
                    steps.push((key, place, self.reads.len() as u32));
                    self.observe(number, key, list);
                    self.appends_before.push(before(&appends));
                }
                Micro::Range([low, high], Some(pairs)) => {
                    let first = self.reads.len() as u32;
                    for pair in pairs {
                        let (key, there) = micro::pair(number, pair)?;
                        let list = list(number, there)?;
                        if key < low || key > high {
                            return Err(misshapen(number, pair, "only keys of the range that was asked for"));
                        }
                        let key = self.key(key);
                        steps.push((key, place, self.reads.len() as u32));
                        self.observe(number, key, list);
                        self.appends_before.push(before(&appends));
                    }
                    let (low, high) = (low.clone(), high.clone());
                    let reads = first - first_read..self.reads.len() as u32 - first_read;
                    let writes_before = appends.start - first_append;
                    self.ranges.push(Range { by: number, low, high, reads, writes_before });
                }
                Micro::Range(_, None) => return Err(misshapen(number, item, "an answer to each read of a range")),
            }
        }
        if appends.next().is_some() {
            return Err(misshapen(number, &completion.value, "the appends that were asked for"));
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

    /// A transaction agrees with itself: what it read or appended of a key, it reads again. And it does not read what it
    /// appends only later.
    fn within(&mut self, number: u32, answers: &[Value], steps: &[(u32, u32, u32)]) -> Result<(), CheckError> {
        // The list that it must read now, or, before its first read, that list's end.
        let (mut is_whole, mut expected): (bool, Vec<i64>) = (false, Vec::new());
        let mut has_appended = false;
        for (at, (key, place, what)) in steps.iter().enumerate() {
            let item = &answers[*place as usize];
            let micro = Micro::of(number, item)?;
            if let Micro::Write(_, _, element) = micro {
                let code = self.appends.code[*what as usize];
                expected.push(code);
                has_appended = true;
                let is_read = |place: u32| !matches!(Micro::of(number, &answers[place as usize]), Ok(Micro::Write(..)));
                let reads = steps[..at].iter().filter(|(_, place, _)| is_read(*place));
                let position = self.append_place[*what as usize];
                for (_, _, read) in reads {
                    if position < self.reads[*read as usize].length() {
                        let (who, key) = (self.transactions.who(number), self.keys.name(*key).clone());
                        self.report(Anomaly::FutureRead { who, key, value: element.clone() });
                    }
                }
                continue;
            }
            let there = match micro {
                Micro::Range(_, pairs) => micro::found(pairs.unwrap_or_default(), self.keys.name(*key)),
                Micro::Read(_, there) => there,
                Micro::Write(..) => continue,
            };
            let list = list(number, there)?;
            if has_appended {
                self.reads[*what as usize].bits |= AFTER_APPEND;
            }
            let found: Vec<i64> = list.iter().map(|element| self.appends.values.code(element)).collect();
            let agrees = if is_whole { found == expected } else { found.ends_with(&expected) };
            if !agrees {
                let (who, key) = (self.transactions.who(number), self.keys.name(*key).clone());
                let [found, expected] = [&found, &expected].map(|codes| Value::List(self.values(codes)));
                self.report(Anomaly::Internal { who, key, found, expected, is_end: !is_whole });
            }
            (is_whole, expected) = (true, found);
        }
        Ok(())
    }

    /// A range read shows what its own transaction appended before.
    fn absent_own(&mut self, number: u32, answers: &[Value]) -> Result<(), CheckError> {
        for (place, item) in answers.iter().enumerate() {
            let Micro::Range([low, high], Some(pairs)) = Micro::of(number, item)? else { continue };
            for earlier in &answers[..place] {
                let Micro::Write(_, key, element) = Micro::of(number, earlier)? else { continue };
                if low <= key && key <= high && micro::found(pairs, key).is_nil() {
                    let who = self.transactions.who(number);
                    let (found, expected) = (Value::List(Vec::new()), vec![element.clone()].into());
                    self.report(Anomaly::Internal { who, key: key.clone(), found, expected, is_end: true });
                }
            }
        }
        Ok(())
    }

    /// Compares a list with what is known of its key, and keeps what is new in it.
    fn observe(&mut self, number: u32, key: u32, list: &[Value]) {
        let order = &self.orders[key as usize];
        let values = &self.appends.values;
        let known = list.iter().zip(&order.elements).take_while(|(value, code)| values.is(**code, value));
        let mut agreed = known.count();
        let mut disagrees = agreed < order.elements.len() && agreed < list.len();
        for (place, value) in list.iter().enumerate().skip(agreed) {
            let code = self.appends.values.code(value);
            let append = self.appends.find(key, code);
            let first = append.map(|append| self.append_place[append as usize]);
            let is_again = first.is_some_and(|first| (first as usize) < agreed)
                || disagrees && list.len() <= REPEATS_MAX && list[agreed..place].contains(value);
            if is_again {
                let (reader, key) = (self.transactions.who(number), self.keys.name(key).clone());
                self.report(Anomaly::DuplicateElements { reader, key, element: value.clone() });
                disagrees = true;
            }
            if disagrees {
                // It has happened, wherever it belongs.
                if let Some(append) = append.filter(|_| first == Some(NONE)) {
                    self.append_place[append as usize] = SEEN;
                }
                continue;
            }
            match append {
                Some(append) => self.append_place[append as usize] = place as u32,
                None => self.unclaimed.push((key, place as u32, number)),
            }
            let order = &mut self.orders[key as usize];
            order.elements.push(code);
            if !order.is_disputed {
                order.trusted = order.elements.len() as u32;
            }
            agreed += 1;
        }
        if disagrees {
            let order = &mut self.orders[key as usize];
            order.is_disputed = true;
            order.trusted = order.trusted.min(agreed as u32);
            if self.disagreeing.len() < DISAGREEING_MAX {
                let list = list.iter().map(|value| self.appends.values.code(value)).collect();
                self.disagreeing.push(Disagreeing { by: number, key, list });
            }
        }
        self.reads.push(Read { key, bits: agreed as u32 | if disagrees { DISAGREES } else { 0 } });
    }

    /// Elements that were read before they were appended find their append; those that have none are garbage.
    pub(super) fn claim(&mut self) {
        self.ranges.sort_by_key(|range| range.by);
        for (key, place, reader) in std::mem::take(&mut self.unclaimed) {
            let code = self.orders[key as usize].elements[place as usize];
            match self.appends.find(key, code) {
                Some(append) => self.append_place[append as usize] = place,
                None => {
                    let (reader, key) = (self.transactions.who(reader), self.keys.name(key).clone());
                    self.report(Anomaly::GarbageRead { reader, key, value: self.appends.values.value(code) });
                }
            }
        }
        let evidence: Vec<(u32, u32, i64)> = self.disagreeing.iter().flat_map(Disagreeing::elements).collect();
        for (key, reader, code) in evidence {
            if self.appends.find(key, code).is_none() {
                let (reader, key) = (self.transactions.who(reader), self.keys.name(key).clone());
                self.report(Anomaly::GarbageRead { reader, key, value: self.appends.values.value(code) });
            }
        }
    }

    /// What these codes stand for.
    pub(super) fn values(&self, codes: &[i64]) -> Vec<Value> {
        codes.iter().map(|code| self.appends.values.value(*code)).collect()
    }

    /// The first of each name is kept.
    pub(super) fn report(&mut self, anomaly: Anomaly) {
        if self.found.iter().all(|other| other.name() != anomaly.name()) {
            self.found.push(anomaly);
        }
    }

    /// The first read of each transaction that shows that place of a key's order.
    pub(super) fn reader_of(&self, key: u32, place: u32) -> Option<u32> {
        let shows = |read: &Read| read.key == key && !read.disagrees() && read.length() > place;
        self.transactions.numbers().find(|number| self.reads_of(*number).iter().any(shows))
    }
}

impl Disagreeing {
    fn elements(&self) -> impl Iterator<Item = (u32, u32, i64)> {
        self.list.iter().map(|code| (self.key, self.by, *code))
    }
}

/// A key that is not there has no list yet.
fn list(number: u32, there: &Value) -> Result<&[Value], CheckError> {
    match there {
        Value::Nil => Ok(&[]),
        Value::List(list) => Ok(list),
        other => Err(misshapen(number, other, "a list or null")),
    }
}
