//! `tenet-check FILE..`: judges histories, many at once, and tells what was found.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Args;
use tenet_checker::html::{self, Shown};
use tenet_checker::{CheckError, Finding};
use tenet_histories::{Event, History, HistoryError, What};

use crate::answer::{Answer, Judged, Outcome, table};
use crate::input::{Events, Input, NoEvent, inputs};
use crate::model::{Asked, Chosen, GLANCE_EVENTS, Judge, add_facts, choose};
use crate::watch::{NoAnswer, Signals, Watch};
use crate::{INVALID, Judging, Stopped, UNKNOWN, UNUSABLE, complain, say, write_whole};

#[derive(Args, Clone)]
pub struct CheckOptions {
    /// Histories, or folders of them; `-` is standard input
    files: Vec<PathBuf>,
    #[command(flatten)]
    judging: Judging,
    /// For machines: an object for each history, a line each
    #[arg(long)]
    json: bool,
    /// Draw the history and what was found, as one page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How many histories are judged at a time [default: as many as there are processors]
    #[arg(long, short)]
    jobs: Option<NonZeroUsize>,
}

pub fn check(options: &CheckOptions) -> Result<u8, Stopped> {
    let mut files = options.files.clone();
    if files.is_empty() {
        if std::io::stdin().is_terminal() {
            return Err("no history given: name files or folders, or `-` for standard input; see --help".into());
        }
        files.push(PathBuf::from("-"));
    }
    let inputs = inputs(&files)?;
    let count = inputs.iter().filter(|input| !matches!(input, Input::Passed(..))).count();
    if options.html.is_some() && count != 1 {
        return Err(format!("--html draws one history, and there are {count}").into());
    }
    let watch = Watch::new(&options.judging);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let job = Job {
        judging: options.judging.clone(),
        kept: options.html.is_some().then(Kept::default),
        memory: watch.memory(),
        signals: watch.signals.clone(),
    };
    let kept = job.kept.clone();
    let names: Vec<String> = inputs.iter().map(Input::name).collect();
    let jobs = options.jobs.map_or(processors, usize::from);
    let answers = watch.run(inputs, jobs, move |input| job.answer(&input));
    let answers: Vec<Answer> = answers
        .into_iter()
        .zip(names)
        .map(|(answer, name)| {
            answer.unwrap_or_else(|none| {
                let reason = match none {
                    NoAnswer::Limit(reason) => reason,
                    NoAnswer::Panic(text) => format!("the checker broke off, which is a bug: {text}"),
                };
                Answer { name, outcome: Outcome::Unknown(reason) }
            })
        })
        .collect();
    tell(&answers, options)?;
    if let (Some(path), Some(kept)) = (&options.html, &kept) {
        let drawn = answers.iter().find(|answer| !matches!(answer.outcome, Outcome::Skipped(_)));
        draw(drawn.unwrap_or(&answers[0]), &kept.history(), path)?;
    }
    let codes: Vec<u8> = answers.iter().map(Answer::code).collect();
    let gravest = [INVALID, UNUSABLE, UNKNOWN].into_iter().find(|code| codes.contains(code));
    Ok(gravest.unwrap_or(0))
}

fn tell(answers: &[Answer], options: &CheckOptions) -> Result<(), Stopped> {
    let told: Vec<&Answer> = answers.iter().filter(|answer| !matches!(answer.outcome, Outcome::Skipped(_))).collect();
    if let Some(skipped) = skipped(answers) {
        complain(&skipped);
    }
    if told.is_empty() {
        return Err("no histories in there".into());
    }
    for answer in &told {
        if let Outcome::Judged(judged) = &answer.outcome
            && let Some(truncated) = &judged.truncated
        {
            complain(&format!("{truncated}; what came before was judged"));
        }
    }
    if options.json {
        return told.iter().try_for_each(|answer| say(&format!("{}\n", answer.json())));
    }
    match told.as_slice() {
        [Answer { outcome: Outcome::Unusable(_), .. }] => {
            complain(told[0].text().trim_end().trim_start_matches("unreadable: "))
        }
        [one] => say(&one.text())?,
        several => {
            say(&table(answers))?;
            for answer in several.iter().filter(|answer| answer.code() != 0) {
                say(&format!("\n{}", answer.text()))?;
            }
        }
    }
    Ok(())
}

/// How much was not judged, and the first few of it.
fn skipped(answers: &[Answer]) -> Option<String> {
    const TOLD: usize = 5;
    let of = |answer: &Answer| match &answer.outcome {
        Outcome::Skipped(why) => Some(format!("{} ({why})", answer.name)),
        Outcome::Judged(_) | Outcome::Unknown(_) | Outcome::Unusable(_) => None,
    };
    let skipped: Vec<String> = answers.iter().filter_map(of).collect();
    let more = if skipped.len() > TOLD { ", .." } else { "" };
    let first = skipped.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    (!skipped.is_empty()).then(|| format!("not judged: {} in folders: {first}{more}", skipped.len()))
}

