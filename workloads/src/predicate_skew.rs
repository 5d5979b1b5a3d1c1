//! Predicate skew: a group may have one row, and whoever adds it has counted none. Two who count at the same time have read
//! no row in common, only the absence of any: a database that validates rows and not what the scan covered lets both in.

use async_trait::async_trait;
use tenet_histories::{Header, Value, functions, workloads};

use crate::session::{column, int};
use crate::{Cell, Client, ClientError, Luck, Session, Trouble, Unique, Workload};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS claims (id bigint PRIMARY KEY, grp bigint NOT NULL)";
const COUNT: &str = "SELECT count(*) FROM claims WHERE grp = $1";
const FIND: &str = "SELECT id FROM claims WHERE grp = $1";
const INSERT: &str = "INSERT INTO claims (id, grp) VALUES ($1, $2)";
const DELETE: &str = "DELETE FROM claims WHERE id = $1";

#[derive(Clone, Copy, Debug)]
pub struct PredicateSkewOptions {
    pub group_count: u64,
    /// Of a hundred operations.
    pub claims_percent: u64,
    /// Of a hundred operations; the rest reads.
    pub releases_percent: u64,
}

impl PredicateSkewOptions {
    pub fn draw(luck: &mut Luck) -> PredicateSkewOptions {
        PredicateSkewOptions {
            group_count: luck.between(1, 3) as u64,
            claims_percent: luck.between(40, 60) as u64,
            releases_percent: luck.between(15, 30) as u64,
        }
    }
}

pub struct PredicateSkew {
    options: PredicateSkewOptions,
    unique: Unique,
}

impl PredicateSkew {
    pub fn new(options: PredicateSkewOptions) -> PredicateSkew {
        assert!(options.group_count > 0, "no skew without a group");
        PredicateSkew { options, unique: Unique::default() }
    }

    async fn claim(&self, session: &mut Session<'_>, group: i64) -> Result<Value, Trouble> {
        let id = self.unique.next();
        session.invoke(functions::CLAIM, group, id);
        session.begin().await?;
        let saw = count(session, group).await?;
        if saw == 0 {
            session.write(INSERT, &[id.into(), group.into()]).await?;
        }
        session.commit().await?;
        Ok(answer(saw, saw == 0))
    }

    /// Leaves a group with more than one row as it is, so that others see it too.
    async fn release(&self, session: &mut Session<'_>, group: i64) -> Result<Value, Trouble> {
        session.invoke(functions::RELEASE, group, Value::Nil);
        session.begin().await?;
        let ids = column(session.read(FIND, &[group.into()]).await?)?;
        if let [id] = &ids[..] {
            session.write(DELETE, std::slice::from_ref(id)).await?;
        }
        session.commit().await?;
        Ok(answer(ids.len() as i64, ids.len() == 1))
    }

    async fn read(&self, session: &mut Session<'_>, group: i64) -> Result<Value, Trouble> {
        session.invoke(functions::READ, group, Value::Nil);
        Ok(count(session, group).await?.into())
    }
}

async fn count(session: &mut Session<'_>, group: i64) -> Result<i64, Trouble> {
    let mut cells: Vec<Cell> = column(session.read(COUNT, &[group.into()]).await?)?;
    match (cells.pop(), cells.len()) {
        (Some(cell), 0) => int(cell),
        (_, others) => Err(Trouble::alarm(format!("count(*) in {} rows, expected one", others + 1))),
    }
}

fn answer(saw: i64, done: bool) -> Value {
    Value::map([("saw", saw.into()), ("done", done.into())])
}

#[async_trait]
impl Workload for PredicateSkew {
    fn name(&self) -> &'static str {
        workloads::PREDICATE_SKEW
    }

    fn header(&self) -> Header {
        Header { workload: self.name().to_string(), ..Header::default() }
    }

    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError> {
        client.execute(CREATE, &[]).await?;
        Ok(())
    }

    async fn step(&self, session: &mut Session<'_>) {
        let group = session.draw_key(self.options.group_count);
        let dice = session.luck.below(100);
        let end = if dice < self.options.claims_percent {
            self.claim(session, group).await
        } else if dice < self.options.claims_percent + self.options.releases_percent {
            self.release(session, group).await
        } else {
            self.read(session, group).await
        };
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        self.options.group_count as usize
    }

    async fn final_read(&self, number: usize, session: &mut Session<'_>) {
        let end = self.read(session, number as i64).await;
        session.complete(end).await;
    }
}
