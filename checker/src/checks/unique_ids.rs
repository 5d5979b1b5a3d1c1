//! Check `unique-ids`: nobody is given an identifier that was given before.
//!
//! | function | ok | fail, unknown |
//! |---|---|---|
//! | generate | answers the identifier, anything but nil | says nothing: what nobody was given cannot collide |
//!
//! Identifiers are unique per key. As Jepsen's `unique-ids`.

use std::collections::HashMap;
use std::fmt;

use tenet_histories::Value;

use super::{Check, Done, Of, Op, PerKey, Report};
use crate::{CheckError, Oracle};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenAgain {
    pub key: Value,
    pub id: Value,
    pub first: Op,
    pub second: Op,
}

impl super::Violation for GivenAgain {
    fn name(&self) -> &'static str {
        "given-again"
    }

    fn operations(&self) -> Vec<usize> {
        vec![self.first.number, self.second.number]
    }
}

impl fmt::Display for GivenAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GivenAgain { key, id, first, second } = self;
        write!(f, "{second} was given {id}{}, which {first} had been given", Of(key))
    }
}

pub struct UniqueIds {
    given: PerKey<HashMap<Value, Op>>,
    report: Report<GivenAgain>,
}

impl Default for UniqueIds {
    fn default() -> UniqueIds {
        UniqueIds { given: PerKey::default(), report: Report::new(Oracle::UniqueIds) }
    }
}

impl Check for UniqueIds {
    type Violation = GivenAgain;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        if done.function() != "generate" {
            return Err(done.stranger("generate"));
        }
        if !done.is_ok() {
            return Ok(());
        }
        if done.answer.is_nil() {
            return Err(done.misshapen(done.answer, "an identifier"));
        }
        self.report.count("identifiers", 1);
        let given = self.given.of(&done.call.key);
        if let Some(first) = given.get(done.answer) {
            let (key, id) = (done.call.key.clone(), done.answer.clone());
            self.report.violation(GivenAgain { key, id, first: *first, second: done.op });
        } else {
            given.insert(done.answer.clone(), done.op);
        }
        Ok(())
    }

    fn finish(self) -> Report<GivenAgain> {
        self.report
    }
}
