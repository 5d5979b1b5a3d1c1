//! Registers: a few rows that are read, written, and compared and set, each statement a transaction of its own or a block.
//! Judged key by key by linearizability.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tenet_histories::{Header, Value, functions, workloads};

use crate::session::{int, only};
use crate::{Cell, Client, ClientError, Luck, Session, Trouble, Unique, Workload};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS registers (k bigint PRIMARY KEY, v bigint NOT NULL)";
const INSERT: &str = "INSERT INTO registers (k, v) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const READ: &str = "SELECT v FROM registers WHERE k = $1";
const WRITE: &str = "UPDATE registers SET v = $1 WHERE k = $2";
const COMPARE_AND_SET: &str = "UPDATE registers SET v = $1 WHERE k = $2 AND v = $3";

/// The first value of every key; never written again (W4).
const INITIAL: i64 = 0;

#[derive(Clone, Copy, Debug)]
pub struct RegisterOptions {
    pub key_count: u64,
    /// Of a hundred operations.
    pub reads_percent: u64,
    /// Of a hundred operations; the rest compares and sets.
    pub writes_percent: u64,
    /// Of a hundred operations: run in a block instead of alone.
    pub blocks_percent: u64,
}

impl RegisterOptions {
    pub fn draw(luck: &mut Luck) -> RegisterOptions {
        RegisterOptions {
            key_count: luck.between(1, 4) as u64,
            reads_percent: luck.between(30, 60) as u64,
            writes_percent: luck.between(10, 30) as u64,
            blocks_percent: luck.between(0, 40) as u64,
        }
    }
}

pub struct Register {
    options: RegisterOptions,
    unique: Unique,
    /// The value last seen per key, by anybody: comparing with it succeeds now and then.
    seen: Mutex<BTreeMap<i64, i64>>,
}

impl Register {
    pub fn new(options: RegisterOptions) -> Register {
        assert!(options.key_count > 0, "no register without a key");
        Register { options, unique: Unique::default(), seen: Mutex::default() }
    }

    fn note(&self, key: i64, value: i64) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }

    fn seen(&self, key: i64) -> i64 {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&key).unwrap_or(&INITIAL)
    }

    async fn read(&self, session: &mut Session<'_>, key: i64, block: bool) -> Result<Value, Trouble> {
        session.invoke(functions::READ, key, Value::Nil);
        if block {
            session.begin().await?;
        }
        let rows = session.read(READ, &[key.into()]).await?;
        if block {
            session.commit().await?;
        }
        let Some(cell) = only(rows)? else { return Ok(Value::Nil) };
        let value = int(cell)?;
        self.note(key, value);
        Ok(value.into())
    }

    async fn write(&self, session: &mut Session<'_>, key: i64, block: bool) -> Result<Value, Trouble> {
        let value = self.unique.next();
        session.invoke(functions::WRITE, key, value);
        if block {
            session.begin().await?;
        }
        let affected = session.write(WRITE, &[value.into(), key.into()]).await?;
        if block {
            session.commit().await?;
        }
        if affected != 1 {
            return Err(Trouble::alarm(format!("UPDATE of register {key} touched {affected} rows, expected 1")));
        }
        self.note(key, value);
        Ok(Value::Nil)
    }

    async fn compare_and_set(&self, session: &mut Session<'_>, key: i64, block: bool) -> Result<Value, Trouble> {
        let (from, to) = (self.seen(key), self.unique.next());
        session.invoke(functions::COMPARE_AND_SET, key, vec![from, to]);
        let done = if block {
            session.begin().await?;
            let is_from = only(session.read(READ, &[key.into()]).await?)? == Some(Cell::Int(from));
            if is_from {
                session.write(WRITE, &[to.into(), key.into()]).await?;
            }
            session.commit().await?;
            is_from
        } else {
            match session.write(COMPARE_AND_SET, &[to.into(), key.into(), from.into()]).await? {
                0 => false,
                1 => true,
                rows => return Err(Trouble::alarm(format!("UPDATE of register {key} touched {rows} rows"))),
            }
        };
        if done {
            self.note(key, to);
        }
        Ok(done.into())
    }
}

#[async_trait]
impl Workload for Register {
    fn name(&self) -> &'static str {
        workloads::REGISTER
    }

    fn header(&self) -> Header {
        Header { workload: self.name().to_string(), facts: [("initial".to_string(), INITIAL.into())].into() }
    }

    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError> {
        client.execute(CREATE, &[]).await?;
        for key in 0..self.options.key_count as i64 {
            client.execute(INSERT, &[key.into(), INITIAL.into()]).await?;
        }
        Ok(())
    }

    async fn step(&self, session: &mut Session<'_>) {
        let key = session.draw_key(self.options.key_count);
        let block = session.luck.chance(self.options.blocks_percent);
        let dice = session.luck.below(100);
        let end = if dice < self.options.reads_percent {
            self.read(session, key, block).await
        } else if dice < self.options.reads_percent + self.options.writes_percent {
            self.write(session, key, block).await
        } else {
            self.compare_and_set(session, key, block).await
        };
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        self.options.key_count as usize
    }

    async fn final_read(&self, number: usize, session: &mut Session<'_>) {
        let end = self.read(session, number as i64, false).await;
        session.complete(end).await;
    }
}
