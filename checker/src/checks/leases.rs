//! Check `leases`: a lock has one holder at a time, and tokens fence off those who think they still hold it.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | acquire | nil, or `{"lease_ns"}` | held, unless it answers false; answers nil, true, a token, or `{"token", "lease_ns"}` | says nothing |
//! | renew | as acquire | the lease runs from now on, unless it answers false | says nothing |
//! | release | - | no longer held | perhaps no longer held, from its invocation on |
//! | use | a token, an integer | what the lock guards took it | says nothing |
//!
//! `key` is the lock. Failed: never happened; so a refused use is a failed one. Three promises:
//!  - *exclusion*: a client holds for sure from the return of its acquire (or renewal) to the invocation of its next release
//!    or acquire, or until the lease may have run out: lease after invocation, less the uncertainty of clocks, whichever is
//!    first. Two clients never hold for sure at once.
//!  - *tokens grow*: who acquires after another had acquired gets a greater token; nobody gets the same.
//!  - *fencing*: once a use with a token has returned, one with a smaller token that begins later is refused (Kleppmann, "How
//!    to do distributed locking", 2016; the sequencers of Chubby, Burrows 2006).
//!
//! Without a lease a lock is held until it is released: whoever frees the locks of dead clients must say after how long.

use std::fmt;

use tenet_histories::{Header, Outcome, Process, Value};

use super::{Check, Done, NEVER, Of, Op, PerKey, Report, fact_count};
use crate::verdict::time;
use crate::{CheckError, Oracle};

/// Holds of one client that are looked at together; more would be renewals without end.
const HOLDS_MAX: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Of acquires that say none. None: until it is released.
    pub lease_ns: Option<u64>,
    /// How much sooner than the client a server may think that a lease has run out.
    pub clock_uncertainty_ns: u64,
}

impl Options {
    /// Facts `lease_ns`, `clock_uncertainty_ns`.
    pub fn of(header: &Header) -> Options {
        let clock_uncertainty_ns = fact_count(header, "clock_uncertainty_ns").unwrap_or(0);
        Options { lease_ns: fact_count(header, "lease_ns"), clock_uncertainty_ns }
    }
}

/// A stretch in which a client holds for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its acquire or renewal.
    pub by: Op,
    /// The release, or next acquire, that may have ended it.
    pub until: Option<Op>,
    /// When its lease may have run out; `u64::MAX` if it does not.
    pub lease_end_ns: u64,
}

impl Hold {
    fn includes(&self, position: usize, time_ns: u64) -> bool {
        position < self.until.map_or(NEVER, |until| until.invoked) && time_ns < self.lease_end_ns
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The first held for sure when the second began to.
    HeldByTwo { key: Value, first: Hold, second: Hold },
    /// The later acquire began when the earlier had returned, or the tokens are the same.
    TokenNotGreater { key: Value, earlier: (Op, i64), later: (Op, i64) },
    /// The use of the greater token had returned when the other began.
    StaleToken { key: Value, newer: (Op, i64), stale: (Op, i64) },
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::HeldByTwo { .. } => "held-by-two",
            Wrong::TokenNotGreater { .. } => "token-not-greater",
            Wrong::StaleToken { .. } => "stale-token-taken",
        }
    }

    fn operations(&self) -> Vec<usize> {
        match self {
            Wrong::HeldByTwo { first, second, .. } => {
                [Some(first.by), first.until, Some(second.by)].iter().flatten().map(|op| op.number).collect()
            }
            Wrong::TokenNotGreater { earlier, later, .. } => vec![earlier.0.number, later.0.number],
            Wrong::StaleToken { newer, stale, .. } => vec![newer.0.number, stale.0.number],
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::HeldByTwo { key, first, second } => {
                write!(f, "{} held the lock{} for sure", first.by, Of(key))?;
                match (first.until, first.lease_end_ns) {
                    (Some(until), _) => write!(f, " until {until} gave it up")?,
                    (None, u64::MAX) => {}
                    (None, end) => write!(f, " until its lease may have run out at {}", time(end))?,
                }
                write!(f, ", and {} had it at {}", second.by, time(second.by.return_ns))
            }
            Wrong::TokenNotGreater { key, earlier, later } => {
                let (of, (earlier, first), (later, second)) = (Of(key), earlier, later);
                match first == second {
                    true => write!(f, "{earlier} and {later} were both given the token {first}{of}"),
                    false => write!(
                        f,
                        "{earlier} was given the token {first}{of}, and {later}, which began after it had returned, {second}"
                    ),
                }
            }
            Wrong::StaleToken { key, newer: (newer, greater), stale: (stale, token) } => {
                let of = Of(key);
                write!(
                    f,
                    "{stale} used the token {token}{of} and was not refused, though {newer} had used {greater} before"
                )
            }
        }
    }
}

#[derive(Default)]
struct Key {
    holds: Vec<Hold>,
    tokens: Vec<(Op, i64)>,
    uses: Vec<(Op, i64)>,
    /// What may end a hold of its process.
    ends: Vec<Op>,
}

