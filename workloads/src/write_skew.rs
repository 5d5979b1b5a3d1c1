//! Write skew: pairs of switches of which one must stay on. Whoever turns one off has read both; two who do so at the same
//! time, each with the other's switch, break the rule unless transactions are serializable.

use async_trait::async_trait;
use tenet_histories::{Header, Value, functions, workloads};

use crate::session::only;
use crate::{Cell, Client, ClientError, Luck, Session, Trouble, Workload};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS switches \
    (pair bigint, side bigint, is_on boolean NOT NULL, PRIMARY KEY (pair, side))";
const INSERT: &str = "INSERT INTO switches (pair, side, is_on) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const READ: &str = "SELECT is_on FROM switches WHERE pair = $1 AND side = $2";
const READ_PAIR: &str = "SELECT side, is_on FROM switches WHERE pair = $1";
const WRITE: &str = "UPDATE switches SET is_on = $1 WHERE pair = $2 AND side = $3";

#[derive(Clone, Copy, Debug)]
pub struct WriteSkewOptions {
    pub pair_count: u64,
    /// Of a hundred operations.
    pub turn_off_percent: u64,
    /// Of a hundred operations; the rest reads.
    pub turn_on_percent: u64,
}

impl WriteSkewOptions {
    pub fn draw(luck: &mut Luck) -> WriteSkewOptions {
        WriteSkewOptions {
            pair_count: luck.between(1, 3) as u64,
            turn_off_percent: luck.between(40, 60) as u64,
            turn_on_percent: luck.between(15, 30) as u64,
        }
    }
}

pub struct WriteSkew {
    options: WriteSkewOptions,
}

impl WriteSkew {
    pub fn new(options: WriteSkewOptions) -> WriteSkew {
        assert!(options.pair_count > 0, "no skew without a pair");
        WriteSkew { options }
    }

    async fn turn_off(&self, session: &mut Session<'_>, pair: i64) -> Result<Value, Trouble> {
        let side = session.luck.below(2) as i64;
        session.invoke(functions::TURN_OFF, pair, side);
        session.begin().await?;
        let saw = look(session, pair).await?;
        let done = saw == [true, true];
        if done {
            session.write(WRITE, &[false.into(), pair.into(), side.into()]).await?;
        }
        session.commit().await?;
        Ok(answer(saw, done))
    }

    /// Leaves a broken pair broken, so that others see it too.
    async fn turn_on(&self, session: &mut Session<'_>, pair: i64) -> Result<Value, Trouble> {
        session.invoke(functions::TURN_ON, pair, Value::Nil);
        session.begin().await?;
        let saw = look(session, pair).await?;
        let done = saw[0] != saw[1];
        if done {
            let side = i64::from(saw[0]);
            session.write(WRITE, &[true.into(), pair.into(), side.into()]).await?;
        }
        session.commit().await?;
        Ok(answer(saw, done))
    }

    async fn read(&self, session: &mut Session<'_>, pair: i64) -> Result<Value, Trouble> {
        session.invoke(functions::READ, pair, Value::Nil);
        let saw = both(session.read(READ_PAIR, &[pair.into()]).await?)?;
        Ok(saw.to_vec().into())
    }
}

/// Both sides: with a scan of the pair, or one by one.
async fn look(session: &mut Session<'_>, pair: i64) -> Result<[bool; 2], Trouble> {
    if session.luck.chance(50) {
        return both(session.read(READ_PAIR, &[pair.into()]).await?);
    }
    let mut saw = [false; 2];
    for (side, is_on) in saw.iter_mut().enumerate() {
        match only(session.read(READ, &[pair.into(), (side as i64).into()]).await?)? {
            Some(Cell::Bool(bool)) => *is_on = bool,
            other => return Err(Trouble::alarm(format!("side {side} of pair {pair} is {other:?}, expected a bool"))),
        }
    }
    Ok(saw)
}

fn both(mut rows: Vec<Vec<Cell>>) -> Result<[bool; 2], Trouble> {
    rows.sort_by_key(|row| row.first() != Some(&Cell::Int(0)));
    match &rows[..] {
        [first, second] => match (&first[..], &second[..]) {
            ([Cell::Int(0), Cell::Bool(first)], [Cell::Int(1), Cell::Bool(second)]) => Ok([*first, *second]),
            _ => Err(Trouble::alarm(format!("a pair {rows:?}, expected sides 0 and 1"))),
        },
        _ => Err(Trouble::alarm(format!("a pair of {} sides", rows.len()))),
    }
}

fn answer(saw: [bool; 2], done: bool) -> Value {
    Value::map([("saw", saw.to_vec().into()), ("done", done.into())])
}

#[async_trait]
impl Workload for WriteSkew {
    fn name(&self) -> &'static str {
        workloads::WRITE_SKEW
    }

    fn header(&self) -> Header {
        Header { workload: self.name().to_string(), ..Header::default() }
    }

    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError> {
        client.execute(CREATE, &[]).await?;
        for pair in 0..self.options.pair_count as i64 {
            for side in 0..2_i64 {
                client.execute(INSERT, &[pair.into(), side.into(), true.into()]).await?;
            }
        }
        Ok(())
    }

    async fn step(&self, session: &mut Session<'_>) {
        let pair = session.draw_key(self.options.pair_count);
        let dice = session.luck.below(100);
        let end = if dice < self.options.turn_off_percent {
            self.turn_off(session, pair).await
        } else if dice < self.options.turn_off_percent + self.options.turn_on_percent {
            self.turn_on(session, pair).await
        } else {
            self.read(session, pair).await
        };
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        self.options.pair_count as usize
    }

    async fn final_read(&self, number: usize, session: &mut Session<'_>) {
        let end = self.read(session, number as i64).await;
        session.complete(end).await;
    }
}
