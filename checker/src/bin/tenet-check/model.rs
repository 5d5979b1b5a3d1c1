//! Which model is meant, and what it says of a history together with what any history may show.

use std::sync::Arc;

use tenet_checker::budget::Budget;
use tenet_checker::html::Shown;
use tenet_checker::isolation::Level;
use tenet_checker::isolation::stamped::{self, Stamped};
use tenet_checker::models::{self, Levels, MODELS, Model, Options, Stream, Told};
use tenet_checker::{CheckError, Finding, Oracle, Verdict, alarms};
use tenet_histories::{Event, Header, History, Value, What, facts};

use crate::watch::Signals;
use crate::{Judging, Stopped};

/// So many events are looked at to tell how a history is written.
pub const GLANCE_EVENTS: usize = 2000;

/// What was said of a history, in the words of whoever said it.
#[derive(Clone, Debug)]
pub struct Said {
    pub shown: Shown,
    /// What kind of thing is wrong: how minimizing knows it again.
    pub class: Option<String>,
    pub level: Option<Level>,
    pub levels: Option<Levels>,
}

/// A model, and how it was come by.
pub struct Chosen {
    pub model: &'static Model,
    /// Nobody said it: those that judge other promises over the same operations.
    pub guessed: Option<Vec<&'static str>>,
}

/// The model that is meant, of a history that has its facts.
pub fn choose(judging: &Judging, history: &History) -> Result<Chosen, Stopped> {
    let list = |models: &[&Model]| models.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
    let all: Vec<&Model> = MODELS.iter().collect();
    let model = match &judging.model {
        Some(name) => {
            models::named(name).ok_or_else(|| format!("no model `{name}`, expected one of {}", list(&all)))?
        }
        None => match models::candidates(history).as_slice() {
            [model] => model,
            [] => return Err(no_candidates(history, &all).into()),
            several => {
                return Err(format!("could be any of the models {}: say which with --model", list(several)).into());
            }
        },
    };
    if judging.level.is_some() && !model.has_levels() {
        return Err(format!("model {} has no levels of isolation: leave out --level", model.name).into());
    }
    let known: Vec<&str> = model.facts.iter().map(|fact| fact.name).collect();
    if let Some((name, _)) = judging.facts.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(format!("model {} has no fact `{name}`, expected one of {}", model.name, known.join(", ")).into());
    }
    model.accepts(&history.header, &Options { level: judging.level, ..Options::default() })?;
    let is_guessed = judging.model.is_none() && models::named(&history.header.workload).is_none();
    let guessed = is_guessed.then(|| models::others(model, history).iter().map(|model| model.name).collect());
    Ok(Chosen { model, guessed })
}

/// If there are models with these functions, one of them says what it does not understand.
fn no_candidates(history: &History, all: &[&Model]) -> String {
    let mut functions: Vec<&str> = glance(history).iter().filter_map(function).collect();
    functions.sort_unstable();
    functions.dedup();
    let knows = |model: &&&Model| functions.iter().all(|function| model.functions.contains(function));
    let known: Vec<&&Model> = all.iter().filter(knows).collect();
    let names = |models: &[&&Model]| models.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
    match (functions.is_empty(), known.as_slice()) {
        (true, _) => "no operations, so that nobody can tell the model: say --model".to_string(),
        (_, []) => {
            let all: Vec<&&Model> = all.iter().collect();
            format!("functions {}, which no model has: say --model, one of {}", functions.join(", "), names(&all))
        }
        (_, [first, ..]) => {
            let problem = first.check(history, &Options::default()).err().map(|error| format!(": {error}"));
            format!("cannot be read as {}{}", names(&known), problem.unwrap_or_default())
        }
    }
}

fn glance(history: &History) -> &[Event] {
    &history.events[..history.events.len().min(GLANCE_EVENTS)]
}

