//! A register, by key: one value that is read, written, and compared and set.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | read | - | answers the value | dropped |
//! | write | the value | it is the value now | open to the end |
//! | cas | `[from, to]` | was `from`, is `to`; answers true, or nothing, or `[from, to]` again; false: was another | open to the end, as if it found `from` |
//!
//! Failed: never happened. (Also a failed cas, which says nothing of what the value was.)
//!
//! Unknown writes of a value that no operation of the key mentions matter only to a cas that was refused, and there all
//! such values are alike; without a refusal they are left out.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use tenet_histories::{Value, functions};

use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Part, Stay};
use crate::linearizable::search::Map;

pub struct Register {
    initial: Value,
}

impl Register {
    pub fn new(initial: Value) -> Register {
        Register { initial }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Read(Content),
    Write(Content),
    /// It was the first, and became the second.
    Swap(Content, Content),
    /// It was anything but this.
    Refuse(Content),
}

/// A value, or one that no operation mentions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    Value(Value),
    Unmentioned,
}

impl Content {
    fn text(&self) -> String {
        match self {
            Content::Value(value) => value.to_string(),
            Content::Unmentioned => "a value that nobody read".to_string(),
        }
    }
}

impl Call {
    /// What the value is afterwards, if the call may change it.
    fn becomes(&self) -> Option<&Content> {
        match self {
            Call::Write(to) | Call::Swap(_, to) => Some(to),
            Call::Read(_) | Call::Refuse(_) => None,
        }
    }
}

impl Model for Register {
    type State = Content;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        let content = |value: &Value| Content::Value(value.clone());
        calls.push(match asked.function {
            functions::READ if asked.is_ok() => Call::Read(content(asked.answer)),
            functions::READ => return Ok(()),
            functions::WRITE => Call::Write(content(asked.value)),
            functions::COMPARE_AND_SET => {
                let [from, to] = asked.list(asked.value, "[from, to]")? else {
                    return Err(asked.misshapen(asked.value, "[from, to]"));
                };
                match asked.answer {
                    _ if !asked.is_ok() => Call::Swap(content(from), content(to)),
                    Value::Bool(false) => Call::Refuse(content(from)),
                    Value::Nil | Value::Bool(true) => Call::Swap(content(from), content(to)),
                    answer if answer == asked.value => Call::Swap(content(from), content(to)),
                    other => return Err(asked.misshapen(other, "whether it was changed, a bool")),
                }
            }
            _ => return Err(asked.stranger("read, write or cas")),
        });
        Ok(())
    }

    fn initial(&self) -> Content {
        Content::Value(self.initial.clone())
    }

    fn step(&self, state: &Content, call: &Call, next: &mut Vec<Content>) {
        match call {
            Call::Read(value) if value == state => next.push(state.clone()),
            Call::Write(value) => next.push(value.clone()),
            Call::Swap(from, to) if from == state => next.push(to.clone()),
            Call::Refuse(from) if from != state => next.push(state.clone()),
            Call::Read(_) | Call::Swap(..) | Call::Refuse(_) => {}
        }
    }

    fn looks(&self, call: &Call) -> bool {
        call.becomes().is_none()
    }

    fn parts(&self, mut part: Part<Call>) -> Vec<Part<Call>> {
        let mut mentioned: BTreeSet<Content> = BTreeSet::new();
        let mut is_refused = false;
        for taken in &part.operations {
            match &taken.call {
                Call::Read(value) | Call::Swap(value, _) => drop(mentioned.insert(value.clone())),
                Call::Refuse(value) => {
                    mentioned.insert(value.clone());
                    is_refused = true;
                }
                Call::Write(_) => {}
            }
        }
        part.operations.retain_mut(|taken| {
            let unseen = taken.is_unknown() && taken.call.becomes().is_some_and(|value| !mentioned.contains(value));
            if unseen && let Call::Write(value) | Call::Swap(_, value) = &mut taken.call {
                *value = Content::Unmentioned;
            }
            is_refused || !unseen
        });
        vec![part]
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Register> + 'p> {
        Box::new(Foresight::new(self, part))
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Read(value) => format!("read {}", value.text()),
            Call::Write(value) => format!("wrote {}", value.text()),
            Call::Swap(from, to) => format!("found {} and changed it to {}", from.text(), to.text()),
            Call::Refuse(from) => format!("found another value than {}", from.text()),
        }
    }

    fn was(&self, state: &Content) -> String {
        format!("the value was {}", state.text())
    }

    fn wanted(&self, call: &Call) -> Option<Content> {
        match call {
            Call::Read(value) | Call::Swap(value, _) => Some(value.clone()),
            Call::Write(_) | Call::Refuse(_) => None,
        }
    }

    fn heap_bytes(&self, state: &Content) -> usize {
        match state {
            Content::Value(Value::Text(text)) => text.len(),
            Content::Value(_) | Content::Unmentioned => 0,
        }
    }
}

/// What is known of one value in advance. Positions.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// The last invocation of who looks for it; `NEVER` if somebody goes on from it to another.
    looked_for: u32,
    /// The last invocation of who looks for it or goes on from it, and must succeed.
    required: u32,
    /// The last return of who looks for it, or goes on from it to what somebody looks for.
    useful: u32,
    /// How many operations make it, at most; the first value counts as made.
    made: u32,
}

