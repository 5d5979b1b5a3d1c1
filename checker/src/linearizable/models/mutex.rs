//! A lock, by key, in the forms that Jepsen tests.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | acquire | nothing, or `{"client": who}` | it is held now; answers a fencing token, or nothing | may be held from some moment on |
//! | release | nothing, or `{"client": who}` | it is held once less | may be released |
//!
//! *plain*: anybody may release. *owned*: only who holds it may; who that is says the `client` of the value, else the
//! process. *reentrant*: who holds it may acquire it again, and must release it as often. *fenced*: owned, and each
//! acquisition that answers a token answers a greater one than all before. Failed: never happened (also a refusal).

use tenet_histories::Value;

use crate::CheckError;
use crate::linearizable::model::{Asked, Model};

pub struct Mutex {
    is_owned: bool,
    is_reentrant: bool,
    is_fenced: bool,
}

impl Mutex {
    pub fn plain() -> Mutex {
        Mutex { is_owned: false, is_reentrant: false, is_fenced: false }
    }

    pub fn owned() -> Mutex {
        Mutex { is_owned: true, ..Mutex::plain() }
    }

    pub fn reentrant() -> Mutex {
        Mutex { is_reentrant: true, ..Mutex::owned() }
    }

    pub fn fenced() -> Mutex {
        Mutex { is_fenced: true, ..Mutex::owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// With the token, where one was answered.
    Acquire(Owner, Option<i64>),
    Release(Owner),
}

/// Nil for a lock without owners.
pub type Owner = Value;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub holder: Option<Owner>,
    /// How often it is held.
    pub depth: u32,
    /// The greatest that was answered.
    pub token: Option<i64>,
}

impl Model for Mutex {
    type State = State;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        let owner = match asked.value.field("client") {
            _ if !self.is_owned => Value::Nil,
            Some(client) => client.clone(),
            None => i64::from(asked.process.0).into(),
        };
        calls.push(match asked.function {
            "acquire" => {
                let token = asked.answer.as_int().filter(|_| self.is_fenced && asked.is_ok());
                Call::Acquire(owner, token)
            }
            "release" => Call::Release(owner),
            _ => return Err(asked.stranger("acquire or release")),
        });
        Ok(())
    }

    fn initial(&self) -> State {
        State::default()
    }

    fn step(&self, state: &State, call: &Call, next: &mut Vec<State>) {
        match call {
            Call::Acquire(owner, token) => {
                let is_free = state.holder.is_none();
                let is_again = self.is_reentrant && state.holder.as_ref() == Some(owner);
                let is_greater = token.is_none_or(|token| state.token.is_none_or(|last| last < token));
                if (is_free || is_again) && is_greater {
                    let (holder, token) = (Some(owner.clone()), token.or(state.token));
                    next.push(State { holder, depth: state.depth + 1, token });
                }
            }
            Call::Release(owner) if state.holder.as_ref() == Some(owner) => {
                let depth = state.depth - 1;
                next.push(State { holder: state.holder.clone().filter(|_| depth > 0), depth, token: state.token });
            }
            Call::Release(_) => {}
        }
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Acquire(_, Some(token)) => format!("acquired the lock with token {token}"),
            Call::Acquire(_, None) => "acquired the lock".to_string(),
            Call::Release(_) => "released the lock".to_string(),
        }
    }

    fn was(&self, state: &State) -> String {
        let holder = match &state.holder {
            None => "the lock was free".to_string(),
            Some(Value::Nil) => "the lock was held".to_string(),
            Some(owner) if state.depth > 1 => format!("the lock was held {} times by {owner}", state.depth),
            Some(owner) => format!("the lock was held by {owner}"),
        };
        let token = state.token.map(|token| format!(", the last token was {token}")).unwrap_or_default();
        holder + &token
    }
}
