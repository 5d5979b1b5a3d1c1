//! etcd: one key space whose revision grows with every write, as its robustness tests model it (`tests/robustness/model` of
//! github.com/etcd-io/etcd: a deterministic store, and for lost answers both what was done and what was not).
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | get | - | the key's value (nil: none), of the extra keys `mod_revision` and `version`; the read timestamp is the revision | dropped |
//! | put, delete | a text, - | done; delete answers how many keys; the timestamp is the revision after it | open to the end |
//! | etcd-range | `{"Range": {Start, End, Limit, Revision}}` | the keys from Start to End, at the revision if there is one | dropped |
//! | etcd-txn | `{"Txn": {Conditions, OperationsOnSuccess, OperationsOnFailure}}` | which branch, and a result for each of its operations | open to the end, unless it only reads |
//! | etcd-leaseGrant, etcd-leaseRevoke | `{"LeaseGrant": {LeaseID}}` .. | the keys put with a revoked lease are deleted | open to the end |
//! | etcd-defragment, etcd-compact | - | say nothing | dropped |
//!
//! The store is empty at revision 1 first. Failed: never happened. A revision in every answer makes all keys one object: each
//! operation says where in the order of writes it stands, so that a search has little to guess. A history whose answers have
//! no revision is refused: it is one of `kv`.
//!
//! Whoever reads an older revision R looks at a state that there was once: the same as reading what is there now, at any
//! moment before the answer at which the revision was R. So its call is moved back, to when R can have begun; and that the
//! answer itself came from a store at its own revision is a second thing that the operation saw.
//!
//! Not here, and refused by name: conditions other than on the revision or the version of a key, ranges that are deleted,
//! watches, and requests of other types. Not here, and nothing is said of it: errors (such operations failed; that a
//! revision was compacted is one), leases that run out by themselves (in those tests they do not), and leases whose
//! grant was never answered, which nobody can name.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tenet_histories::{Value, functions};

use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Part, Stay, Taken};

pub struct Etcd;

const REVISION_FIRST: i64 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// It saw the store at this revision.
    At(i64),
    /// What was there, at this revision.
    Saw(i64, Range, Found),
    /// What had been there when the revision was this one.
    Past(i64, Range, Found),
    Transaction(Rc<Transaction>, Option<Answer>),
    Grant(i64, Option<i64>),
    Revoke(i64, Option<i64>),
}

