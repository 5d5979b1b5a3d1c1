//! Check `bank-total`: transfers move money and make none, so that every read of all accounts sums to the same total.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | read | - | answers all balances: `[[account, balance], ..]` or a map | says nothing |
//! | transfer | `{"from", "to", "amount"}` | nothing to judge | nothing to judge |
//!
//! Whatever transfers did or did not take effect, the total stands. If it is not told, reads must agree with one another.
//! Nobody owes anything either, unless that is allowed: a transfer looks at the balance before it takes. As Jepsen's `bank`.

use std::fmt;

use tenet_histories::{Header, Value, functions};

use super::{Check, Done, Op, Report, fact_bool};
use crate::{CheckError, Oracle};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// All money. None: what the first read says.
    pub total: Option<i128>,
    pub negative_allowed: bool,
    /// None: as many as a read likes, if they sum to the total.
    pub accounts: Option<Vec<Value>>,
}

impl Options {
    /// Facts `total` (or Jepsen's `total-amount`), `negative-balances`, `accounts`.
    pub fn of(header: &Header) -> Options {
        let facts = &header.facts;
        let total = facts.get("total").or(facts.get("total-amount")).and_then(Value::as_int).map(i128::from);
        let accounts = facts.get("accounts").and_then(Value::as_list).map(<[Value]>::to_vec);
        Options { total, negative_allowed: fact_bool(header, "negative-balances"), accounts }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// `earlier`: the read that the total is known from, if nobody told it.
    Total {
        read: Op,
        answer: Value,
        sum: i128,
        total: i128,
        earlier: Option<Op>,
    },
    Negative {
        read: Op,
        answer: Value,
        account: Value,
        balance: i64,
    },
    NoBalance {
        read: Op,
        answer: Value,
        account: Value,
    },
    /// An account that there is not.
    Stranger {
        read: Op,
        answer: Value,
        account: Value,
    },
    Missing {
        read: Op,
        answer: Value,
        account: Value,
    },
}

impl Wrong {
    fn read(&self) -> &Op {
        match self {
            Wrong::Total { read, .. }
            | Wrong::Negative { read, .. }
            | Wrong::NoBalance { read, .. }
            | Wrong::Stranger { read, .. }
            | Wrong::Missing { read, .. } => read,
        }
    }
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::Total { .. } => "wrong-total",
            Wrong::Negative { .. } => "negative-balance",
            Wrong::NoBalance { .. } => "no-balance",
            Wrong::Stranger { .. } => "unexpected-account",
            Wrong::Missing { .. } => "missing-account",
        }
    }

    fn operations(&self) -> Vec<usize> {
        let earlier = match self {
            Wrong::Total { earlier: Some(earlier), .. } => Some(earlier.number),
            _ => None,
        };
        earlier.into_iter().chain([self.read().number]).collect()
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = self.read();
        match self {
            Wrong::Total { answer, sum, total, earlier: None, .. } => {
                write!(f, "{read} read {answer}, together {sum}, expected {total}")
            }
            Wrong::Total { answer, sum, total, earlier: Some(earlier), .. } => {
                write!(f, "{read} read {answer}, together {sum}, but {earlier} read {total} together")
            }
            Wrong::Negative { answer, account, balance, .. } => {
                let owed = balance.unsigned_abs();
                write!(
                    f,
                    "{read} read {answer}: account {account} owes {owed}, though no transfer takes more than there is"
                )
            }
            Wrong::NoBalance { answer, account, .. } => {
                write!(f, "{read} read {answer}: account {account} has no balance")
            }
            Wrong::Stranger { answer, account, .. } => write!(f, "{read} read {answer}: there is no account {account}"),
            Wrong::Missing { answer, account, .. } => write!(f, "{read} read {answer}, without account {account}"),
        }
    }
}

pub struct Bank {
    options: Options,
    /// Where the total is known from, if nobody told it.
    first: Option<(i128, Op)>,
    report: Report<Wrong>,
}

impl Bank {
    pub fn new(options: Options) -> Bank {
        Bank { options, first: None, report: Report::new(Oracle::BankTotal) }
    }
}

impl Check for Bank {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        match done.function() {
            functions::READ if done.is_ok() => self.on_read(done),
            functions::READ => Ok(()),
            functions::TRANSFER => {
                let is_whole = |name| done.call.value.field(name).is_some();
                if !["from", "to", "amount"].into_iter().all(is_whole) {
                    return Err(done.misshapen(&done.call.value, "a map with from, to and amount"));
                }
                self.report.count("transfers", u64::from(done.is_ok()));
                Ok(())
            }
            _ => Err(done.stranger("read or transfer")),
        }
    }

    fn finish(self) -> Report<Wrong> {
        let order = ["unexpected-account", "no-balance", "wrong-total", "missing-account", "negative-balance"];
        self.report.sorted(&order)
    }
}

impl Bank {
    fn on_read(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        self.report.count("reads", 1);
        let (read, answer) = (done.op, done.answer);
        let balances = balances(done)?;
        let mut sum: i128 = 0;
        for (account, balance) in &balances {
            let (answer, account) = (|| answer.clone(), || (*account).clone());
            match balance {
                Value::Nil => self.report.violation(Wrong::NoBalance { read, answer: answer(), account: account() }),
                balance => {
                    let balance = done.int(balance, EXPECTED)?;
                    sum += i128::from(balance);
                    if balance < 0 && !self.options.negative_allowed {
                        let (answer, account) = (answer(), account());
                        self.report.violation(Wrong::Negative { read, answer, account, balance });
                    }
                }
            }
        }
        if let Some(accounts) = &self.options.accounts {
            for (account, _) in balances.iter().filter(|(account, _)| !accounts.contains(account)) {
                self.report.violation(Wrong::Stranger { read, answer: answer.clone(), account: (*account).clone() });
            }
            for account in accounts.iter().filter(|account| !balances.iter().any(|(there, _)| there == account)) {
                self.report.violation(Wrong::Missing { read, answer: answer.clone(), account: account.clone() });
            }
        }
        if balances.iter().any(|(_, balance)| balance.is_nil()) {
            return Ok(());
        }
        let (total, earlier) = match self.options.total {
            Some(total) => (total, None),
            None => {
                let (total, first) = *self.first.get_or_insert((sum, read));
                (total, Some(first))
            }
        };
        if sum != total {
            self.report.violation(Wrong::Total { read, answer: answer.clone(), sum, total, earlier });
        }
        Ok(())
    }
}

const EXPECTED: &str = "[[account, balance], ..] or {account: balance, ..}, balances integers";

fn balances<'e>(done: &Done<'e>) -> Result<Vec<(&'e Value, &'e Value)>, CheckError> {
    let wrong = || done.misshapen(done.answer, EXPECTED);
    match done.answer {
        Value::Map(map) => Ok(map.iter().collect()),
        Value::List(list) => list
            .iter()
            .map(|pair| match pair.as_list() {
                Some([account, balance]) => Ok((account, balance)),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}
