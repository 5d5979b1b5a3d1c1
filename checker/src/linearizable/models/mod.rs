//! The models that come along, by the names under which they are asked for.

mod counter;
mod kv;
mod log;
mod multi_register;
mod mutex;
mod queue;
mod register;
mod set;

use std::fmt;

use tenet_histories::{History, Value};

pub use counter::Counter;
pub use kv::Kv;
pub use log::Log;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;
pub use queue::{FifoQueue, UnorderedQueue};
pub use register::Register;
pub use set::Set;

use super::{Options, Report, check_by};
use crate::CheckError;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// read, write, cas.
    #[default]
    Register,
    /// txn of reads and writes of several keys.
    MultiRegister,
    /// acquire, release, by anybody.
    Mutex,
    /// Only the holder releases.
    OwnerMutex,
    /// The holder may acquire again.
    ReentrantMutex,
    /// Acquiring answers a token that grows.
    FencedMutex,
    /// enqueue, dequeue, drain: first in, first out.
    Queue,
    /// In any order.
    UnorderedQueue,
    /// add, read of all.
    Set,
    /// add, inc, dec, read.
    Counter,
    /// get, put, append of texts.
    Kv,
    /// append, read of all or of one place.
    Log,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Register,
        Kind::MultiRegister,
        Kind::Mutex,
        Kind::OwnerMutex,
        Kind::ReentrantMutex,
        Kind::FencedMutex,
        Kind::Queue,
        Kind::UnorderedQueue,
        Kind::Set,
        Kind::Counter,
        Kind::Kv,
        Kind::Log,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::MultiRegister => "multi-register",
            Kind::Mutex => "mutex",
            Kind::OwnerMutex => "owner-mutex",
            Kind::ReentrantMutex => "reentrant-mutex",
            Kind::FencedMutex => "fenced-mutex",
            Kind::Queue => "queue",
            Kind::UnorderedQueue => "unordered-queue",
            Kind::Set => "set",
            Kind::Counter => "counter",
            Kind::Kv => "kv",
            Kind::Log => "log",
        }
    }

    /// By its name; `cas-register` is a register.
    pub fn named(name: &str) -> Option<Kind> {
        if name == "cas-register" {
            return Some(Kind::Register);
        }
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

pub(super) fn check(history: &History, options: &Options, initial: Option<Value>) -> Result<Report, CheckError> {
    let value = initial.unwrap_or_default();
    match options.kind {
        Kind::Register => check_by(&Register::new(value), history, options),
        Kind::MultiRegister => check_by(&MultiRegister::new(value), history, options),
        Kind::Mutex => check_by(&Mutex::plain(), history, options),
        Kind::OwnerMutex => check_by(&Mutex::owned(), history, options),
        Kind::ReentrantMutex => check_by(&Mutex::reentrant(), history, options),
        Kind::FencedMutex => check_by(&Mutex::fenced(), history, options),
        Kind::Queue => check_by(&FifoQueue, history, options),
        Kind::UnorderedQueue => check_by(&UnorderedQueue, history, options),
        Kind::Set => check_by(&Set, history, options),
        Kind::Counter => check_by(&Counter::new(value.as_int().unwrap_or(0)), history, options),
        Kind::Kv => check_by(&Kv::new(value), history, options),
        Kind::Log => check_by(&Log, history, options),
    }
}

/// `[1, 2, 3, .. (7 more)]`.
fn list_text<'v>(values: impl ExactSizeIterator<Item = &'v Value>) -> String {
    const TOLD: usize = 8;
    let more = values.len().saturating_sub(TOLD);
    let mut texts: Vec<String> = values.take(TOLD).map(Value::to_string).collect();
    if more > 0 {
        texts.push(format!(".. ({more} more)"));
    }
    format!("[{}]", texts.join(", "))
}