/// The keys from `start` on and before `end`; without an end: one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    start: Rc<str>,
    end: Option<Rc<str>>,
    limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    conditions: Vec<Condition>,
    success: Vec<Operation>,
    failure: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Condition {
    key: Rc<str>,
    wants: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wanted {
    /// 0: the key is not there.
    Revision(i64),
    Version(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Get(Range),
    Put { key: Rc<str>, value: Stored, lease: i64 },
    Delete(Rc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    failure: bool,
    outcomes: Vec<Outcome>,
    revision: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Got(Found),
    Put,
    /// None: not said how many.
    Deleted(Option<i64>),
}

/// With its value, the revision of its last write, and its version. None: that was not said.
type Key = (Rc<str>, Stored, Option<i64>, Option<i64>);

/// What a range answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    keys: Vec<Key>,
    count: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stored {
    Text(Rc<str>),
    /// Of a long text only this is recorded.
    Hash(u32),
    /// What no operation answered: all such are alike.
    Unseen,
}

/// Texts from this length on are recorded by their hash.
const HASHED_FROM: usize = 20;

impl Stored {
    fn of(text: &str) -> Stored {
        if text.len() < HASHED_FROM {
            return Stored::Text(text.into());
        }
        // FNV-1a, as etcd's tests take it.
        let hash = text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Stored::Hash(hash)
    }

    fn text(&self) -> String {
        match self {
            Stored::Text(text) => format!("{text:?}"),
            Stored::Hash(hash) => format!("a text with the hash {hash}"),
            Stored::Unseen => "a value that nobody read".to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    revision: i64,
    keys: Rc<BTreeMap<Rc<str>, Kept>>,
    leases: Rc<BTreeSet<i64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    value: Stored,
    /// Of the last write to the key.
    revision: i64,
    /// How many writes there were since the key was made.
    version: i64,
    /// 0: none.
    lease: i64,
}

static NOTHING: Value = Value::Map(BTreeMap::new());

/// The fields of a part of a request or answer. What says nothing (0, "", an empty list) is not there, as it is read.
#[derive(Clone, Copy)]
struct Fields<'f> {
    asked: &'f Asked<'f>,
    value: &'f Value,
}

impl<'f> Fields<'f> {
    /// `names` are all that it may have.
    fn of(asked: &'f Asked<'f>, value: &'f Value, names: &[&str]) -> Result<Fields<'f>, CheckError> {
        let fields = Fields { asked, value };
        let map = value.as_map().ok_or_else(|| fields.misfit(value))?;
        let is_known = |name: &Value| name.as_text().is_some_and(|name| names.contains(&name));
        map.keys().find(|name| !is_known(name)).map_or(Ok(fields), |stranger| Err(fields.misfit(stranger)))
    }

    /// The same of a part.
    fn part(&self, name: &str, names: &[&str]) -> Result<Fields<'f>, CheckError> {
        Fields::of(self.asked, self.value.field(name).unwrap_or(&NOTHING), names)
    }

    fn list(&self, name: &str) -> Result<&'f [Value], CheckError> {
        self.value.field(name).map_or(Ok(&[]), |value| value.as_list().ok_or_else(|| self.misfit(value)))
    }

    fn text(&self, name: &str) -> Result<&'f str, CheckError> {
        self.value.field(name).map_or(Ok(""), |value| value.as_text().ok_or_else(|| self.misfit(value)))
    }

    fn int(&self, name: &str) -> Result<Option<i64>, CheckError> {
        let int = self.value.field(name).map(|value| value.as_int().ok_or_else(|| self.misfit(value))).transpose()?;
        Ok(int.filter(|int| *int != 0))
    }

    fn misfit(&self, found: &Value) -> CheckError {
        self.asked.misshapen(found, "what etcd's robustness tests ask for and record, as far as model etcd knows it")
    }

    /// Every answer that is judged has one.
    fn revision(&self) -> Result<i64, CheckError> {
        revision(self.asked, self.int("Revision")?)
    }

    /// `{"Value": "4"}`, or `{"Hash": 7}`.
    fn stored(&self) -> Result<Stored, CheckError> {
        let fields = self.part("Value", &["Value", "Hash"])?;
        match fields.int("Hash")? {
            Some(hash) => u32::try_from(hash).map(Stored::Hash).map_err(|_| fields.misfit(fields.value)),
            None => Ok(Stored::of(fields.text("Value")?)),
        }
    }

    fn range(&self) -> Result<Range, CheckError> {
        let end = Some(self.text("End")?).filter(|end| !end.is_empty()).map(Rc::from);
        let limit = usize::try_from(self.int("Limit")?.unwrap_or(0)).map_err(|_| self.misfit(self.value))?;
        Ok(Range { start: self.text("Start")?.into(), end, limit })
    }

    fn found(&self) -> Result<Found, CheckError> {
        let kv = |kv| {
            let kv = Fields::of(self.asked, kv, &["Key", "Value", "ModRevision", "Version"])?;
            Ok((kv.text("Key")?.into(), kv.stored()?, kv.int("ModRevision")?, kv.int("Version")?))
        };
        let keys = self.list("KVs")?.iter().map(kv).collect::<Result<_, CheckError>>()?;
        Ok(Found { keys, count: self.int("Count")? })
    }

    fn operation(&self) -> Result<Operation, CheckError> {
        match self.text("Type")? {
            "range-operation" => Ok(Operation::Get(self.part("Range", &["Start", "End", "Limit"])?.range()?)),
            "put-operation" => {
                let put = self.part("Put", &["Key", "Value", "LeaseID"])?;
                let lease = put.int("LeaseID")?.unwrap_or(0);
                Ok(Operation::Put { key: put.text("Key")?.into(), value: put.stored()?, lease })
            }
            "delete-operation" => Ok(Operation::Delete(self.part("Delete", &["Key"])?.text("Key")?.into())),
            _ => Err(self.misfit(self.value)),
        }
    }

    fn operations(&self, name: &str) -> Result<Vec<Operation>, CheckError> {
        let operation = |value| Fields::of(self.asked, value, &["Type", "Range", "Put", "Delete"])?.operation();
        self.list(name)?.iter().map(operation).collect()
    }

    fn condition(&self) -> Result<Condition, CheckError> {
        let revision = self.int("ExpectedRevision")?.unwrap_or(0);
        let wants = self.int("ExpectedVersion")?.map_or(Wanted::Revision(revision), Wanted::Version);
        Ok(Condition { key: self.text("Key")?.into(), wants })
    }
}

fn revision(asked: &Asked<'_>, revision: Option<i64>) -> Result<i64, CheckError> {
    revision.ok_or_else(|| asked.misshapen(asked.answer, "an answer with a revision (those without are for model kv)"))
}

/// A get, put or delete of one key; the revision of its answer is a timestamp.
fn simple(asked: &Asked<'_>) -> Result<Option<Call>, CheckError> {
    const EXPECTED: &str = "a text, or the hash of one";
    let key: Rc<str> = asked.key.as_text().ok_or_else(|| asked.misshapen(asked.key, "a text as key"))?.into();
    let stored = |value: &Value| match value {
        Value::Text(text) => Ok(Stored::of(text)),
        Value::Tagged(tag, hash) if tag == "etcd/hash" => {
            let hash = hash.as_int().and_then(|hash| u32::try_from(hash).ok());
            hash.map(Stored::Hash).ok_or_else(|| asked.misshapen(value, EXPECTED))
        }
        other => Err(asked.misshapen(other, EXPECTED)),
    };
    let now = || {
        let timestamp = asked.completion.commit_timestamp.or(asked.completion.read_timestamp);
        revision(asked, timestamp.and_then(|timestamp| i64::try_from(timestamp).ok()))
    };
    let (operation, result) = match asked.function {
        functions::GET if !asked.is_ok() => return Ok(None),
        functions::GET => {
            let extra = |name: &str| asked.extra.get(name).and_then(Value::as_int);
            let keys = match asked.answer {
                Value::Nil => Vec::new(),
                value => vec![(key.clone(), stored(value)?, extra("mod_revision"), extra("version"))],
            };
            let range = Range { start: key, end: None, limit: 0 };
            return Ok(Some(Call::Saw(now()?, range, Found { count: Some(keys.len() as i64), keys })));
        }
        functions::PUT => (Operation::Put { key, value: stored(asked.value)?, lease: 0 }, Outcome::Put),
        _ => (Operation::Delete(key), Outcome::Deleted(asked.answer.as_int())),
    };
    let transaction = Transaction { conditions: Vec::new(), success: vec![operation], failure: Vec::new() };
    let answer = |revision| Answer { failure: false, outcomes: vec![result], revision };
    let answer = if asked.is_ok() { Some(answer(now()?)) } else { None };
    Ok(Some(Call::Transaction(Rc::new(transaction), answer)))
}

fn range(asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
    let request = Fields::of(asked, asked.value, &["Range"])?;
    let request = request.part("Range", &["Start", "End", "Limit", "Revision"])?;
    let (at, range) = (request.int("Revision")?, request.range()?);
    if asked.is_ok() {
        let answer = Fields::of(asked, asked.answer, &["Range", "Revision"])?;
        let (now, found) = (answer.revision()?, answer.part("Range", &["KVs", "Count"])?.found()?);
        match at.filter(|at| *at != now) {
            Some(at) => calls.extend([Call::Past(at, range, found), Call::At(now)]),
            None => calls.push(Call::Saw(now, range, found)),
        }
    }
    Ok(())
}

fn transaction(asked: &Asked<'_>) -> Result<Option<Call>, CheckError> {
    let request = Fields::of(asked, asked.value, &["Txn"])?;
    let request = request.part("Txn", &["Conditions", "OperationsOnSuccess", "OperationsOnFailure"])?;
    let condition = |value| Fields::of(asked, value, &["Key", "ExpectedRevision", "ExpectedVersion"])?.condition();
    let conditions = request.list("Conditions")?.iter().map(condition).collect::<Result<_, CheckError>>()?;
    let (success, failure) = (request.operations("OperationsOnSuccess")?, request.operations("OperationsOnFailure")?);
    let transaction = Transaction { conditions, success, failure };
    if !asked.is_ok() {
        return Ok((!transaction.only_reads()).then(|| Call::Transaction(Rc::new(transaction), None)));
    }
    let answer = Fields::of(asked, asked.answer, &["Txn", "Revision"])?;
    let revision = answer.revision()?;
    let answer = answer.part("Txn", &["Failure", "Results"])?;
    let failure = answer.value.field("Failure") == Some(&Value::Bool(true));
    let (done, results) = (transaction.branch(failure), answer.list("Results")?);
    if results.len() != done.len() {
        return Err(asked.misshapen(asked.answer, "a result for each operation of the branch that was taken"));
    }
    let outcome = |(operation, result): (&Operation, _)| {
        let result = Fields::of(asked, result, &["KVs", "Count", "Deleted"])?;
        Ok(match operation {
            Operation::Get(_) => Outcome::Got(result.found()?),
            Operation::Put { .. } => Outcome::Put,
            Operation::Delete(_) => Outcome::Deleted(Some(result.int("Deleted")?.unwrap_or(0))),
        })
    };
    let outcomes = done.iter().zip(results).map(outcome).collect::<Result<_, CheckError>>()?;
    Ok(Some(Call::Transaction(Rc::new(transaction), Some(Answer { failure, outcomes, revision }))))
}

/// The lease, and the revision of the answer. None: nobody knows which lease it was.
fn lease(asked: &Asked<'_>, name: &str) -> Result<Option<(i64, Option<i64>)>, CheckError> {
    let lease = Fields::of(asked, asked.value, &[name])?.part(name, &["LeaseID"])?.int("LeaseID")?;
    let Some(lease) = lease else { return Ok(None) };
    let now =
        if asked.is_ok() { Some(Fields::of(asked, asked.answer, &[name, "Revision"])?.revision()?) } else { None };
    Ok(Some((lease, now)))
}

impl Range {
    fn contains(&self, key: &str) -> bool {
        match self.end.as_deref() {
            None => key == &*self.start,
            // As etcd says: up to the last.
            Some("\0") => key >= &*self.start,
            Some(end) => key >= &*self.start && key < end,
        }
    }

    fn text(&self) -> String {
        match self.end.as_deref() {
            None => format!("{:?}", self.start),
            Some(end) => format!("{:?} to {end:?}", self.start),
        }
    }
}

impl Transaction {
    fn branch(&self, failure: bool) -> &[Operation] {
        if failure { &self.failure } else { &self.success }
    }

    fn only_reads(&self) -> bool {
        [&self.success, &self.failure].into_iter().flatten().all(|operation| matches!(operation, Operation::Get(_)))
    }
}

impl Found {
    fn text(&self) -> String {
        const TOLD: usize = 8;
        let text = |(key, value, ..): &Key| format!("{key:?} with {}", value.text());
        let mut texts: Vec<String> = self.keys.iter().take(TOLD).map(text).collect();
        if self.keys.len() > TOLD {
            texts.push(format!("{} more", self.keys.len() - TOLD));
        }
        if texts.is_empty() { "nothing".to_string() } else { texts.join(", ") }
    }
}

impl State {
    fn saw(&self, range: &Range, found: &Found) -> bool {
        let mut here = self.keys.iter().filter(|(key, _)| range.contains(key));
        let limit = if range.limit == 0 { usize::MAX } else { range.limit };
        let count = here.clone().count();
        let is_same = |((key, value, revision, version), (here, kept)): (&Key, (&Rc<str>, &Kept))| {
            key == here
                && *value == kept.value
                && revision.is_none_or(|revision| revision == kept.revision)
                && version.is_none_or(|version| version == kept.version)
        };
        found.keys.len() == count.min(limit)
            && found.count.is_none_or(|found| found == count as i64)
            && found.keys.iter().zip(&mut here).all(is_same)
    }

    fn allows(&self, transaction: &Transaction) -> bool {
        transaction.conditions.iter().all(|condition| {
            let kept = self.keys.get(&condition.key);
            match condition.wants {
                Wanted::Revision(revision) => kept.map_or(0, |kept| kept.revision) == revision,
                Wanted::Version(version) => kept.map_or(0, |kept| kept.version) == version,
            }
        })
    }

    /// None: it did not get that answer.
    fn after(&self, transaction: &Transaction, answer: Option<&Answer>) -> Option<State> {
        let failure = !self.allows(transaction);
        if answer.is_some_and(|answer| answer.failure != failure) {
            return None;
        }
        let (mut state, next) = (self.clone(), self.revision + 1);
        for (place, operation) in transaction.branch(failure).iter().enumerate() {
            let outcome = answer.map(|answer| &answer.outcomes[place]);
            match operation {
                Operation::Get(range) => match outcome {
                    Some(Outcome::Got(found)) if !state.saw(range, found) => return None,
                    _ => {}
                },
                // Nothing is put with a lease that is not there.
                Operation::Put { lease, .. } if *lease != 0 && !state.leases.contains(lease) => {}
                Operation::Put { key, value, lease } => {
                    let version = state.keys.get(key).map_or(0, |kept| kept.version) + 1;
                    let kept = Kept { value: value.clone(), revision: next, version, lease: *lease };
                    Rc::make_mut(&mut state.keys).insert(key.clone(), kept);
                    state.revision = next;
                }
                Operation::Delete(key) => {
                    let is_there = state.keys.contains_key(key);
                    match outcome {
                        Some(Outcome::Deleted(Some(deleted))) if *deleted != i64::from(is_there) => return None,
                        _ => {}
                    }
                    if is_there {
                        Rc::make_mut(&mut state.keys).remove(key);
                        state.revision = next;
                    }
                }
            }
        }
        answer.is_none_or(|answer| answer.revision == state.revision).then_some(state)
    }
}

impl Model for Etcd {
    type State = State;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        match asked.function {
            functions::GET | functions::PUT | "delete" => calls.extend(simple(asked)?),
            "etcd-range" => range(asked, calls)?,
            "etcd-txn" => calls.extend(transaction(asked)?),
            "etcd-leaseGrant" => {
                calls.extend(lease(asked, "LeaseGrant")?.map(|(lease, now)| Call::Grant(lease, now)));
            }
            "etcd-leaseRevoke" => {
                calls.extend(lease(asked, "LeaseRevoke")?.map(|(lease, now)| Call::Revoke(lease, now)));
            }
            "etcd-defragment" | "etcd-compact" => {}
            _ => return Err(asked.stranger("get, put, delete, etcd-range, etcd-txn, or one of leases")),
        }
        Ok(())
    }

    fn initial(&self) -> State {
        State { revision: REVISION_FIRST, keys: Rc::default(), leases: Rc::default() }
    }

    fn step(&self, state: &State, call: &Call, next: &mut Vec<State>) {
        match call {
            Call::At(revision) => next.extend((state.revision == *revision).then(|| state.clone())),
            Call::Saw(revision, range, found) | Call::Past(revision, range, found) => {
                let saw = state.revision == *revision && state.saw(range, found);
                next.extend(saw.then(|| state.clone()));
            }
            Call::Transaction(transaction, answer) => next.extend(state.after(transaction, answer.as_ref())),
            Call::Grant(lease, revision) => {
                if revision.is_none_or(|revision| revision == state.revision) {
                    let mut state = state.clone();
                    Rc::make_mut(&mut state.leases).insert(*lease);
                    next.push(state);
                }
            }
            Call::Revoke(lease, revision) => {
                let mut state = state.clone();
                Rc::make_mut(&mut state.leases).remove(lease);
                if state.keys.values().any(|kept| kept.lease == *lease) {
                    Rc::make_mut(&mut state.keys).retain(|_, kept| kept.lease != *lease);
                    state.revision += 1;
                }
                next.extend(revision.is_none_or(|revision| revision == state.revision).then_some(state));
            }
        }
    }

    fn looks(&self, call: &Call) -> bool {
        match call {
            Call::At(_) | Call::Saw(..) | Call::Past(..) => true,
            Call::Transaction(transaction, _) => transaction.only_reads(),
            Call::Grant(..) | Call::Revoke(..) => false,
        }
    }

    fn is_keyed(&self) -> bool {
        false
    }

    fn parts(&self, mut part: Part<Call>) -> Vec<Part<Call>> {
        // Revision R begins after everything that saw an older one was invoked.
        let begins = Bounds::of(&part.operations);
        for taken in &mut part.operations {
            if let Call::Past(revision, ..) = &taken.call {
                taken.invoked = taken.invoked.min(begins.of_older(*revision).0);
            }
        }
        part.operations.sort_by_key(|taken| taken.invoked);
        let mut seen: BTreeSet<(Rc<str>, Stored)> = BTreeSet::new();
        for taken in &part.operations {
            taken.call.found(&mut |key, value, _, _| {
                seen.insert((key.into(), value.clone()));
            });
        }
        for taken in &mut part.operations {
            let Call::Transaction(transaction, None) = &mut taken.call else { continue };
            let transaction = Rc::make_mut(transaction);
            for operation in transaction.success.iter_mut().chain(&mut transaction.failure) {
                if let Operation::Put { key, value, .. } = operation
                    && !seen.contains(&(key.clone(), value.clone()))
                {
                    *value = Stored::Unseen;
                }
            }
        }
        vec![part]
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Etcd> + 'p> {
        let bounds = Bounds::of(&part.operations);
        let mut foresight = Foresight { written: BTreeMap::new(), left: BTreeMap::new(), bounds };
        for taken in part.operations.iter().filter(|taken| !taken.is_unknown()) {
            let mut saw = |revision, key, value| {
                let returned = foresight.written.entry(revision).or_default().entry((key, value)).or_insert(NEVER);
                *returned = taken.returned.min(*returned);
            };
            // Of several writes the last may be another one.
            if let Call::Transaction(transaction, Some(answer)) = &taken.call
                && let [Operation::Put { key, value, lease: 0 }] = transaction.branch(answer.failure)
            {
                saw(answer.revision, &**key, value);
            }
            taken.call.found(&mut |key, value, revision, seen_at| {
                let Some(revision) = revision else { return };
                saw(revision, key, value);
                let left = foresight.left.entry(key).or_default().entry(revision).or_insert((revision, NEVER));
                *left = (seen_at, taken.returned).max(*left);
            });
        }
        Box::new(foresight)
    }

    fn did(&self, call: &Call) -> String {
        let at = |revision: &Option<i64>| revision.map_or(String::new(), |revision| format!(" at revision {revision}"));
        match call {
            Call::At(revision) => format!("was answered at revision {revision}"),
            Call::Saw(revision, range, found) | Call::Past(revision, range, found) => {
                format!("read {} at revision {revision} and found {}", range.text(), found.text())
            }
            Call::Transaction(transaction, answer) => transaction_text(transaction, answer.as_ref()),
            Call::Grant(lease, revision) => format!("was granted lease {lease}{}", at(revision)),
            Call::Revoke(lease, revision) => format!("revoked lease {lease}{}", at(revision)),
        }
    }

    fn was(&self, state: &State) -> String {
        const TOLD: usize = 8;
        let text = |(key, kept): (&Rc<str>, &Kept)| {
            format!("{key:?} with {} of revision {}", kept.value.text(), kept.revision)
        };
        let mut texts: Vec<String> = state.keys.iter().take(TOLD).map(text).collect();
        match state.keys.len() {
            0 => texts.push("nothing".to_string()),
            count if count > TOLD => texts.push(format!("{} more", count - TOLD)),
            _ => {}
        }
        format!("the store was at revision {} and had {}", state.revision, texts.join(", "))
    }

    fn heap_bytes(&self, state: &State) -> usize {
        (state.keys.len() + 1) * size_of::<(Rc<str>, Kept)>() * 2 + state.leases.len() * size_of::<i64>()
    }
}

fn transaction_text(transaction: &Transaction, answer: Option<&Answer>) -> String {
    let failure = answer.is_some_and(|answer| answer.failure);
    let mut texts = Vec::new();
    for condition in &transaction.conditions {
        let wants = match condition.wants {
            Wanted::Revision(0) => "was not there".to_string(),
            Wanted::Revision(revision) => format!("was of revision {revision}"),
            Wanted::Version(version) => format!("was of version {version}"),
        };
        texts.push(format!("asked whether {:?} {wants}", condition.key));
    }
    if answer.is_some() && !texts.is_empty() {
        texts.push(if failure { "was told no" } else { "was told yes" }.to_string());
    }
    for (place, operation) in transaction.branch(failure).iter().enumerate() {
        let outcome = answer.map(|answer| &answer.outcomes[place]);
        texts.push(match (operation, outcome) {
            (Operation::Get(range), Some(Outcome::Got(found))) => format!("found {} at {}", found.text(), range.text()),
            (Operation::Get(range), _) => format!("read {}", range.text()),
            (Operation::Put { key, value, .. }, _) => format!("put {} to {key:?}", value.text()),
            (Operation::Delete(key), Some(Outcome::Deleted(Some(0)))) => format!("found no {key:?} to delete"),
            (Operation::Delete(key), _) => format!("deleted {key:?}"),
        });
    }
    let at = answer.map_or(String::new(), |answer| format!(" at revision {}", answer.revision));
    format!("{}{at}", texts.join(" and "))
}

impl Call {
    /// The revision that the store was at when it was answered.
    fn revision(&self) -> Option<i64> {
        match self {
            Call::At(revision) | Call::Saw(revision, ..) => Some(*revision),
            Call::Past(..) => None,
            Call::Transaction(_, answer) => answer.as_ref().map(|answer| answer.revision),
            Call::Grant(_, revision) | Call::Revoke(_, revision) => *revision,
        }
    }

    /// Tells the keys that it found: with their values, the revisions of their last writes, and the revision that it looked at.
    fn found<'c>(&'c self, tell: &mut dyn FnMut(&'c str, &'c Stored, Option<i64>, i64)) {
        let mut tell_all = |found: &'c Found, at: i64| {
            found.keys.iter().for_each(|(key, value, revision, _)| tell(key, value, *revision, at));
        };
        match self {
            Call::Saw(at, _, found) | Call::Past(at, _, found) => tell_all(found, *at),
            Call::Transaction(transaction, Some(answer)) if transaction.only_reads() => {
                answer.outcomes.iter().for_each(|outcome| {
                    if let Outcome::Got(found) = outcome {
                        tell_all(found, answer.revision);
                    }
                });
            }
            // What it read may be what it wrote, and then wrote again.
            Call::Transaction(_, Some(answer)) => answer.outcomes.iter().for_each(|outcome| {
                if let Outcome::Got(found) = outcome {
                    found.keys.iter().for_each(|(key, value, ..)| tell(key, value, None, answer.revision));
                }
            }),
            Call::At(_) | Call::Transaction(_, None) | Call::Grant(..) | Call::Revoke(..) => {}
        }
    }
}

