//! One script, asked wherever the engine runs, and what Postgres answers to it.
//!
//! A node that is a process and a node in a simulated world are each asked `statements.sql` over a stream of bytes, by a client
//! that is as plain as can be. Both must give the same: what PostgreSQL 15 gave (`postgres.txt`), but for the differences that
//! are written down, each with both answers, in `differences.snap`.
//!
//! Values are compared as text, columns by name and type oid, errors by SQLSTATE (the messages are ours), notices too. Rows that
//! no ORDER BY puts in order are sorted.

use std::fmt::Write as _;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const STATEMENTS: &str = include_str!("statements.sql");
const POSTGRES: &str = include_str!("postgres.txt");
const PROTOCOL_3: i32 = 196_608;

/// A statement and the lines of its answer.
pub type Answer = (String, Vec<String>);

/// One client of the server.
pub struct Conversation<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// An error also if the server does not want it (yet).
    pub async fn open(stream: S, database: &str) -> io::Result<Conversation<S>> {
        let mut conversation = Conversation { stream };
        let parameters = [b"user\0postgres\0database\0", database.as_bytes(), b"\0\0"].concat();
        let hello = [&PROTOCOL_3.to_be_bytes()[..], &parameters].concat();
        conversation.send(None, &hello).await?;
        conversation.until_ready(false).await?;
        Ok(conversation)
    }

    /// Asks all statements of a database that has nothing in it yet.
    pub async fn ask(&mut self) -> io::Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for statement in paragraphs(STATEMENTS) {
            self.send(Some(b'Q'), &[statement.as_bytes(), b"\0"].concat()).await?;
            let in_order = statement.rsplit(')').next().is_some_and(|end| end.contains("ORDER BY"));
            answers.push((statement, self.until_ready(in_order).await?));
        }
        Ok(answers)
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = i32::try_from(body.len()).unwrap() + 4;
        let message = [kind.as_slice(), &length.to_be_bytes(), body].concat();
        self.stream.write_all(&message).await?;
        self.stream.flush().await
    }

    /// What the server says until it is ready, as lines.
    async fn until_ready(&mut self, in_order: bool) -> io::Result<Vec<String>> {
        let (mut lines, mut head, mut rows) = (Vec::new(), None, Vec::new());
        loop {
            let kind = self.stream.read_u8().await?;
            let length = self.stream.read_i32().await?;
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.stream.read_exact(&mut body).await?;
            let mut body = Body(&body);
            match kind {
                b'T' => head = Some(body.columns()),
                b'D' => rows.push(format!("  {}", body.cells())),
                b'C' => {
                    if !in_order {
                        rows.sort();
                    }
                    lines.extend(head.take());
                    lines.append(&mut rows);
                    lines.push(body.string());
                }
                b'I' => lines.push("(nothing)".to_owned()),
                // How many rows came before the error is nobody's promise.
                b'E' => {
                    (head, rows) = (None, Vec::new());
                    lines.push(format!("ERROR {}", body.field(b'C')));
                }
                b'N' => lines.push(format!("{} {}", body.clone().field(b'S'), body.field(b'C'))),
                b'Z' => {
                    match body.0 {
                        b"I" => {}
                        b"T" => lines.push("(open)".to_owned()),
                        b"E" => lines.push("(failed)".to_owned()),
                        other => panic!("a transaction is {other:?}"),
                    }
                    return Ok(lines);
                }
                b'R' | b'K' | b'S' => {}
                other => panic!("not expected here: {}", char::from(other)),
            }
        }
    }
}

/// They are those of Postgres, but for the differences that are known.
pub fn check(answers: &[Answer]) {
    let differences = differences(answers);
    insta::with_settings!({ snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("differences", differences);
    });
}

fn differences(answers: &[Answer]) -> String {
    let expected: Vec<(String, Vec<&str>)> = POSTGRES
        .trim()
        .split("\n\n> ")
        .map(|answer| {
            let (statement, lines) = answer.split_once("\n  ").expect("an answer has lines");
            (statement.trim_start_matches("> ").to_owned(), lines.split("\n  ").collect())
        })
        .collect();
    let asked = |all: &[Answer]| all.iter().map(|(statement, _)| statement.clone()).collect::<Vec<_>>();
    let recorded: Vec<String> = expected.iter().map(|(statement, _)| statement.clone()).collect();
    assert_eq!(asked(answers), recorded, "postgres.txt answers other statements");
    let mut out = String::new();
    for ((statement, ours), (_, theirs)) in answers.iter().zip(&expected) {
        if ours != theirs {
            writeln!(out, "> {statement}").unwrap();
            for (who, lines) in [("we", ours.join("\n  ")), ("Postgres", theirs.join("\n  "))] {
                writeln!(out, " {who}:\n  {lines}").unwrap();
            }
            out.push('\n');
        }
    }
    out
}

/// Without comments.
fn paragraphs(script: &str) -> Vec<String> {
    let code = |paragraph: &str| {
        let lines: Vec<&str> = paragraph.lines().filter(|line| !line.starts_with("--")).collect();
        lines.join("\n")
    };
    script.trim().split("\n\n").map(code).filter(|statement| !statement.is_empty()).collect()
}

/// What is left of a message.
#[derive(Clone)]
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn short(&mut self) -> usize {
        u16::from_be_bytes(self.take(2).try_into().unwrap()).into()
    }

    fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn string(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).expect("strings end with a zero");
        let text = String::from_utf8(self.take(end).to_vec()).unwrap();
        self.take(1);
        text
    }

    fn columns(&mut self) -> String {
        let columns = (0..self.short()).map(|_| {
            let name = self.string();
            // Table and column.
            self.take(6);
            let oid = self.int();
            // Length, modifier, format.
            self.take(8);
            format!("{name}:{oid}")
        });
        columns.collect::<Vec<_>>().join(" | ")
    }

    fn cells(&mut self) -> String {
        let cells = (0..self.short()).map(|_| match usize::try_from(self.int()) {
            Ok(length) => String::from_utf8(self.take(length).to_vec()).unwrap(),
            Err(_) => "∅".to_owned(),
        });
        cells.collect::<Vec<_>>().join(" | ")
    }

    fn field(&mut self, wanted: u8) -> String {
        loop {
            let kind = self.take(1)[0];
            assert_ne!(kind, 0, "no such field");
            let text = self.string();
            if kind == wanted {
                return text;
            }
        }
    }
}
