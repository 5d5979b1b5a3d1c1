//! `tenet-check FILE..`: judges histories, many at once, and tells what was found.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tenet_checker::{CheckError, html};
use tenet_histories::{Event, History, HistoryError, What};

use crate::answer::{Answer, Judged, Outcome, table};
use crate::input::{Events, Input, NoEvent, inputs};
use crate::model::{Asked, GLANCE_EVENTS, Judge, add_facts, choose};
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
    jobs: Option<usize>,
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
    if options.html.is_some() && inputs.len() != 1 {
        return Err(format!("--html draws one history, and there are {}", inputs.len()).into());
    }
    let watch = Watch::new(&options.judging);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let job = Job {
        judging: options.judging.clone(),
        keep: options.html.is_some(),
        memory: watch.memory(),
        signals: watch.signals.clone(),
    };
    let names: Vec<String> = inputs.iter().map(Input::name).collect();
    let answers = watch.run(inputs, options.jobs.unwrap_or(processors), move |input| job.answer(&input));
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
    if let Some(path) = &options.html {
        draw(&answers[0], path)?;
    }
    let codes: Vec<u8> = answers.iter().map(Answer::code).collect();
    let gravest = [INVALID, UNUSABLE, UNKNOWN].into_iter().find(|code| codes.contains(code));
    Ok(gravest.unwrap_or(0))
}

fn tell(answers: &[Answer], options: &CheckOptions) -> Result<(), Stopped> {
    let told: Vec<&Answer> = answers.iter().filter(|answer| !matches!(answer.outcome, Outcome::Skipped)).collect();
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

fn draw(answer: &Answer, path: &PathBuf) -> Result<(), Stopped> {
    let Outcome::Judged(judged) = &answer.outcome else {
        complain(&format!("{}: nothing to draw", answer.name));
        return Ok(());
    };
    let history = judged.history.as_ref().expect("it was kept to be drawn");
    let about = match judged.said.level {
        Some(level) => format!("{} at {level}", judged.model.name),
        None => judged.model.name.to_string(),
    };
    let page = html::page(history, &answer.name, &about, &judged.said.shown)?;
    write_whole(path, |file| Ok(file.write_all(page.as_bytes())?))
}

/// Reads and judges.
pub struct Job {
    pub judging: Judging,
    /// The history is wanted afterwards.
    pub keep: bool,
    pub memory: Option<usize>,
    pub signals: Arc<Signals>,
}

impl Job {
    pub fn answer(&self, input: &Input) -> Answer {
        let outcome = match (self.outcome(input), input) {
            (Err(Problem::NoHistory), Input::Found(_)) => Outcome::Skipped,
            (Err(Problem::NoHistory), _) => unreachable!("only found files may be something else"),
            (Err(Problem::Told(problem)), _) => Outcome::Unusable(problem),
            (Ok(outcome), _) => outcome,
        };
        Answer { name: input.name(), outcome }
    }

    fn outcome(&self, input: &Input) -> Result<Outcome, Problem> {
        let told = |error: HistoryError| match (&error, input) {
            (HistoryError::Unrecognised { .. }, Input::Found(_)) => Problem::NoHistory,
            _ => Problem::Told(error.to_string()),
        };
        let source = input.open(self.judging.format, &self.signals).map_err(told)?;
        let mut events = Events::new(source, &self.signals);
        let outcome = match self.judge(&mut events) {
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

    fn judge(&self, events: &mut Events<'_>) -> Result<Judged, NotJudged> {
        let header = events.source.header().clone();
        let mut history = History { header, events: events.take(GLANCE_EVENTS)? };
        if let Some(truncated) = events.truncated.as_ref().filter(|_| history.events.is_empty()) {
            return Err(NotJudged::Problem(truncated.clone()));
        }
        add_facts(&mut history, &self.judging);
        let model = choose(&self.judging, &history).map_err(|stopped| NotJudged::Problem(stopped.to_string()))?;
        let misread = |error: CheckError| NotJudged::Problem(format!("cannot be read as {}: {error}", model.name));
        let asked = Asked::new(model, &self.judging, self.memory, &self.signals);
        let mut judge = Judge::new(&asked, &history.header);
        let mut operations = 0;
        let mut next = |event: &Event| {
            operations += usize::from(matches!(event.what, What::Invoke { .. }));
            judge.push(event).map_err(misread)
        };
        history.events.iter().try_for_each(&mut next)?;
        if !self.keep {
            history.events.clear();
        }
        while let Some(event) = events.next()? {
            next(&event)?;
            if self.keep {
                history.events.push(event);
            }
        }
        self.signals.checking(0, 0);
        let mut said = judge.finish().map_err(misread)?;
        if let Some(reason) = self.signals.reason().filter(|_| said.shown.verdict == "unknown") {
            said.shown.explanation = format!("{reason}: {}", said.shown.explanation);
        }
        let truncated = events.truncated.clone();
        Ok(Judged { model, operations, said, truncated, history: self.keep.then_some(history) })
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
    /// A file that was found in a folder is in no format that we know.
    NoHistory,
    Told(String),
}