struct Foresight<'p> {
    fates: Map<&'p Content, Fate>,
    /// Who refuses a value is content with all others: the last return and invocation of such, by the value refused. With
    /// the greatest first, so that two of different values are enough to know.
    refusals: [(Option<&'p Content>, Fate); 2],
    initial: Content,
    part: &'p Part<Call>,
    needs: OnceCell<Map<&'p Content, Vec<(u32, u32)>>>,
}

impl<'p> Foresight<'p> {
    fn new(model: &Register, part: &'p Part<Call>) -> Foresight<'p> {
        let mut fates: Map<&Content, Fate> = Map::default();
        let mut refused: BTreeMap<&Content, Fate> = BTreeMap::new();
        let mut unknown_swaps = BTreeSet::new();
        for taken in &part.operations {
            match &taken.call {
                Call::Read(value) => {
                    let fate = fates.entry(value).or_default();
                    fate.looked_for = fate.looked_for.max(taken.invoked);
                    fate.useful = fate.useful.max(taken.returned);
                    fate.required = fate.required.max(taken.invoked);
                }
                Call::Refuse(value) => {
                    let fate = refused.entry(value).or_default();
                    fate.looked_for = fate.looked_for.max(taken.invoked);
                    fate.useful = fate.useful.max(taken.returned);
                }
                Call::Swap(from, to) => {
                    let fate = fates.entry(from).or_default();
                    fate.looked_for = NEVER;
                    if taken.is_unknown() {
                        unknown_swaps.insert((from, to));
                    } else {
                        fate.useful = fate.useful.max(taken.returned);
                        fate.required = fate.required.max(taken.invoked);
                    }
                    fates.entry(to).or_default().made += 1;
                }
                Call::Write(to) => fates.entry(to).or_default().made += 1,
            }
        }
        let mut refusals = [(None, Fate::default()); 2];
        for (value, fate) in refused {
            let [first, second] = &mut refusals;
            if fate.useful > first.1.useful {
                *second = std::mem::replace(first, (Some(value), fate));
            } else if fate.useful > second.1.useful {
                *second = (Some(value), fate);
            }
            // The invocations of all count for both: later is only less foresight.
            let looked_for = fate.looked_for.max(first.1.looked_for).max(second.1.looked_for);
            (first.1.looked_for, second.1.looked_for) = (looked_for, looked_for);
        }
        let mut foresight = Foresight { fates, refusals, initial: model.initial(), part, needs: OnceCell::new() };
        // What leads by unknown swaps to something useful is useful as long.
        loop {
            let mut is_settled = true;
            for (from, to) in &unknown_swaps {
                let useful = foresight.useful(to);
                let fate = foresight.fates.entry(from).or_default();
                if fate.useful < useful {
                    fate.useful = useful;
                    is_settled = false;
                }
            }
            if is_settled {
                return foresight;
            }
        }
    }

    fn fate(&self, value: &Content) -> Fate {
        self.fates.get(value).copied().unwrap_or_default()
    }

    /// Who refuses another value than this.
    fn refusal(&self, value: &Content) -> Fate {
        let content = self.refusals.iter().find(|(refused, _)| refused.is_some_and(|refused| refused != value));
        content.map(|(_, fate)| *fate).unwrap_or_default()
    }

    fn useful(&self, value: &Content) -> u32 {
        self.fate(value).useful.max(self.refusal(value).useful)
    }
}

impl Ahead<Register> for Foresight<'_> {
    fn useful_until(&self, call: &Call) -> u32 {
        call.becomes().map_or(NEVER, |value| self.useful(value))
    }

    fn overwrites_for(&self, call: &Call) -> Option<u32> {
        match call {
            Call::Write(value) => Some(self.fate(value).looked_for.max(self.refusal(value).looked_for)),
            Call::Read(_) | Call::Swap(..) | Call::Refuse(_) => None,
        }
    }

    fn is_impossible(&self, call: &Call) -> bool {
        match call {
            Call::Read(value) | Call::Swap(value, _) => self.fate(value).made == 0 && *value != self.initial,
            Call::Write(_) | Call::Refuse(_) => false,
        }
    }

    fn stay(&self, state: &Content) -> Stay {
        let fate = self.fate(state);
        let made = fate.made + u32::from(*state == self.initial);
        Stay { until: if made <= 1 { fate.required } else { 0 }, ..Stay::FREE }
    }

    fn stuck_at(&self, state: &Content, left: u32) -> u32 {
        let Some(needs) = self.needs.get_or_init(|| needs(self.part)).get(state) else { return NEVER };
        let later = needs.partition_point(|(invoked, _)| *invoked <= left);
        needs.get(later).map_or(NEVER, |(_, stuck_at)| *stuck_at)
    }
}

/// By value: invocations of those that return and need it, each with the first return of such from then on.
fn needs(part: &Part<Call>) -> Map<&Content, Vec<(u32, u32)>> {
    let mut needs: Map<&Content, Vec<(u32, u32)>> = Map::default();
    for taken in part.operations.iter().rev().filter(|taken| !taken.is_unknown()) {
        if let Call::Read(value) | Call::Swap(value, _) = &taken.call {
            let of_value = needs.entry(value).or_default();
            let first = of_value.last().map_or(NEVER, |(_, first)| *first);
            of_value.push((taken.invoked, taken.returned.min(first)));
        }
    }
    needs.values_mut().for_each(|of_value| of_value.reverse());
    needs
}