fn function(event: &Event) -> Option<&str> {
    match &event.what {
        What::Invoke { call, .. } => Some(&call.function),
        What::Complete { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => None,
    }
}

/// Whether values are pairs of a key and a value, as Jepsen's `independent` writes them: then a read asks for `[key, nil]`.
pub fn has_pairs(history: &History) -> bool {
    let mut has_reads = false;
    for event in glance(history) {
        let What::Invoke { call, .. } = &event.what else { continue };
        let Some([_, value]) = call.value.as_list() else { return false };
        if matches!(call.function.as_ref(), "read" | "get" | "dequeue" | "drain") {
            has_reads = true;
            if !value.is_nil() {
                return false;
            }
        }
    }
    has_reads
}

/// What a person said of a history goes before what its file says.
pub fn add_facts(history: &mut History, judging: &Judging) {
    if has_pairs(history) {
        history.header.facts.entry("pairs".to_string()).or_insert(Value::Bool(true));
    }
    if let Some(init) = &judging.init {
        history.header.facts.insert("initial".to_string(), init.clone());
    }
    history.header.facts.extend(judging.facts.iter().cloned());
}

/// A model, and all that it is asked with.
pub struct Asked {
    model: &'static Model,
    options: Options,
    level: Option<Level>,
}

impl Asked {
    /// Of histories that begin with this header.
    pub fn new(
        model: &'static Model,
        header: &Header,
        judging: &Judging,
        memory: Option<usize>,
        signals: &Arc<Signals>,
    ) -> Asked {
        let (stop, reporter) = (signals.clone(), signals.clone());
        let mut budget = Budget { stop: Some(Arc::new(move || stop.is_stopped())), ..Budget::default() };
        if let Some(memory) = memory {
            budget.bytes_max = memory;
        }
        if judging.timeout.is_some() {
            budget.steps_max = u64::MAX;
        }
        let options = Options {
            initial: judging.init.clone(),
            level: judging.level,
            budget,
            progress: Some(Arc::new(move |so_far| reporter.checking(so_far.levels_done, so_far.levels))),
        };
        let level = model.level(header, &options);
        Asked { model, options, level }
    }

    /// Judges a history that has its facts.
    pub fn judge(&self, history: &History) -> Result<Said, CheckError> {
        let mut judge = Judge::new(self, &history.header);
        history.events.iter().try_for_each(|event| judge.push(event))?;
        judge.finish()
    }

    /// What the model says, unless something graver was found that no model asks about.
    fn together(&self, told: &dyn Told, stamps: Option<Verdict>, alarms: Verdict) -> Said {
        let mut said = of(told, self.level);
        for verdict in stamps.into_iter().chain([alarms]) {
            let is_graver = match verdict.finding {
                Finding::Valid => false,
                Finding::Invalid { .. } => said.shown.verdict != "INVALID",
                Finding::Unknown { .. } => said.shown.verdict == "valid",
            };
            if is_graver {
                said = of(&verdict, self.level);
            }
        }
        said
    }
}

/// The same, event by event.
pub struct Judge<'a> {
    asked: &'a Asked,
    model: Box<dyn Stream>,
    /// Unless the model is that.
    stamped: Option<Stamped>,
    /// Nothing but alarms: they are few.
    alarms: History,
}

impl Judge<'_> {
    pub fn new<'a>(asked: &'a Asked, header: &Header) -> Judge<'a> {
        let model = asked.model.stream(header, &asked.options);
        let initial = header.facts.get(facts::INITIAL).cloned().unwrap_or_default();
        let level = asked.level.unwrap_or(Level::StrictSerializable);
        let of_stamps = || Stamped::new(&stamped::Options { initial, ..stamped::Options::at(level) });
        let stamped = (asked.model.name != models::STAMPED).then(of_stamps);
        Judge { asked, model, stamped, alarms: History::default() }
    }

    pub fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        if matches!(event.what, What::Alarm(_)) {
            self.alarms.events.push(event.clone());
        }
        self.model.push(event)?;
        self.stamped.as_mut().map_or(Ok(()), |stamped| stamped.push(event))
    }

    pub fn finish(self) -> Result<Said, CheckError> {
        let told = self.model.finish()?;
        let level = self.asked.level.unwrap_or(Level::StrictSerializable);
        let stamps = self.stamped.map(|stamped| stamped.finish().verdict(level));
        Ok(self.asked.together(told.as_ref(), stamps, alarms(&self.alarms)))
    }
}

fn of(told: &dyn Told, level: Option<Level>) -> Said {
    let mut shown = told.shown();
    // Anomalies of isolation say what they are.
    if told.levels().is_none() && !shown.explanation.is_empty() {
        let oracle = told.verdict().oracle;
        let what = if oracle == Oracle::Linearizable { "not linearizable".to_string() } else { oracle.to_string() };
        let is_unknown = shown.verdict == "unknown";
        shown.explanation = format!("{}: {}", if is_unknown { oracle.to_string() } else { what }, shown.explanation);
    }
    Said { shown, class: told.class(), level, levels: told.levels() }
}