pub struct Leases {
    options: Options,
    keys: PerKey<Key>,
}

impl Leases {
    pub fn new(options: Options) -> Leases {
        Leases { options, keys: PerKey::default() }
    }
}

impl Check for Leases {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let (op, value) = (done.op, &done.call.value);
        let key = self.keys.of(&done.call.key);
        match done.function() {
            "acquire" | "renew" => {
                let is_held = done.is_ok() && *done.answer != Value::Bool(false);
                let token = match done.answer {
                    Value::Int(token) => Some(*token),
                    answer => answer.field("token").and_then(Value::as_int),
                };
                let lease = [done.answer, value].into_iter().find_map(|value| value.field("lease_ns")?.as_int());
                let lease = lease.and_then(|lease| u64::try_from(lease).ok()).or(self.options.lease_ns);
                if done.function() == "acquire" {
                    key.ends.push(op);
                    key.tokens.extend(token.filter(|_| is_held).map(|token| (op, token)));
                }
                if is_held {
                    let sure_ns = lease.map(|lease| lease.saturating_sub(self.options.clock_uncertainty_ns));
                    let lease_end_ns = sure_ns.map_or(u64::MAX, |sure| op.invoke_ns.saturating_add(sure));
                    key.holds.push(Hold { by: op, until: None, lease_end_ns });
                }
            }
            "release" => {
                if done.outcome != Outcome::Fail {
                    key.ends.push(op);
                }
            }
            "use" => {
                let token = done.int(value, "a token, an integer")?;
                if done.is_ok() && *done.answer != Value::Bool(false) {
                    key.uses.push((op, token));
                }
            }
            _ => return Err(done.stranger("acquire, renew, release or use")),
        }
        Ok(())
    }

    fn finish(self) -> Report<Wrong> {
        let mut report = Report::new(Oracle::Leases);
        for (key, state) in self.keys.into_iter() {
            report.count("holds", state.holds.len() as u64);
            report.count("uses", state.uses.len() as u64);
            exclusion(&key, state.holds, state.ends, &mut report);
            let not_greater = |earlier, later, key| Wrong::TokenNotGreater { key, earlier, later };
            growth(&key, state.tokens, true, not_greater, &mut report);
            growth(&key, state.uses, false, |newer, stale, key| Wrong::StaleToken { key, newer, stale }, &mut report);
        }
        report
    }
}

fn exclusion(key: &Value, mut holds: Vec<Hold>, mut ends: Vec<Op>, report: &mut Report<Wrong>) {
    ends.sort_unstable_by_key(|end| (end.process, end.invoked));
    for hold in &mut holds {
        let of = |end: &Op| (end.process, end.invoked);
        let at = ends.partition_point(|end| of(end) <= (hold.by.process, hold.by.invoked));
        hold.until = ends.get(at).filter(|end| end.process == hold.by.process).copied();
    }
    holds.sort_unstable_by_key(|hold| hold.by.returned);
    // Holds that last, all of one client: if there were two, that has been told.
    let mut lasting: Vec<Hold> = Vec::new();
    for second in holds {
        let (position, time_ns) = (second.by.returned, second.by.return_ns);
        if !second.includes(position, time_ns) {
            continue;
        }
        lasting.retain(|hold| hold.includes(position, time_ns));
        let holder: Option<Process> = lasting.first().map(|hold| hold.by.process);
        if holder.is_some_and(|holder| holder != second.by.process) {
            report.violation(Wrong::HeldByTwo { key: key.clone(), first: lasting[0], second });
            lasting.clear();
        }
        if lasting.len() == HOLDS_MAX {
            lasting.remove(0);
        }
        lasting.push(second);
    }
}

/// Tokens must not be smaller than those of operations that had returned before theirs began; if `is_unique`, nor the same.
fn growth(
    key: &Value,
    mut tokens: Vec<(Op, i64)>,
    is_unique: bool,
    wrong: impl Fn((Op, i64), (Op, i64), Value) -> Wrong,
    report: &mut Report<Wrong>,
) {
    if is_unique {
        tokens.sort_unstable_by_key(|(op, token)| (*token, op.invoked));
        for pair in tokens.windows(2).filter(|pair| pair[0].1 == pair[1].1) {
            report.violation(wrong(pair[0], pair[1], key.clone()));
        }
    }
    let mut returned = tokens.clone();
    returned.sort_unstable_by_key(|(op, _)| op.returned);
    tokens.sort_unstable_by_key(|(op, _)| op.invoked);
    let (mut returned, mut greatest) = (returned.into_iter().peekable(), None::<(Op, i64)>);
    for later in tokens {
        while let Some(earlier) = returned.next_if(|(op, _)| op.precedes(&later.0)) {
            greatest = greatest.filter(|(_, token)| *token >= earlier.1).or(Some(earlier));
        }
        if let Some(earlier) = greatest.filter(|(_, token)| *token > later.1) {
            report.violation(wrong(earlier, later, key.clone()));
        }
    }
}
