//! Tenants: databases that are made, used and dropped while others use them. Each has one row, and the row's value is what a name
//! stands for; a name without a database stands for nil. Judged name by name by linearizability: a value seen under another name
//! was written by nobody, a database that outlives its DROP shows an old value, one that is lost shows nil.
//!
//! ```text
//!   nil ──create: CREATE DATABASE, CREATE TABLE, INSERT──▶ v ──set: UPDATE──▶ w ──drop: DROP DATABASE──▶ nil
//! ```
//! Every operation connects anew, and only then counts on what it finds: who is connected may stay in a database that is dropped, as
//! if his operation came before it. A creation takes effect with its row; that a database without one exists says nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tenet_histories::{Header, Value, functions, workloads};

use crate::session::{int, only};
use crate::{Client, ClientError, Luck, Session, Trouble, Unique, Workload};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS mark (k bigint PRIMARY KEY, v bigint NOT NULL)";
const INSERT: &str = "INSERT INTO mark (k, v) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const READ: &str = "SELECT v FROM mark WHERE k = $1";
const WRITE: &str = "UPDATE mark SET v = $1 WHERE k = $2";

/// The only row.
const ROW: i64 = 0;

/// What the absence of a database, or of its table, is called, and the presence of a database.
const ABSENT: &[&str] = &["3D000", "42P01"];
const PRESENT: &[&str] = &["42P04"];

#[derive(Clone, Copy, Debug)]
pub struct TenantsOptions {
    pub name_count: u64,
    /// Of a hundred operations.
    pub reads_percent: u64,
    /// Of a hundred operations on a name that seems to have a database; the rest sets. Where there seems to be none, all but reads
    /// create.
    pub drops_percent: u64,
    /// Of a hundred operations, how many are what they would not be by what seems.
    pub surprises_percent: u64,
}

impl TenantsOptions {
    pub fn draw(luck: &mut Luck) -> TenantsOptions {
        TenantsOptions {
            name_count: luck.between(1, 3) as u64,
            reads_percent: luck.between(40, 60) as u64,
            drops_percent: luck.between(5, 20) as u64,
            surprises_percent: luck.between(0, 5) as u64,
        }
    }
}

pub struct Tenants {
    options: TenantsOptions,
    unique: Unique,
    /// The names that had a database when last somebody looked.
    seen: Mutex<BTreeSet<String>>,
}

impl Tenants {
    pub fn new(options: TenantsOptions) -> Tenants {
        assert!(options.name_count > 0, "no tenant without a name");
        Tenants { options, unique: Unique::default(), seen: Mutex::default() }
    }

    fn note(&self, name: &str, present: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if present {
            seen.insert(name.to_string())
        } else {
            seen.remove(name)
        };
    }

    fn seems_present(&self, name: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    async fn read(&self, session: &mut Session<'_>, name: &str) -> Result<Value, Trouble> {
        session.invoke(functions::READ, name, Value::Nil);
        let rows = async {
            session.enter(name).await?;
            session.read(READ, &[ROW.into()]).await
        };
        let value = match rows.await {
            Ok(rows) => only(rows)?.map(int).transpose()?,
            Err(trouble) if trouble.says(ABSENT) => None,
            Err(trouble) => return Err(trouble),
        };
        self.note(name, value.is_some());
        Ok(value.map(Value::from).unwrap_or_default())
    }

    async fn set(&self, session: &mut Session<'_>, name: &str) -> Result<Value, Trouble> {
        let value = self.unique.next();
        session.invoke(functions::WRITE, name, value);
        let affected = async {
            session.enter(name).await?;
            session.write(WRITE, &[value.into(), ROW.into()]).await
        };
        match affected.await.map_err(|trouble| trouble.refused_by(ABSENT))? {
            0 => Err(Trouble::refused("there is no row")),
            1 => Ok(Value::Nil),
            rows => Err(Trouble::alarm(format!("UPDATE of one row of {name} touched {rows}"))),
        }
    }

    async fn create(&self, session: &mut Session<'_>, name: &str) -> Result<Value, Trouble> {
        let value = self.unique.next();
        session.invoke(functions::WRITE, name, value);
        session.go_home().await?;
        // It tells nobody anything until there is a row.
        match session.prepare(&format!("CREATE DATABASE {name}")).await {
            // Perhaps without a row: who made it may have ended half-way.
            Err(trouble) if trouble.says(PRESENT) => {}
            made => made?,
        }
        let affected = async {
            session.enter(name).await?;
            session.prepare(CREATE).await?;
            session.write(INSERT, &[ROW.into(), value.into()]).await
        };
        let affected = affected.await.map_err(|trouble| trouble.refused_by(ABSENT))?;
        self.note(name, true);
        if affected == 0 { Err(Trouble::refused("another row was there first")) } else { Ok(Value::Nil) }
    }

    async fn drop(&self, session: &mut Session<'_>, name: &str) -> Result<Value, Trouble> {
        session.invoke(functions::WRITE, name, Value::Nil);
        session.go_home().await?;
        let end = session.write(&format!("DROP DATABASE {name}"), &[]).await;
        self.note(name, false);
        end.map(|_| Value::Nil).map_err(|trouble| trouble.refused_by(ABSENT))
    }
}

fn name(number: i64) -> String {
    format!("tenant{number}")
}

#[async_trait]
impl Workload for Tenants {
    fn name(&self) -> &'static str {
        workloads::TENANTS
    }

    fn header(&self) -> Header {
        Header { workload: self.name().to_string(), facts: [("initial".to_string(), Value::Nil)].into() }
    }

    async fn setup(&self, _: &mut dyn Client) -> Result<(), ClientError> {
        Ok(())
    }

    async fn step(&self, session: &mut Session<'_>) {
        session.without_timestamps();
        let name = name(session.draw_key(self.options.name_count));
        let TenantsOptions { reads_percent, drops_percent, surprises_percent, .. } = self.options;
        let present = self.seems_present(&name) != session.luck.chance(surprises_percent);
        let dice = session.luck.below(100);
        let end = if dice < reads_percent {
            self.read(session, &name).await
        } else if !present {
            self.create(session, &name).await
        } else if dice < reads_percent + drops_percent {
            self.drop(session, &name).await
        } else {
            self.set(session, &name).await
        };
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        self.options.name_count as usize
    }

    async fn final_read(&self, number: usize, session: &mut Session<'_>) {
        session.without_timestamps();
        let end = self.read(session, &name(number as i64)).await;
        session.complete(end).await;
    }
}
