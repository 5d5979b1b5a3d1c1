//! What is told of one history: in words, as JSON, and as a line of a table.

use serde_json::{Value as Json, json};
use tenet_checker::isolation::Level;
use tenet_checker::models::{Levels, Model};

use crate::model::Said;
use crate::{INVALID, UNKNOWN, UNUSABLE};

pub struct Answer {
    pub name: String,
    pub outcome: Outcome,
}

pub enum Outcome {
    Judged(Box<Judged>),
    /// It gave up before it could say anything.
    Unknown(String),
    /// It cannot be read, or nobody can tell what it means.
    Unusable(String),
    /// A file of a folder that is no history, or the same as another; why it was not judged.
    Skipped(String),
}

pub struct Judged {
    pub model: &'static Model,
    /// Nobody said the model: those that judge other promises over the same operations.
    pub guessed: Option<Vec<&'static str>>,
    pub operations: usize,
    pub said: Said,
    /// How the file ends, if it was cut short.
    pub truncated: Option<String>,
}

impl Answer {
    pub fn code(&self) -> u8 {
        match &self.outcome {
            Outcome::Judged(judged) => match judged.said.shown.verdict {
                "valid" => 0,
                "INVALID" => INVALID,
                _ => UNKNOWN,
            },
            Outcome::Unknown(_) => UNKNOWN,
            Outcome::Unusable(_) => UNUSABLE,
            Outcome::Skipped(_) => 0,
        }
    }

    pub fn verdict(&self) -> &'static str {
        match &self.outcome {
            Outcome::Judged(judged) => judged.said.shown.verdict,
            Outcome::Unknown(_) => "unknown",
            Outcome::Unusable(_) => "unreadable",
            Outcome::Skipped(_) => "skipped",
        }
    }

    /// The verdict, what was judged, and the shortest explanation.
    pub fn text(&self) -> String {
        match &self.outcome {
            Outcome::Judged(judged) => {
                let explanation = judged.explanation();
                let rest = if explanation.is_empty() { String::new() } else { format!("\n{explanation}") };
                format!("{}: {} ({}){rest}\n{}", self.verdict(), self.name, judged.about(), judged.guess())
            }
            Outcome::Unknown(reason) => format!("unknown: {}\n{reason}\n", self.name),
            Outcome::Unusable(problem) => {
                // Problems with a place in a file begin with its name.
                let name = if problem.starts_with(&self.name) { String::new() } else { format!("{}: ", self.name) };
                format!("unreadable: {name}{problem}\n")
            }
            Outcome::Skipped(_) => String::new(),
        }
    }

    pub fn json(&self) -> Json {
        let mut json = json!({ "history": self.name, "verdict": self.verdict() });
        let members = json.as_object_mut().expect("it was made as an object");
        let mut add = |name: &str, value: Json| drop(members.insert(name.to_string(), value));
        match &self.outcome {
            Outcome::Unknown(reason) => add("reason", json!(reason)),
            Outcome::Unusable(problem) => add("problem", json!(problem)),
            Outcome::Skipped(_) => {}
            Outcome::Judged(judged) => {
                let Said { shown, class, level, levels } = &judged.said;
                let names = |levels: &[Level]| levels.iter().map(|level| level.name()).collect::<Vec<_>>();
                add("model", json!(judged.model.name));
                add("operations", json!(judged.operations));
                if judged.guessed.is_some() {
                    add("guessed", json!(true));
                }
                if let Some(level) = level {
                    add("level", json!(level.name()));
                }
                if let Some(Levels { strongest, ruled_out }) = levels {
                    add("strongest_levels", json!(names(strongest)));
                    add("ruled_out_levels", json!(names(ruled_out)));
                }
                if let Some(truncated) = &judged.truncated {
                    add("truncated", json!(truncated));
                }
                if shown.verdict == "unknown" {
                    add("reason", json!(shown.explanation));
                }
                // The proof; of what is not valid, no more than a beginning.
                if shown.verdict == "valid" && !shown.orders.is_empty() {
                    let order =
                        |(part, operations): &(String, Vec<usize>)| json!({ "part": part, "operations": operations });
                    add("order", shown.orders.iter().map(order).collect());
                }
                if shown.verdict != "INVALID" {
                    return json;
                }
                add("anomaly", json!(class));
                add("explanation", json!(shown.explanation));
                add("involved", json!(shown.operations));
                if !shown.steps.is_empty() {
                    let step = |step: &tenet_checker::html::Step| json!({ "from": step.from, "to": step.to, "kind": step.kind, "because": step.because });
                    add("cycle", shown.steps.iter().map(step).collect());
                }
                if let Some(window) = &shown.window {
                    add("blocked", json!(window.blocked));
                    add("open", json!(window.open));
                }
            }
        }
        json
    }
}

impl Judged {
    /// `list-append at serializable`.
    pub fn promise(&self) -> String {
        let level = self.said.level.map(|level| format!(" at {level}")).unwrap_or_default();
        format!("{}{level}", self.model.name)
    }

    fn about(&self) -> String {
        let plural = if self.operations == 1 { "" } else { "s" };
        format!("{}, {} operation{plural}", self.promise(), self.operations)
    }

    /// A line, where the model was guessed and something else may be meant.
    fn guess(&self) -> String {
        let name = self.model.name;
        match self.guessed.as_deref().unwrap_or_default() {
            [] => String::new(),
            [one] => {
                format!("judged as {name}, which was guessed; {one} judges another promise over the same operations\n")
            }
            several => format!(
                "judged as {name}, which was guessed; {} judge other promises over the same operations\n",
                several.join(", ")
            ),
        }
    }

    fn explanation(&self) -> String {
        let said = &self.said;
        let names = |levels: &[Level]| levels.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ");
        let mut text = said.shown.explanation.clone();
        // An explanation of what is wrong ends with the levels already.
        if let Some(Levels { strongest, ruled_out }) =
            said.levels.as_ref().filter(|levels| !levels.ruled_out.is_empty())
            && said.shown.verdict == "valid"
        {
            text = format!(
                "strongest levels not ruled out: {}; ruled out, with all above: {}",
                names(strongest),
                names(ruled_out)
            );
        }
        text
    }
}

/// A line each: verdict, model, operations, name.
pub fn table(answers: &[Answer]) -> String {
    let mut rows = vec![["verdict", "model", "operations", "history"].map(str::to_string)];
    for answer in answers.iter().filter(|answer| !matches!(answer.outcome, Outcome::Skipped(_))) {
        let (model, operations) = match &answer.outcome {
            Outcome::Judged(judged) => (judged.model.name.to_string(), judged.operations.to_string()),
            _ => ("-".to_string(), "-".to_string()),
        };
        rows.push([answer.verdict().to_string(), model, operations, answer.name.clone()]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |[verdict, model, operations, name]: &[String; 4]| {
        let [first, second, third] = widths;
        format!("{verdict:first$}  {model:second$}  {operations:>third$}  {name}\n")
    };
    rows.iter().map(line).collect()
}
