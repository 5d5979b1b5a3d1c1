//! A server of one node that knows just the statements of the register workload, and a client to it: for tests of worlds that
//! must not depend on the real server. One lock, one log of sectors, a sync before each answer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tenet_seam::{Address, File, Open, Seam, Stream};
use tenet_workloads::{Cell, Client, ClientError, Param, Rows};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::world::{Cast, NodeSettings, Refusal};

const SECTOR: usize = 512;

/// How the stand-in may be broken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// It answers before its sync.
    EarlyAnswers,
    /// It ends itself after a while.
    Quits,
}

struct Registers {
    rows: BTreeMap<i64, i64>,
    file: Arc<dyn File>,
    records: u64,
}

pub(super) fn cast(flaw: Flaw) -> Cast {
    Cast {
        program: Arc::new(move |seam, settings| Box::pin(start(seam, settings, flaw))),
        clients: Arc::new(|seam, nodes, first, _| Box::new(StandInClient { seam, nodes, next: first, stream: None })),
    }
}

async fn start(seam: Seam, settings: NodeSettings, flaw: Flaw) -> Result<(), Refusal> {
    let refuse = |error: io::Error| Refusal::Other(error.to_string());
    let disk = seam.disk.clone();
    let registers = seam.blocking(move || {
        let fresh = !disk.exists("log")?;
        let file = disk.open("log", if fresh { Open::New } else { Open::Existing })?;
        disk.sync_dir("")?;
        let mut registers = Registers { rows: BTreeMap::new(), file, records: 0 };
        let mut sector = [0; SECTOR];
        while registers.file.read_at(registers.records * SECTOR as u64, &mut sector).is_ok() {
            let number = |at: usize| i64::from_le_bytes(sector[at..at + 8].try_into().unwrap());
            if number(16) != !number(0) ^ number(8) {
                break;
            }
            registers.rows.insert(number(0), number(8));
            registers.records += 1;
        }
        Ok(registers)
    });
    let registers = Arc::new(Mutex::new(registers.await.map_err(refuse)?));
    let listener = seam.net.listen(&settings.sql).await.map_err(refuse)?;
    let serving = seam.clone();
    seam.spawn("accept", async move {
        while let Ok((stream, _)) = listener.accept().await {
            serving.spawn("session", serve(serving.clone(), stream, registers.clone(), flaw));
        }
    });
    if flaw == Flaw::Quits {
        let quitting = seam.clone();
        seam.spawn("quits", async move {
            quitting.sleep(std::time::Duration::from_secs(9)).await;
            quitting.halt("for no reason".to_string()).await;
        });
    }
    Ok(())
}

async fn serve(seam: Seam, stream: Stream, registers: Arc<Mutex<Registers>>, flaw: Flaw) {
    let mut stream = BufReader::new(stream);
    let mut block: Option<OwnedMutexGuard<Registers>> = None;
    let mut written = Vec::new();
    let mut line = String::new();
    loop {
        // A block whose client was lost must not be held for ever.
        let patience = std::time::Duration::from_secs(if block.is_some() { 1 } else { 3_600 });
        let Ok(Ok(1..)) = seam.timeout(patience, stream.read_line(&mut line)).await else { return };
        let words: Vec<String> = serde_json::from_str(&line).unwrap();
        line.clear();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        let mut answer: Vec<i64> = Vec::new(); // the count, then what was read
        let mut alone = match &block {
            Some(_) => None,
            None => Some(registers.clone().lock_owned().await),
        };
        let mut ends = alone.is_some() || words[0] == "COMMIT";
        let state = block.as_mut().or(alone.as_mut()).unwrap();
        let present = |state: &Registers, written: &[(i64, i64)], key: i64| {
            written.iter().rev().find(|(k, _)| *k == key).map(|(_, v)| *v).or(state.rows.get(&key).copied())
        };
        match words[0].as_str() {
            "BEGIN" => {
                block = alone.take();
                ends = false;
            }
            "ROLLBACK" => written.clear(),
            "COMMIT" => {}
            sql if sql.starts_with("CREATE") => {}
            sql if sql.starts_with("INSERT") && present(state, &written, number(1)).is_some() => {}
            sql if sql.starts_with("INSERT") => written.push((number(1), number(2))),
            sql if sql.starts_with("SELECT") => answer.extend(present(state, &written, number(1))),
            sql if sql.starts_with("UPDATE") => {
                let there = present(state, &written, number(2));
                if there.is_some() && (words.len() < 4 || there == Some(number(3))) {
                    written.push((number(2), number(1)));
                    answer.push(1);
                }
            }
            other => panic!("the stand-in does not know {other}"),
        }
        if ends && !written.is_empty() {
            let state = if words[0] == "COMMIT" { block.as_mut() } else { alone.as_mut() }.unwrap();
            let (file, offset) = (state.file.clone(), state.records * SECTOR as u64);
            state.records += written.len() as u64;
            state.rows.extend(written.iter().copied());
            let mut bytes = vec![0; written.len() * SECTOR];
            for (sector, (key, value)) in bytes.chunks_mut(SECTOR).zip(written.drain(..)) {
                sector[0..8].copy_from_slice(&i64::to_le_bytes(key));
                sector[8..16].copy_from_slice(&i64::to_le_bytes(value));
                sector[16..24].copy_from_slice(&i64::to_le_bytes(!key ^ value));
            }
            let early = flaw == Flaw::EarlyAnswers;
            let done = seam.blocking(move || {
                file.write_at(offset, &bytes)?;
                if early { Ok(()) } else { file.sync() }
            });
            if let Err(error) = done.await {
                seam.halt(format!("the log: {error}")).await;
            }
        }
        if matches!(words[0].as_str(), "COMMIT" | "ROLLBACK") {
            block = None;
        }
        drop(alone);
        let reply = serde_json::to_string(&answer).unwrap() + "\n";
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct StandInClient {
    seam: Seam,
    nodes: Vec<Address>,
    next: usize,
    stream: Option<BufReader<Stream>>,
}

#[async_trait]
impl Client for StandInClient {
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        let Some(stream) = &mut self.stream else { return Err(ClientError::lost("not connected", false)) };
        let params = params.iter().map(|param| match param {
            Cell::Int(int) => int.to_string(),
            other => panic!("{other:?}"),
        });
        let words: Vec<String> = [sql.to_string()].into_iter().chain(params).collect();
        let result: io::Result<String> = async {
            stream.write_all((serde_json::to_string(&words)? + "\n").as_bytes()).await?;
            let mut line = String::new();
            match stream.read_line(&mut line).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(line),
            }
        }
        .await;
        let line = result.map_err(|error| {
            self.stream = None;
            ClientError::lost(error.to_string(), true)
        })?;
        let numbers: Vec<i64> = serde_json::from_str(&line).unwrap();
        if sql.starts_with("SELECT") {
            return Ok(Rows {
                affected: numbers.len() as u64,
                rows: numbers.into_iter().map(|n| vec![Cell::Int(n)]).collect(),
            });
        }
        Ok(Rows { rows: Vec::new(), affected: numbers.len() as u64 })
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.stream = None;
        let address = self.nodes[self.next % self.nodes.len()].clone();
        self.next += 1;
        let connected: BoxFuture<'static, io::Result<Stream>> = self.seam.net.connect(&address);
        let stream = connected.await.map_err(|error| ClientError::lost(error.to_string(), false))?;
        self.stream = Some(BufReader::new(stream));
        Ok(())
    }
}
