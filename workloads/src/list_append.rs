//! Lists: transactions append unique elements to a few lists and read them. A list that is read tells its whole past, so
//! that the order of the transactions can be inferred and searched for cycles (Elle's list-append).
//!
//! Lists are text (`1,5,9,`). After some appends a fresh set of keys comes into use: lists stay short, and absent rows are
//! read, inserted and conflict too.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tenet_histories::{Header, Value, functions, workloads};

use crate::session::only;
use crate::{Cell, Client, ClientError, Luck, Session, Trouble, Unique, Workload};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS lists (k bigint PRIMARY KEY, v text NOT NULL)";
const READ: &str = "SELECT v FROM lists WHERE k = $1";
const READ_ALL: &str = "SELECT k, v FROM lists";
const INSERT: &str = "INSERT INTO lists (k, v) VALUES ($1, $2)";
const WRITE: &str = "UPDATE lists SET v = $1 WHERE k = $2";
const APPEND: &str = "UPDATE lists SET v = v || $1 WHERE k = $2";

#[derive(Clone, Copy, Debug)]
pub struct ListAppendOptions {
    /// In use at one time.
    pub key_count: u64,
    /// Appends, together, after which the next set of keys comes into use.
    pub appends_per_set: u64,
    /// Per transaction.
    pub micro_operations_max: u64,
    /// Of a hundred micro-operations; the rest reads.
    pub appends_percent: u64,
    /// Of a hundred transactions: reads all lists in use with one scan, besides.
    pub scans_percent: u64,
}

impl ListAppendOptions {
    pub fn draw(luck: &mut Luck) -> ListAppendOptions {
        let key_count = luck.between(2, 5) as u64;
        ListAppendOptions {
            key_count,
            appends_per_set: key_count * luck.between(8, 40) as u64,
            micro_operations_max: luck.between(2, 5) as u64,
            appends_percent: luck.between(35, 65) as u64,
            scans_percent: luck.between(0, 15) as u64,
        }
    }
}

pub struct ListAppend {
    options: ListAppendOptions,
    unique: Unique,
    /// Appends begun so far: tells the set of keys in use.
    append_count: AtomicU64,
}

#[derive(Clone, Copy)]
enum Micro {
    /// `blind`: without reading first.
    Append {
        key: i64,
        element: i64,
        blind: bool,
    },
    Read {
        key: i64,
    },
    /// All keys of the set that begins there.
    Scan {
        first: i64,
    },
}

impl ListAppend {
    pub fn new(options: ListAppendOptions) -> ListAppend {
        assert!(options.key_count > 0 && options.appends_per_set > 0 && options.micro_operations_max > 0);
        ListAppend { options, unique: Unique::default(), append_count: AtomicU64::new(0) }
    }

    /// The first key in use.
    fn first_key(&self) -> i64 {
        let set = self.append_count.load(Ordering::Relaxed) / self.options.appends_per_set;
        (set * self.options.key_count) as i64
    }

    fn draw(&self, session: &mut Session<'_>) -> Vec<Micro> {
        let first = self.first_key();
        let met = session.draw_key(self.options.key_count);
        let luck = &mut *session.luck;
        let count = 1 + luck.below(self.options.micro_operations_max);
        let mut micros: Vec<Micro> = (0..count)
            .map(|number| {
                let key = first + if number == 0 { met } else { luck.below(self.options.key_count) as i64 };
                if !luck.chance(self.options.appends_percent) {
                    return Micro::Read { key };
                }
                self.append_count.fetch_add(1, Ordering::Relaxed);
                Micro::Append { key, element: self.unique.next(), blind: luck.chance(30) }
            })
            .collect();
        if luck.chance(self.options.scans_percent) {
            let place = luck.below(count + 1) as usize;
            micros.insert(place, Micro::Scan { first });
        }
        micros
    }

