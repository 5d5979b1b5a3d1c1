//! What an error means for an operation, and how clients come back: against a client that does as a script says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::model::executor::{self, Time};
use async_trait::async_trait;
use futures::future::BoxFuture;
use tenet_histories::{Header, Outcome, Process, What};
use tenet_workloads::{
    Cell, Class, Client, ClientError, Luck, Pace, Param, ProcessReport, RULES, Rows, Run, RunError, RunOptions,
    Session, Stage, Surroundings, Treatment, Trouble, Workload, classify,
};

#[derive(Clone)]
enum Answer {
    /// One row was touched.
    Done,
    /// No row was.
    Nothing,
    Cell(Cell),
    Error(ClientError),
    Silence,
}

use Answer::{Done, Nothing, Silence};

fn server(sqlstate: &str) -> Answer {
    Answer::Error(ClientError::server(sqlstate, "because"))
}

fn lost(sent: bool) -> Answer {
    Answer::Error(ClientError::lost("reset", sent))
}

/// Answers as told; after that everything is well. Keeps what it was asked.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn new(answers: &[Answer]) -> Scripted {
        Scripted { answers: Arc::new(Mutex::new(answers.iter().cloned().collect())), ..Scripted::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(&self, asked: &str) -> Result<Rows, ClientError> {
        self.asked.lock().unwrap().push(asked.to_string());
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.unwrap_or(Done) {
            Done => Ok(Rows { rows: Vec::new(), affected: 1 }),
            Nothing => Ok(Rows::default()),
            Answer::Cell(cell) => Ok(Rows { rows: vec![vec![cell]], affected: 1 }),
            Answer::Error(error) => Err(error),
            Silence => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Client for Scripted {
    async fn execute(&mut self, sql: &str, _: &[Param]) -> Result<Rows, ClientError> {
        self.answer(sql).await
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.answer("reconnect").await.map(|_| ())
    }
}

/// What the operation of a step does.
#[derive(Clone, Copy)]
enum Does {
    Read,
    Write,
    BlockThatReads,
    BlockThatWrites,
    Nonsense,
}

struct Scene(Does);

impl Scene {
    async fn operate(&self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self.0 {
            Does::Read => drop(session.read("READ", &[]).await?),
            Does::Write => drop(session.write("WRITE", &[]).await?),
            Does::BlockThatReads => {
                session.begin().await?;
                session.read("READ", &[]).await?;
                session.commit().await?;
            }
            Does::BlockThatWrites => {
                session.begin().await?;
                session.read("READ", &[]).await?;
                session.write("WRITE", &[]).await?;
                session.commit().await?;
            }
            Does::Nonsense => {
                session.begin().await?;
                return Err(Trouble::alarm("two rows for one key"));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Workload for Scene {
    fn name(&self) -> &'static str {
        "scene"
    }

    fn header(&self) -> Header {
        Header::default()
    }

    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError> {
        client.execute("CREATE", &[]).await.map(|_| ())
    }

    async fn step(&self, session: &mut Session<'_>) {
        session.invoke("operate", 1, 2);
        let end = self.operate(session).await.map(|()| 3.into());
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        2
    }

    async fn final_read(&self, _: usize, session: &mut Session<'_>) {
        self.step(session).await;
    }
}

struct Played {
    report: ProcessReport,
    outcomes: Vec<Outcome>,
    asked: Vec<String>,
    alarms: Vec<String>,
    timestamps: Vec<(Option<u64>, Option<u64>)>,
    time: Time,
}

fn run_of(does: Does, timestamps: bool) -> (Run, Time) {
    let time = Time::default();
    let options = RunOptions { patience: Duration::from_secs(1), timestamps };
    (Run::new(Arc::new(Scene(does)), Arc::new(time.clone()), options), time)
}

fn alone<T>(time: &Time, future: BoxFuture<'_, T>) -> T {
    executor::run(time, &mut Luck::from_seed(1), vec![future]).pop().unwrap()
}

fn play(does: Does, answers: &[Answer], operations: u64, timestamps: bool) -> Played {
    let (run, time) = run_of(does, timestamps);
    let mut client = Scripted::new(answers);
    let mut luck = Luck::from_seed(7);
    let pace = Pace { operations_max: Some(operations), ..Pace::per_second(0.0) };
    let asked = client.clone();
    let report = alone(&time, Box::pin(run.process(Process(0), &mut client, &mut luck, pace)));
    let history = run.recorder.history();
    let mut played =
        Played { report, outcomes: vec![], asked: asked.asked(), alarms: vec![], timestamps: vec![], time };
    for event in history.events {
        match event.what {
            What::Complete { completion, .. } => {
                played.outcomes.push(completion.outcome);
                played.timestamps.push((completion.read_timestamp, completion.commit_timestamp));
            }
            What::Alarm(alarm) => played.alarms.push(alarm.message),
            What::Invoke { .. } | What::Fault(_) | What::Phase { .. } => {}
        }
    }
    played
}

/// The outcome of the first operation if its statement number `place` is answered so, and what was asked from there on.
fn outcome(does: Does, place: usize, answer: Answer) -> (Outcome, Vec<String>) {
    let mut answers = vec![Done; place + 1];
    answers.push(answer);
    let played = play(does, &answers, 1, false);
    (played.outcomes[0], played.asked[place + 1..].to_vec())
}

#[test]
fn classes_are_as_the_issue_says() {
    let class = |error: ClientError, stage| classify(&error, stage);
    for stage in [Stage::BeforeCommit, Stage::Commit] {
        for refusal in ["40001", "57P03", "53300", "53000", "57014", "40P01"] {
            assert_eq!(class(ClientError::server(refusal, ""), stage), Class::Fail, "{refusal}");
        }
        for alarm in ["25P02", "XX000", "XX001", "23505", "3D000", "42P01", "0A000", "54000", "58030", "40003", "?"] {
            assert_eq!(class(ClientError::server(alarm, ""), stage), Class::Alarm, "{alarm}");
        }
        assert_eq!(class(ClientError { lost: false, ..ClientError::lost("", true) }, stage), Class::Alarm);
    }
    assert_eq!(class(ClientError::server("08007", ""), Stage::Commit), Class::Unknown);
    assert_eq!(class(ClientError::server("08007", ""), Stage::BeforeCommit), Class::Fail);
    for ends in ["57P01", "57P02", "08006"] {
        let error = |sent| ClientError { lost: true, sent, ..ClientError::server(ends, "") };
        assert_eq!(class(error(true), Stage::Commit), Class::Unknown);
        assert_eq!(class(error(false), Stage::Commit), Class::Fail);
        assert_eq!(class(error(true), Stage::BeforeCommit), Class::Fail);
    }
    assert_eq!(class(ClientError::lost("", true), Stage::Commit), Class::Unknown);
    assert_eq!(class(ClientError::lost("", false), Stage::Commit), Class::Fail);
    assert_eq!(class(ClientError::lost("", true), Stage::BeforeCommit), Class::Fail);
    // A refusal with the connection closed after it is still a refusal.
    assert_eq!(class(ClientError { lost: true, ..ClientError::server("57P03", "") }, Stage::Commit), Class::Fail);
}

#[test]
fn each_sqlstate_has_one_rule_with_a_reason() {
    for (number, rule) in RULES.iter().enumerate() {
        assert_eq!(rule.sqlstate.len(), 5);
        assert!(!rule.reason.is_empty());
        assert!(RULES[..number].iter().all(|other| other.sqlstate != rule.sqlstate), "{} twice", rule.sqlstate);
    }
    let undecided: Vec<&str> =
        RULES.iter().filter(|rule| rule.treatment == Treatment::Undecided).map(|rule| rule.sqlstate).collect();
    assert_eq!(undecided, ["08007"]);
}

#[test]
fn only_what_could_commit_is_unknown() {
    let unknown = [server("08007"), lost(true), Silence];
    for answer in unknown {
        let is = |does, place| outcome(does, place, answer.clone()).0;
        assert_eq!(is(Does::Read, 0), Outcome::Fail);
        assert_eq!(is(Does::Write, 0), Outcome::Unknown);
        assert_eq!(is(Does::BlockThatReads, 1), Outcome::Fail);
        assert_eq!(is(Does::BlockThatReads, 2), Outcome::Fail, "COMMIT of a block that wrote nothing");
        for place in 0..3 {
            assert_eq!(is(Does::BlockThatWrites, place), Outcome::Fail, "statement {place}");
        }
        assert_eq!(is(Does::BlockThatWrites, 3), Outcome::Unknown, "COMMIT");
    }
    for place in 0..4 {
        assert_eq!(outcome(Does::BlockThatWrites, place, server("40001")).0, Outcome::Fail);
        assert_eq!(outcome(Does::BlockThatWrites, place, lost(false)).0, Outcome::Fail);
    }
}

#[test]
fn a_failed_block_is_rolled_back_and_never_committed() {
    let (outcome_1, asked) = outcome(Does::BlockThatWrites, 1, server("40001"));
    assert_eq!((outcome_1, asked), (Outcome::Fail, vec!["READ".to_string(), "ROLLBACK".to_string()]));
    // A COMMIT that failed has left the block.
    let (_, asked) = outcome(Does::BlockThatWrites, 3, server("40001"));
    assert_eq!(asked, ["COMMIT"]);
    // BEGIN that failed has begun none.
    let (_, asked) = outcome(Does::BlockThatWrites, 0, server("57P03"));
    assert_eq!(asked, ["BEGIN"]);
    // On a lost connection there is nothing to roll back; another operation gets another connection.
    let played = play(Does::BlockThatReads, &[Done, Done, lost(true)], 2, false);
    assert_eq!(played.asked, ["reconnect", "BEGIN", "READ", "reconnect", "BEGIN", "READ", "COMMIT"]);
    assert_eq!(played.outcomes, [Outcome::Fail, Outcome::Ok]);
    assert_eq!(played.report, ProcessReport { operations: 2, connections: 2, alarmed: false });
    // A shutdown ends the connection, whether or not the client noticed.
    let played = play(Does::Write, &[Done, server("57P01")], 2, false);
    assert_eq!(played.asked, ["reconnect", "WRITE", "reconnect", "WRITE"]);
    assert_eq!(played.outcomes, [Outcome::Unknown, Outcome::Ok]);
    // A block that cannot be left is dropped with its connection.
    let answers = [Done, Done, server("40001"), server("57P03")];
    let played = play(Does::BlockThatReads, &answers, 2, false);
    assert_eq!(played.asked[1..5], ["BEGIN", "READ", "ROLLBACK", "reconnect"]);
}

#[test]
fn silence_ends_with_patience() {
    let played = play(Does::Write, &[Done, Silence], 2, false);
    assert_eq!(played.outcomes, [Outcome::Unknown, Outcome::Ok]);
    assert_eq!(played.asked, ["reconnect", "WRITE", "reconnect", "WRITE"]);
    assert!((1_000_000_000..1_100_000_000).contains(&played.time.now_ns()));
    // Also while connecting.
    let played = play(Does::Write, &[Silence], 1, false);
    assert_eq!(played.asked, ["reconnect", "reconnect", "WRITE"]);
}

#[test]
fn an_alarm_is_recorded_and_ends_the_process() {
    let played = play(Does::Write, &[Done, server("XX000")], 5, false);
    assert_eq!(played.report, ProcessReport { operations: 1, connections: 1, alarmed: true });
    assert_eq!(played.outcomes, [Outcome::Unknown]);
    assert_eq!(played.alarms, ["because: WRITE"]);
    let played = play(Does::Nonsense, &[], 5, false);
    assert_eq!((played.outcomes, played.alarms), (vec![Outcome::Unknown], vec!["two rows for one key".to_string()]));
    assert_eq!(played.asked.last().unwrap(), "ROLLBACK");
    // The database is gone: no reason to knock for ever.
    let played = play(Does::Write, &[server("3D000")], 5, false);
    assert_eq!(played.alarms, ["cannot connect: because"]);
    assert_eq!(played.report, ProcessReport { operations: 0, connections: 0, alarmed: true });
}

#[test]
fn timestamps_are_asked_for_where_they_mean_something() {
    let stamp = |text: &str| Answer::Cell(text.into());
    let played = play(Does::Read, &[Done, Done, stamp("41")], 1, true);
    assert_eq!(played.asked, ["reconnect", "READ", "SHOW tenet.read_timestamp"]);
    assert_eq!(played.timestamps, [(Some(41), None)]);
    let played = play(Does::Write, &[Done, Done, Answer::Cell(42.into())], 1, true);
    assert_eq!(played.asked, ["reconnect", "WRITE", "SHOW tenet.last_commit_timestamp"]);
    assert_eq!(played.timestamps, [(None, Some(42))]);
    let answers = [Done, Done, Done, Done, stamp("41"), Done, stamp("42")];
    let played = play(Does::BlockThatWrites, &answers, 1, true);
    assert_eq!(played.timestamps, [(Some(41), Some(42))]);
    // A write that touched nothing has committed nothing; what the server would say is of an older commit.
    let played = play(Does::Write, &[Done, Nothing], 1, true);
    assert_eq!(played.asked, ["reconnect", "WRITE"]);
    let played = play(Does::BlockThatWrites, &[Done, Done, Done, Nothing, stamp("41")], 1, true);
    assert_eq!((played.timestamps, played.asked.last().unwrap().as_str()), (vec![(Some(41), None)], "COMMIT"));
    // An error before COMMIT has failed the block; one after it has not undone the commit.
    let answers = [Done, Done, Done, Done, server("57014")];
    let played = play(Does::BlockThatWrites, &answers, 1, true);
    assert_eq!(played.outcomes, [Outcome::Fail]);
    assert_eq!(played.asked[4..], ["SHOW tenet.read_timestamp", "ROLLBACK"]);
    let answers = [Done, Done, Done, Done, stamp("41"), Done, lost(true)];
    let played = play(Does::BlockThatWrites, &answers, 1, true);
    assert_eq!((played.outcomes, played.timestamps), (vec![Outcome::Ok], vec![(Some(41), None)]));
}

#[test]
fn set_up_is_patient_but_not_with_alarms() {
    let set_up = |answers: &[Answer], within| {
        let (run, time) = run_of(Does::Read, false);
        let mut client = Scripted::new(answers);
        let asked = client.clone();
        let mut luck = Luck::from_seed(7);
        let result = alone(&time, Box::pin(run.set_up(&mut client, &mut luck, within)));
        (result, asked.asked())
    };
    let minute = Duration::from_secs(60);
    let (result, asked) = set_up(&[lost(false), Done, server("57P03"), lost(true), Done, Silence, Done, Done], minute);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(asked.join(" "), "reconnect reconnect CREATE CREATE reconnect CREATE reconnect CREATE");
    let (result, _) = set_up(&[Done, server("0A000")], minute);
    assert_eq!(result.unwrap_err().to_string(), "could not set up workload scene in time: 0A000: because");
    let (result, asked) = set_up(&vec![lost(false); 1000], Duration::from_secs(5));
    assert!(matches!(result, Err(RunError::SetUp { .. })), "{result:?}");
    assert!((6..20).contains(&asked.len()), "it backs off: {}", asked.len());
}

#[test]
fn finish_asks_until_everything_was_read() {
    let finish = |answers: &[Answer]| {
        let (run, time) = run_of(Does::Read, false);
        let mut client = Scripted::new(answers);
        let asked = client.clone();
        let mut luck = Luck::from_seed(7);
        let within = Duration::from_secs(5);
        let result = alone(&time, Box::pin(run.finish(Process(0), &mut client, &mut luck, within)));
        (result, asked.asked().join(" "))
    };
    let (result, asked) = finish(&[Done, server("40001"), Done, lost(true), Done, Done]);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(asked, "reconnect READ READ READ reconnect READ");
    let (result, _) = finish(&vec![server("57P03"); 10_000]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "could not read the end state of workload scene in time: 0 of 2 reads were answered"
    );
}

#[test]
fn pace_is_kept_and_ends() {
    let (run, time) = run_of(Does::Read, false);
    let mut client = Scripted::default();
    let mut luck = Luck::from_seed(7);
    let pace = Pace { until_ns: Some(20_000_000_000), ..Pace::per_second(20.0) };
    let report = alone(&time, Box::pin(run.process(Process(0), &mut client, &mut luck, pace)));
    assert!((350..450).contains(&report.operations), "{}", report.operations);
    assert!((20_000_000_000..20_300_000_000).contains(&time.now_ns()), "{}", time.now_ns());
    run.stop.stop();
    let report = alone(&time, Box::pin(run.process(Process(0), &mut client, &mut luck, Pace::per_second(1.0))));
    assert_eq!(report.operations, 0);
}

#[test]
fn a_large_crowd_does_not_meet_all_at_once() {
    // Begins at the same nanosecond, by clients of one pace, each with luck of its own.
    let crowds = |clients: usize| {
        let mut starts: BTreeMap<u64, usize> = BTreeMap::new();
        let mut operations = 0;
        for client in 0..clients {
            let (run, time) = run_of(Does::Read, false);
            let pace = Pace { until_ns: Some(100_000_000_000), ..Pace::per_second(10.0) }.among(clients);
            let mut scripted = Scripted::default();
            let mut luck = Luck::from_seed(client as u64);
            alone(&time, Box::pin(run.process(Process(client as u32), &mut scripted, &mut luck, pace)));
            for event in run.recorder.history().events {
                if matches!(event.what, What::Invoke { .. }) {
                    *starts.entry(event.time_ns).or_default() += 1;
                    operations += 1;
                }
            }
        }
        let met: Vec<usize> = starts.into_values().filter(|count| *count > 1).collect();
        (
            operations,
            met.iter().sum::<usize>() as f64 / met.len() as f64,
            met.iter().filter(|count| **count > 2).count(),
        )
    };
    for clients in [3, 8, 40] {
        let (operations, mean, of_three) = crowds(clients);
        assert!((900..1_100).contains(&(operations / clients)), "{clients} clients: {operations} operations");
        assert!(
            mean < 3.5 && of_three > 20,
            "{clients} clients: {mean} come to a meeting, three or more {of_three} times"
        );
    }
}
