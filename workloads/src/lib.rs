//! What clients do to a database to find out whether it lies: six workloads over plain SQL.
//!
//! A workload speaks to a [`Client`], takes luck and time from outside and writes what it saw into a recorder. So the bank
//! that runs on three real processes is the bank that runs in the simulator, and a client that lies (`controls`) can stand
//! between any workload and any database.
//!
//! Invariants
//!  W1  An operation is recorded before its first statement is sent and completed after its last answer.
//!  W2  An operation that failed has no effect: whatever may have reached the server as COMMIT, or as a write of its own,
//!      is *unknown* unless the server says otherwise. One table decides (`outcome`).
//!  W3  No operation is ever retried: a second try is another operation.
//!  W4  Values that are written are unique within their table, so that a read says which write it saw.
//!  W5  No clock, no thread, no runtime, no luck of its own: the same answers in the same order give the same statements.

mod client;
pub mod controls;
mod luck;
mod outcome;
mod run;
mod session;

mod bank;
mod list_append;
mod predicate_skew;
mod register;
mod tenants;
mod write_skew;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use tenet_checker::{CheckError, Judgement};
use tenet_histories::{Header, History};

pub use bank::{Bank, BankOptions};
pub use client::{Cell, Client, ClientError, Param, Rows};
pub use list_append::{ListAppend, ListAppendOptions};
pub use luck::Luck;
pub use outcome::{Class, RULES, Rule, Stage, Treatment, classify, ends_connection};
pub use predicate_skew::{PredicateSkew, PredicateSkewOptions};
pub use register::{Register, RegisterOptions};
pub use run::{Pace, ProcessReport, Run, RunError, RunOptions, Stop, Surroundings};
pub use session::{Session, Trouble};
pub use tenants::{Tenants, TenantsOptions};
pub use write_skew::{WriteSkew, WriteSkewOptions};

use tenet_histories::workloads;

/// Every workload's name, for options and swarms.
pub const NAMES: [&str; 6] = [
    workloads::REGISTER,
    workloads::BANK,
    workloads::LIST_APPEND,
    workloads::WRITE_SKEW,
    workloads::PREDICATE_SKEW,
    workloads::TENANTS,
];

/// Something for clients to do, and how to judge it.
#[async_trait]
pub trait Workload: Send + Sync {
    /// One of [`NAMES`].
    fn name(&self) -> &'static str;

    /// For the history: the name, and the facts that the oracles need.
    fn header(&self) -> Header;

    /// Makes tables and rows. May be called again if it failed half-way.
    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError>;

    /// One operation: one invocation and one completion on the session.
    async fn step(&self, session: &mut Session<'_>);

    /// How many operations read everything that there is, at the end of a run.
    fn final_reads(&self) -> usize;

    /// One of them, from 0.
    async fn final_read(&self, number: usize, session: &mut Session<'_>);

    /// What the oracles of this workload say.
    fn check(&self, history: &History) -> Result<Judgement, CheckError> {
        tenet_checker::judge(history)
    }
}

/// The workload of that name with options drawn from `luck` (small ones: few keys, much contention). None if there is none.
pub fn draw(name: &str, luck: &mut Luck) -> Option<Arc<dyn Workload>> {
    Some(match name {
        workloads::REGISTER => Arc::new(Register::new(RegisterOptions::draw(luck))),
        workloads::BANK => Arc::new(Bank::new(BankOptions::draw(luck))),
        workloads::LIST_APPEND => Arc::new(ListAppend::new(ListAppendOptions::draw(luck))),
        workloads::WRITE_SKEW => Arc::new(WriteSkew::new(WriteSkewOptions::draw(luck))),
        workloads::PREDICATE_SKEW => Arc::new(PredicateSkew::new(PredicateSkewOptions::draw(luck))),
        workloads::TENANTS => Arc::new(Tenants::new(TenantsOptions::draw(luck))),
        _ => return None,
    })
}

/// Numbers that are given once (W4), from 1.
#[derive(Default)]
struct Unique(AtomicI64);

impl Unique {
    fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