    async fn transaction(&self, session: &mut Session<'_>, micros: &[Micro]) -> Result<Value, Trouble> {
        // A lone statement may be its own transaction; an append that reads first is not one statement.
        let alone = matches!(micros, [Micro::Read { .. } | Micro::Scan { .. }]) && session.luck.chance(50);
        let nothing_read: Vec<Value> = micros.iter().flat_map(|micro| self.record(micro, None)).collect();
        session.invoke(functions::TRANSACTION, Value::Nil, Value::List(nothing_read));
        if !alone {
            session.begin().await?;
        }
        let mut record = Vec::new();
        for micro in micros {
            let read = match *micro {
                Micro::Append { key, element, blind } => {
                    append(session, key, element, blind).await?;
                    None
                }
                Micro::Read { key } => {
                    let text = only(session.read(READ, &[key.into()]).await?)?;
                    Some(vec![(key, elements(text)?)])
                }
                Micro::Scan { .. } => Some(lists(session.read(READ_ALL, &[]).await?)?),
            };
            record.extend(self.record(micro, read.as_deref()));
        }
        if !alone {
            session.commit().await?;
        }
        Ok(Value::List(record))
    }

    /// As it stands in a history; a scan is a read of each list in use.
    fn record(&self, micro: &Micro, read: Option<&[(i64, Vec<i64>)]>) -> Vec<Value> {
        let read_of = |key: i64| {
            let list = match read {
                None => Value::Nil,
                // An absent row is an empty list.
                Some(lists) => lists.iter().find(|(k, _)| *k == key).map_or(vec![], |(_, list)| list.clone()).into(),
            };
            Value::List(vec![functions::MICRO_READ.into(), key.into(), list])
        };
        match *micro {
            Micro::Append { key, element, .. } => {
                vec![Value::List(vec![functions::MICRO_APPEND.into(), key.into(), element.into()])]
            }
            Micro::Read { key } => vec![read_of(key)],
            Micro::Scan { first } => (first..first + self.options.key_count as i64).map(read_of).collect(),
        }
    }
}

async fn append(session: &mut Session<'_>, key: i64, element: i64, blind: bool) -> Result<(), Trouble> {
    let text = format!("{element},");
    if blind {
        if session.write(APPEND, &[text.as_str().into(), key.into()]).await? == 1 {
            return Ok(());
        }
        session.write(INSERT, &[key.into(), text.into()]).await?;
        return Ok(());
    }
    match only(session.read(READ, &[key.into()]).await?)? {
        Some(Cell::Text(before)) => session.write(WRITE, &[(before + &text).into(), key.into()]).await?,
        Some(other) => return Err(Trouble::alarm(format!("list {key} is {other:?}, expected text"))),
        None => session.write(INSERT, &[key.into(), text.into()]).await?,
    };
    Ok(())
}

fn elements(text: Option<Cell>) -> Result<Vec<i64>, Trouble> {
    match text {
        None => Ok(Vec::new()),
        Some(Cell::Text(text)) => text
            .split_terminator(',')
            .map(|element| element.parse().map_err(|_| Trouble::alarm(format!("a list {text:?}, expected numbers"))))
            .collect(),
        Some(other) => Err(Trouble::alarm(format!("a list {other:?}, expected text"))),
    }
}

fn lists(rows: Vec<Vec<Cell>>) -> Result<Vec<(i64, Vec<i64>)>, Trouble> {
    rows.into_iter()
        .map(|row| match <[Cell; 2]>::try_from(row) {
            Ok([Cell::Int(key), text]) => Ok((key, elements(Some(text))?)),
            other => Err(Trouble::alarm(format!("a row {other:?}, expected an integer and a text"))),
        })
        .collect()
}

#[async_trait]
impl Workload for ListAppend {
    fn name(&self) -> &'static str {
        workloads::LIST_APPEND
    }

    fn header(&self) -> Header {
        Header { workload: self.name().to_string(), ..Header::default() }
    }

    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError> {
        client.execute(CREATE, &[]).await?;
        Ok(())
    }

    async fn step(&self, session: &mut Session<'_>) {
        let micros = self.draw(session);
        let end = self.transaction(session, &micros).await;
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        self.first_key() as usize / self.options.key_count as usize + 1
    }

    /// One set of keys.
    async fn final_read(&self, number: usize, session: &mut Session<'_>) {
        let first = (number as u64 * self.options.key_count) as i64;
        let end = self.transaction(session, &[Micro::Scan { first }]).await;
        session.complete(end).await;
    }
}