/// When revisions can begin, told by who saw older ones.
struct Bounds {
    /// By revision: the last invocation of an operation that saw it, or an older one, and its return.
    invoked: Vec<(i64, (u32, u32))>,
}

impl Bounds {
    fn of(operations: &[Taken<Call>]) -> Bounds {
        let mut last: BTreeMap<i64, (u32, u32)> = BTreeMap::new();
        for taken in operations.iter().filter(|taken| !taken.is_unknown()) {
            if let Some(revision) = taken.call.revision() {
                let invoked = last.entry(revision).or_default();
                *invoked = (taken.invoked, taken.returned).max(*invoked);
            }
        }
        let mut latest = (0, 0);
        let so_far = |(revision, invoked): (i64, (u32, u32))| {
            latest = invoked.max(latest);
            (revision, latest)
        };
        Bounds { invoked: last.into_iter().map(so_far).collect() }
    }

    /// The last invocation of who saw an older revision, and its return.
    fn of_older(&self, revision: i64) -> (u32, u32) {
        let older = self.invoked.partition_point(|(other, _)| *other < revision);
        older.checked_sub(1).map_or((0, 0), |last| self.invoked[last].1)
    }
}

/// What answers say of revisions: when there was which, what was written at it, and what not.
struct Foresight<'p> {
    /// By revision: keys and values, and the first return of who saw so.
    written: BTreeMap<i64, BTreeMap<(&'p str, &'p Stored), u32>>,
    /// By key, and revision of a write to it: the last revision at which that is known to be still the last write, and the
    /// return of who saw so.
    left: BTreeMap<&'p str, BTreeMap<i64, (i64, u32)>>,
    bounds: Bounds,
}

impl Ahead<Etcd> for Foresight<'_> {
    fn stay(&self, state: &State) -> Stay {
        let now = state.revision;
        let is_there = |(key, value): &(&str, &Stored)| {
            state.keys.get(*key).is_some_and(|kept| kept.revision == now && kept.value == **value)
        };
        let absent = self.written.get(&now).into_iter().flatten().filter(|(what, _)| !is_there(what));
        // Written at this revision, though somebody saw it unwritten then.
        let unwritten = state.keys.iter().filter(|(_, kept)| kept.revision == now).filter_map(|(key, _)| {
            let (_, (until, returned)) = self.left.get(&**key)?.range(..now).next_back()?;
            (*until >= now).then_some(*returned)
        });
        let stuck_at = absent.map(|(_, returned)| *returned).chain(unwritten).min();
        let (from, stuck_at) = stuck_at.map_or_else(|| self.bounds.of_older(now), |stuck_at| (NEVER, stuck_at));
        Stay::from(from, stuck_at)
    }
}
