//! The models that come along, by the names under which they are asked for.

mod counter;
mod etcd;
mod kv;
mod log;
mod multi_register;
mod mutex;
mod queue;
mod register;
mod set;

use std::fmt;

use tenet_histories::Value;

pub use counter::Counter;
pub use etcd::Etcd;
pub use kv::Kv;
pub use log::Log;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;
pub use queue::{FifoQueue, UnorderedQueue};
pub use register::Register;
pub use set::Set;

use super::{Collector, Model, Options, Stream};

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

/// `initial`: the value of every object at first.
pub(super) fn stream(options: &Options, initial: Value) -> Box<dyn Stream> {
    fn of<M: Model + 'static>(model: M, options: &Options) -> Box<dyn Stream> {
        Box::new(Collector::new(Box::new(model), options.pairs))
    }
    match options.kind {
        Kind::Register => of(Register::new(initial), options),
        Kind::MultiRegister => of(MultiRegister::new(initial), options),
        Kind::Mutex => of(Mutex::plain(), options),
        Kind::OwnerMutex => of(Mutex::owned(), options),
        Kind::ReentrantMutex => of(Mutex::reentrant(), options),
        Kind::FencedMutex => of(Mutex::fenced(), options),
        Kind::Queue => of(FifoQueue, options),
        Kind::UnorderedQueue => of(UnorderedQueue, options),
        Kind::Set => of(Set::default(), options),
        Kind::Counter => of(Counter::new(initial.as_int().unwrap_or(0)), options),
        Kind::Kv => of(Kv::new(initial), options),
        Kind::Log => of(Log, options),
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