/// Whatever was read of the history, and what was found.
fn draw(answer: &Answer, history: &History, path: &PathBuf) -> Result<(), Stopped> {
    let (about, shown) = match &answer.outcome {
        Outcome::Judged(judged) => (judged.promise(), judged.said.shown.clone()),
        Outcome::Unknown(reason) => {
            ("not judged".to_string(), Shown::of_finding(&Finding::Unknown { reason: reason.clone() }))
        }
        Outcome::Unusable(_) | Outcome::Skipped(_) => {
            complain(&format!("{}: nothing to draw", answer.name));
            return Ok(());
        }
    };
    let page = html::page(history, &answer.name, &about, &shown)?;
    write_whole(path, |file| Ok(file.write_all(page.as_bytes())?))
}

/// What was read of a history that is wanted afterwards, also if the judge never came back.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<History>>);

impl Kept {
    pub fn history(&self) -> MutexGuard<'_, History> {
        // An event is pushed or it is not: whoever broke off left a history.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and judges.
pub struct Job {
    pub judging: Judging,
    pub kept: Option<Kept>,
    pub memory: Option<usize>,
    pub signals: Arc<Signals>,
}

impl Job {
    pub fn answer(&self, input: &Input) -> Answer {
        let outcome = match input {
            Input::Passed(_, why) => Outcome::Skipped(why.to_string()),
            _ => self.outcome(input).unwrap_or_else(|problem| match problem {
                Problem::NoHistory(found) => Outcome::Skipped(found),
                Problem::Told(problem) => Outcome::Unusable(problem),
            }),
        };
        Answer { name: input.name(), outcome }
    }

    fn outcome(&self, input: &Input) -> Result<Outcome, Problem> {
        let told = |error: HistoryError| match error {
            HistoryError::Unrecognised { found, .. } if !input.must_be_history() => Problem::NoHistory(found),
            error => Problem::Told(error.to_string()),
        };
        let source = input.open(self.judging.format, &self.signals).map_err(told)?;
        let mut events = Events::new(source, &self.signals);
        let outcome = match self.judge(&mut events, &input.name()) {
            Ok(judged) => Outcome::Judged(Box::new(judged)),
            Err(NotJudged::NoEvent(NoEvent::Error(error))) => return Err(told(error)),
            Err(NotJudged::Problem(problem)) => return Err(Problem::Told(problem)),
            Err(NotJudged::NoEvent(NoEvent::Stopped)) => {
                let reason = self.signals.reason().unwrap_or("told to stop");
                Outcome::Unknown(format!("{reason}: stopped while reading, after {} events", events.count))
            }
        };
        Ok(outcome)
    }

    fn judge(&self, events: &mut Events<'_>, name: &str) -> Result<Judged, NotJudged> {
        let header = events.source.header().clone();
        let mut history = History { header, events: events.take(GLANCE_EVENTS)? };
        if let Some(truncated) = events.truncated.as_ref().filter(|_| history.events.is_empty()) {
            return Err(NotJudged::Problem(truncated.clone()));
        }
        add_facts(&mut history, &self.judging);
        if let Some(kept) = &self.kept {
            kept.history().clone_from(&history);
        }
        let problem = |stopped: Stopped| NotJudged::Problem(stopped.to_string());
        let Chosen { model, guessed } = choose(&self.judging, &history).map_err(problem)?;
        // Only what is wrong with the event that was read last has a place in the file.
        let misread = |error: CheckError, line: Option<usize>| {
            let is_of_event = matches!(error, CheckError::Pairing(_));
            let place = line.filter(|_| is_of_event).map(|line| format!("{name}:{line}: ")).unwrap_or_default();
            NotJudged::Problem(format!("{place}cannot be read as {}: {error}", model.name))
        };
        let asked = Asked::new(model, &history.header, &self.judging, self.memory, &self.signals);
        let mut judge = Judge::new(&asked, &history.header);
        let mut operations = 0;
        let mut next = |event: &Event, line: Option<usize>| {
            operations += usize::from(matches!(event.what, What::Invoke { .. }));
            judge.push(event).map_err(|error| misread(error, line))
        };
        let glanced = std::mem::take(&mut history.events).into_iter().zip(std::mem::take(&mut events.lines));
        for (event, line) in glanced {
            next(&event, line)?;
        }
        while let Some(event) = events.next()? {
            next(&event, events.source.line())?;
            if let Some(kept) = &self.kept {
                kept.history().events.push(event);
            }
        }
        self.signals.checking(0, 0);
        let mut said = judge.finish().map_err(|error| misread(error, None))?;
        if let Some(reason) = self.signals.reason().filter(|_| said.shown.verdict == "unknown") {
            said.shown.explanation = format!("{reason}: {}", said.shown.explanation);
        }
        let truncated = events.truncated.clone();
        Ok(Judged { model, guessed, operations, said, truncated })
    }
}

enum NotJudged {
    NoEvent(NoEvent),
    Problem(String),
}

impl From<NoEvent> for NotJudged {
    fn from(none: NoEvent) -> NotJudged {
        NotJudged::NoEvent(none)
    }
}

enum Problem {
    /// A file that was found in a folder is in no format that we know; what it is instead.
    NoHistory(String),
    Told(String),
}
