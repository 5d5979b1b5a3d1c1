//! `tenet-check minimize FILE`: the smallest part of a history that shows the same anomaly.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tenet_checker::minimize::{Minimal, Shows, minimize as smallest};
use tenet_histories::{Format, WriteOptions, write_as};

use crate::answer::{Answer, Judged, Outcome};
use crate::check::{Job, Kept};
use crate::input::{Input, only};
use crate::model::Asked;
use crate::watch::{NoAnswer, Watch};
use crate::{Judging, Stopped, UNKNOWN, UNUSABLE, complain, write_whole};

#[derive(Args, Clone)]
pub struct MinimizeOptions {
    /// The history; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    judging: Judging,
    /// Where to write what is left [default: standard output]
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// The format to write
    #[arg(long, default_value = "json-lines", value_parser = crate::format)]
    to: Format,
}

/// What is left when time is over is judged once more, to say what it shows.
const GRACE: Duration = Duration::from_secs(10);

enum Done {
    Minimal(Box<(Minimal, Answer)>),
    /// There is nothing to make smaller.
    Not(Answer),
}

pub fn minimize(options: &MinimizeOptions) -> Result<u8, Stopped> {
    let input = only(&options.file)?;
    let name = input.name();
    let mut watch = Watch::new(&options.judging);
    watch.grace = GRACE;
    let job = Job {
        judging: options.judging.clone(),
        kept: Some(Kept::default()),
        memory: watch.memory(),
        signals: watch.signals.clone(),
    };
    let mut answers = watch.run(vec![input], 1, move |input| job.minimize(&input));
    let done = match answers.pop().expect("an answer for the one input") {
        Ok(done) => done?,
        Err(NoAnswer::Limit(reason)) => {
            complain(&format!("{name}: {reason}"));
            return Ok(UNKNOWN);
        }
        Err(NoAnswer::Panic(text)) => {
            complain(&format!("{name}: the checker broke off, which is a bug: {text}"));
            return Ok(UNKNOWN);
        }
    };
    match done {
        Done::Not(answer) if answer.code() == 0 => {
            Err(format!("{name}: valid, so that there is no anomaly to keep").into())
        }
        Done::Not(answer) => {
            complain(answer.text().trim_end());
            Ok(if answer.code() == UNKNOWN { UNKNOWN } else { UNUSABLE })
        }
        Done::Minimal(done) => {
            let (minimal, answer) = *done;
            let losses = WriteOptions::default();
            match &options.output {
                Some(path) => {
                    let to = path.display().to_string();
                    write_whole(path, |mut file| Ok(write_as(&minimal.history, options.to, &mut file, &to, &losses)?))?;
                }
                None => {
                    let mut text = Vec::new();
                    write_as(&minimal.history, options.to, &mut text, "standard output", &losses)?;
                    crate::say_bytes(&text)?;
                }
            }
            let numbers: Vec<String> = minimal.operations.iter().take(50).map(usize::to_string).collect();
            complain(&format!(
                "{} left, of the whole history those with the numbers {}{}",
                match minimal.operations.len() {
                    1 => "1 operation is".to_string(),
                    count => format!("{count} operations are"),
                },
                numbers.join(", "),
                if minimal.operations.len() > numbers.len() { ", .." } else { "" },
            ));
            if !minimal.minimal {
                complain("stopped before it was done: fewer might do");
            }
            complain(answer.text().trim_end());
            Ok(0)
        }
    }
}

impl Job {
    fn minimize(&self, input: &Input) -> Result<Done, Stopped> {
        let mut answer = self.answer(input);
        let Outcome::Judged(judged) = &mut answer.outcome else { return Ok(Done::Not(answer)) };
        let (Some(class), Some(kept)) = (judged.said.class.clone(), &self.kept) else {
            return Ok(Done::Not(answer));
        };
        let (model, history) = (judged.model, std::mem::take(&mut *kept.history()));
        // Told to stop, a check says unknown, which is not the same anomaly: what was found so far stays.
        let asked = Asked::new(model, &history.header, &self.judging, self.memory, &self.signals);
        let mut shows = |part: &_| {
            if self.signals.is_stopped() {
                return Shows::Stop;
            }
            match asked.judge(part) {
                Ok(said) if said.class.as_ref() == Some(&class) => Shows::Yes,
                _ => Shows::No,
            }
        };
        let minimal = smallest(&history, &judged.said.shown.operations, &mut shows)?;
        let Some(minimal) = minimal else {
            return Err(format!("{}: {class} is not about operations alone", answer.name).into());
        };
        let asked = Asked::new(model, &history.header, &self.judging, self.memory, &Arc::default());
        let said = asked.judge(&minimal.history)?;
        let operations = minimal.operations.len();
        let judged = Judged { model, guessed: None, operations, said, truncated: None };
        let answer = Answer { name: "what is left".to_string(), outcome: Outcome::Judged(Box::new(judged)) };
        Ok(Done::Minimal(Box::new((minimal, answer))))
    }
}
