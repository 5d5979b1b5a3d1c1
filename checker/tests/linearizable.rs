//! Linearizability against a slow obvious oracle, and the proofs against verifiers that know nothing of the search.
//!
//! `spec` says once more, and independently, what each kind of object does. Histories are drawn from an object that is
//! honest but for a few lies, so that about half of them are valid.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tenet_checker::CheckError;
use tenet_checker::Finding;
use tenet_checker::budget::{Budget, Meter};
use tenet_checker::linearizable::model::{Asked, Model, NEVER, Part};
use tenet_checker::linearizable::models::{
    Counter, FifoQueue, Kv, Log, MultiRegister, Mutex, Register, Set, UnorderedQueue,
};
use tenet_checker::linearizable::{
    Blocked, Collector, Kind, Options, Outcome as Found, Proof, Saw, check, check_part, confirm,
};
use tenet_histories::{Call, Completion, Event, Header, History, Operation, Outcome, Process, Value, What};

/// What an operation does to the state of one key, told by its function, its value and its answer; none: impossible.
/// Unknown operations may have got any answer.
fn spec(kind: Kind, state: &Value, process: Process, call: &Call, answer: Option<&Value>) -> Vec<Value> {
    let value = &call.value;
    let same_if = |holds: bool| if holds { vec![state.clone()] } else { vec![] };
    let list = || state.as_list().unwrap_or_default().to_vec();
    let with = |element: &Value| {
        let mut list = list();
        list.push(element.clone());
        Value::List(list)
    };
    match (kind, call.function.as_ref()) {
        (Kind::Log, "read") if !value.is_nil() => {
            let seen = list().get(value.as_int().unwrap() as usize).cloned().unwrap_or_default();
            same_if(answer.is_none_or(|answer| *answer == seen))
        }
        (Kind::Set, "read") => {
            let sorted = |value: &Value| {
                let mut list = value.as_list().unwrap_or_default().to_vec();
                list.sort();
                list.dedup();
                list
            };
            same_if(answer.is_none_or(|answer| sorted(answer) == sorted(state)))
        }
        (Kind::Log, "read") => same_if(answer.is_none_or(|answer| answer.as_list().unwrap() == list())),
        (_, "read" | "get") => same_if(answer.is_none_or(|answer| answer == state)),
        (_, "write" | "put") => vec![value.clone()],
        (_, "cas") => {
            let [from, to] = value.as_list().unwrap() else { panic!("cas has two values") };
            match answer.map(|answer| answer.as_bool().unwrap()) {
                Some(true) if from == state => vec![to.clone()],
                Some(false) if from != state => vec![state.clone()],
                Some(_) => vec![],
                None => vec![if from == state { to.clone() } else { state.clone() }],
            }
        }
        (_, "txn") => {
            let mut map: BTreeMap<Value, Value> =
                if let Value::Map(map) = state { map.clone() } else { BTreeMap::new() };
            for micro in answer.unwrap_or(value).as_list().unwrap() {
                let [name, key, value] = micro.as_list().unwrap() else { panic!("a micro-operation has three parts") };
                if name.as_text() == Some("w") {
                    map.insert(key.to_string().as_str().into(), value.clone());
                } else if answer.is_some()
                    && map.get(&key.to_string().as_str().into()).unwrap_or(&Value::Int(0)) != value
                {
                    return vec![];
                }
            }
            vec![Value::Map(map)]
        }
        (Kind::Mutex | Kind::OwnerMutex | Kind::ReentrantMutex | Kind::FencedMutex, function) => {
            // [owner or null, depth, last token]
            let [holder, depth, token] = state.as_list().unwrap() else { panic!("a mutex has three parts") };
            let me = if kind == Kind::Mutex { Value::Int(0) } else { i64::from(process.0).into() };
            let depth = depth.as_int().unwrap();
            if function == "acquire" {
                let given = answer.and_then(Value::as_int).filter(|_| kind == Kind::FencedMutex);
                let may = holder.is_nil() || kind == Kind::ReentrantMutex && *holder == me;
                let grows = given.is_none_or(|given| given > token.as_int().unwrap());
                let token = given.map_or(token.clone(), Value::Int);
                return if may && grows { vec![vec![me, (depth + 1).into(), token].into()] } else { vec![] };
            }
            if *holder != me {
                return vec![];
            }
            let holder = if depth > 1 { me } else { Value::Nil };
            vec![vec![holder, (depth - 1).into(), token.clone()].into()]
        }
        (_, "enqueue") => vec![with(value)],
        (Kind::Queue, "dequeue") => match answer {
            Some(Value::Nil) => same_if(list().is_empty()),
            Some(element) if list().first() == Some(element) => vec![Value::List(list()[1..].to_vec())],
            None if !list().is_empty() => vec![Value::List(list()[1..].to_vec())],
            _ => vec![],
        },
        (_, "dequeue") => {
            let without = |place: usize| {
                let mut list = list();
                list.remove(place);
                Value::List(list)
            };
            let found = (0..list().len()).filter(|place| answer.is_none_or(|answer| *answer == list()[*place]));
            if answer == Some(&Value::Nil) { same_if(list().is_empty()) } else { found.map(without).collect() }
        }
        (Kind::Counter, "add") => vec![(state.as_int().unwrap() + value.as_int().unwrap()).into()],
        (Kind::Kv, "append") => {
            vec![Value::Text(state.as_text().unwrap_or_default().to_string() + value.as_text().unwrap())]
        }
        (Kind::Log, "append") => {
            let place = Value::Int(list().len() as i64);
            if answer.is_none_or(|answer| answer.is_nil() || answer == value || *answer == place) {
                vec![with(value)]
            } else {
                vec![]
            }
        }
        (Kind::Set, "add") => vec![with(value)],
        (kind, function) => panic!("no {function} in {kind}"),
    }
}

fn first_state(kind: Kind) -> Value {
    match kind {
        Kind::Register | Kind::Counter => 0.into(),
        Kind::MultiRegister | Kind::Kv => Value::Nil,
        Kind::Mutex | Kind::OwnerMutex | Kind::ReentrantMutex | Kind::FencedMutex => {
            vec![Value::Nil, 0.into(), Value::Int(-1)].into()
        }
        Kind::Queue | Kind::UnorderedQueue | Kind::Set | Kind::Log => Value::List(Vec::new()),
    }
}

/// What an honest object answers; None: it refuses.
fn honest(kind: Kind, state: &Value, process: Process, call: &Call, luck: u8) -> Option<Value> {
    let allows = |answer: &Value| !spec(kind, state, process, call, Some(answer)).is_empty();
    let list = state.as_list().unwrap_or_default();
    match (kind, call.function.as_ref()) {
        (Kind::Log, "read") if !call.value.is_nil() => {
            Some(list.get(call.value.as_int().unwrap() as usize).cloned().unwrap_or_default())
        }
        (_, "read" | "get") => Some(state.clone()),
        (_, "cas") => [true, false].map(Value::Bool).into_iter().find(allows),
        (_, "txn") => {
            let mut micros = Vec::new();
            let mut state = state.clone();
            for micro in call.value.as_list().unwrap() {
                let [name, key, _] = micro.as_list().unwrap() else { panic!("a micro-operation has three parts") };
                let seen = state.field(&key.to_string()).cloned().unwrap_or(Value::Int(0));
                let filled = if name.as_text() == Some("r") {
                    Value::List(vec![name.clone(), key.clone(), seen])
                } else {
                    micro.clone()
                };
                let one = Call { value: Value::List(vec![filled.clone()]), ..call.clone() };
                state = spec(kind, &state, process, &one, Some(&one.value)).remove(0);
                micros.push(filled);
            }
            Some(Value::List(micros))
        }
        (Kind::FencedMutex, "acquire") => {
            let token = state.as_list().unwrap()[2].as_int().unwrap() + 1;
            Some(Value::Int(token)).filter(allows)
        }
        (_, "dequeue") if list.is_empty() => Some(Value::Nil),
        (Kind::UnorderedQueue, "dequeue") => Some(list[usize::from(luck) % list.len()].clone()),
        (_, "dequeue") => Some(list[0].clone()),
        (Kind::Log, "append") if luck.is_multiple_of(2) => Some(Value::Int(list.len() as i64)),
        _ => Some(Value::Nil).filter(allows),
    }
}

/// Numbers that decide what one operation is: function, argument, key, lie, luck.
type Dice = [u8; 5];

fn call_of(kind: Kind, number: usize, dice: Dice, values: u8) -> Call {
    let [function, argument, key, _, _] = dice;
    let value = Value::Int((argument % values).into());
    let other = Value::Int((argument / 16 % values).into());
    let unique = Value::Int(100 + number as i64);
    let element = if values > 3 { unique } else { value.clone() };
    let micro =
        |name: &str, key: u8, value: &Value| Value::List(vec![name.into(), i64::from(key).into(), value.clone()]);
    let (function, value): (&'static str, Value) = match (kind, function % 6) {
        (Kind::Register, 0 | 1) => ("write", value),
        (Kind::Register, 2) => ("cas", vec![value, other].into()),
        (Kind::Register, _) => ("read", Value::Nil),
        (Kind::MultiRegister, function) => {
            let micros = [(argument % 2, function & 1), (argument / 2 % 2, function & 2)];
            let micro = |(key, reads): (u8, u8)| match reads {
                0 => micro("w", key, &value),
                _ => micro("r", key, &Value::Nil),
            };
            ("txn", Value::List(micros.into_iter().map(micro).take(1 + usize::from(argument) / 4 % 2).collect()))
        }
        (Kind::Mutex | Kind::OwnerMutex | Kind::ReentrantMutex | Kind::FencedMutex, 0..=2) => ("acquire", Value::Nil),
        (Kind::Mutex | Kind::OwnerMutex | Kind::ReentrantMutex | Kind::FencedMutex, _) => ("release", Value::Nil),
        (Kind::Queue | Kind::UnorderedQueue, 0..=2) => ("enqueue", element),
        (Kind::Queue | Kind::UnorderedQueue, _) => ("dequeue", Value::Nil),
        (Kind::Set | Kind::Counter, 0..=2) => ("add", value),
        (Kind::Set | Kind::Counter, _) => ("read", Value::Nil),
        (Kind::Kv, 0) if values > 3 => ("put", Value::Text(format!("p{element}"))),
        (Kind::Kv, 0) if values != 3 => ("put", Value::Text(value.to_string())),
        (Kind::Kv, 0..=2) => ("append", Value::Text(element.to_string())),
        (Kind::Kv, _) => ("get", Value::Nil),
        (Kind::Log, 0..=2) => ("append", element),
        (Kind::Log, 3) => ("read", Value::Int((argument % 4).into())),
        (Kind::Log, _) => ("read", Value::Nil),
    };
    let key = if kind == Kind::MultiRegister { Value::Nil } else { i64::from(key % 8 / 6).into() };
    Call { function: function.into(), key, value }
}

/// A plan of operations, each by a process of its own or, where owners matter, of three.
#[derive(Clone, Debug)]
struct Plan {
    kind: Kind,
    shuffle: Vec<usize>,
    dice: Vec<Dice>,
    values: u8,
    /// Of 256 answers so many are lies.
    lies: u8,
    /// Of 256 operations so many are unknown.
    unknown: u8,
}

fn history_of(plan: &Plan) -> History {
    let Plan { kind, shuffle, dice, values, lies, unknown } = plan;
    let mut states: BTreeMap<Value, Value> = BTreeMap::new();
    let mut events: Vec<Event> = Vec::new();
    // By operation: what it asked, and what it was told if it took effect at once.
    let mut open: BTreeMap<usize, (Call, Process, Option<Completion>)> = BTreeMap::new();
    let mut busy: BTreeMap<Process, u32> = BTreeMap::new();
    let mut take = |call: &Call, process: Process, [_, argument, _, lie, luck]: Dice| {
        let state = states.entry(call.key.clone()).or_insert_with(|| first_state(*kind));
        let Some(answer) = honest(*kind, state, process, call, luck) else { return Completion::new(Outcome::Fail) };
        if lie < *lies {
            // It says that it was done, and it was not; or it answers what was not so.
            let answer = match (answer, luck % 3) {
                (Value::Int(answer), 1) => Value::Int(answer ^ 1),
                (Value::Bool(answer), 1) => Value::Bool(!answer),
                (Value::List(mut list), 1) if *kind != Kind::MultiRegister => {
                    list.pop();
                    Value::List(list)
                }
                (answer, _) => answer,
            };
            return Completion::ok(answer);
        }
        let is_unknown = argument.wrapping_mul(37).wrapping_add(luck) < *unknown;
        if is_unknown && luck % 4 == 0 {
            return Completion::new(Outcome::Unknown);
        }
        *state = spec(*kind, state, process, call, Some(&answer)).remove(0);
        if is_unknown { Completion::new(Outcome::Unknown) } else { Completion::ok(answer) }
    };
    for number in shuffle {
        let dice = dice[*number];
        let is_early = dice[4] % 2 == 0;
        let what = match open.remove(number) {
            None => {
                let owned = matches!(kind, Kind::OwnerMutex | Kind::ReentrantMutex | Kind::FencedMutex);
                let process = Process(if owned { dice[1] as u32 % 3 } else { *number as u32 });
                // A process has one open operation; the second is somebody else's.
                let count = busy.entry(process).or_insert(0);
                let process = if *count == 0 { process } else { Process(1000 + *number as u32) };
                *busy.entry(process).or_insert(0) += 1;
                let call = call_of(*kind, *number, dice, *values);
                let told = is_early.then(|| take(&call, process, dice));
                open.insert(*number, (call.clone(), process, told));
                What::Invoke { process, call }
            }
            Some((call, process, told)) => {
                let completion = told.unwrap_or_else(|| take(&call, process, dice));
                // Whoever does not know asks nothing more under this name.
                if completion.outcome != Outcome::Unknown {
                    busy.insert(process, 0);
                }
                What::Complete { process, completion }
            }
        };
        events.push(Event::new(events.len() as u64, what));
    }
    let initial = if *kind == Kind::Kv { Value::Nil } else { Value::Int(0) };
    History { header: Header { workload: String::new(), facts: [("initial".to_string(), initial)].into() }, events }
}

/// Whether some order of the operations, unknown ones left out at will and failed ones left out, keeps real time and is
/// possible.
fn some_order(
    kind: Kind,
    operations: &[Operation<'_>],
    states: &BTreeMap<Value, Value>,
    placed: &mut Vec<bool>,
) -> bool {
    let must = |operation: &Operation<'_>| operation.outcome() == Outcome::Ok;
    if operations.iter().zip(&*placed).all(|(operation, placed)| *placed || !must(operation)) {
        return true;
    }
    for next in 0..operations.len() {
        let operation = &operations[next];
        if placed[next] || operation.outcome() == Outcome::Fail {
            continue;
        }
        let overtaken = operations
            .iter()
            .zip(&*placed)
            .any(|(other, placed)| !placed && must(other) && other.return_event().unwrap() < operation.invoke_event);
        if overtaken {
            continue;
        }
        let state = states.get(&operation.call.key).cloned().unwrap_or_else(|| first_state(kind));
        let answer = operation.is_ok().then(|| operation.answer());
        for state in spec(kind, &state, operation.process, operation.call, answer) {
            let mut states = states.clone();
            states.insert(operation.call.key.clone(), state);
            placed[next] = true;
            if some_order(kind, operations, &states, placed) {
                return true;
            }
            placed[next] = false;
        }
    }
    false
}

fn has_order(kind: Kind, history: &History) -> bool {
    let operations = history.operations().unwrap();
    some_order(kind, &operations, &BTreeMap::new(), &mut vec![false; operations.len()])
}

fn options(kind: Kind) -> Options {
    Options { kind, ..Options::default() }
}

fn plans(kind: Kind, counts: std::ops::Range<usize>) -> impl Strategy<Value = Plan> {
    let (values, lies) = (prop_oneof![Just(2u8), Just(3), Just(5)], prop_oneof![Just(0u8), Just(40), Just(90)]);
    (counts, values, lies, prop_oneof![Just(0u8), Just(60), Just(140)]).prop_flat_map(
        move |(count, values, lies, unknown)| {
            let numbers = (0..count).chain(0..count).collect::<Vec<_>>();
            (Just(numbers).prop_shuffle(), prop::collection::vec(any::<Dice>(), count))
                .prop_map(move |(shuffle, dice)| Plan { kind, shuffle, dice, values, lies, unknown })
        },
    )
}

/// Like `plans`, but with a few clients that ask one thing after another.
fn long_plans(kind: Kind, count: usize) -> impl Strategy<Value = Plan> {
    let lies = prop_oneof![Just(0u8), Just(4), Just(12)];
    let unknown = prop_oneof![Just(0u8), Just(20), Just(60)];
    let values = prop_oneof![Just(2u8), Just(3), Just(5), Just(200)];
    (prop::collection::vec(0usize..5, 2 * count), prop::collection::vec(any::<Dice>(), count), values, lies, unknown)
        .prop_map(move |(clients, dice, values, lies, unknown)| {
            let (mut shuffle, mut open, mut next) = (Vec::new(), [None; 5], 0);
            for client in clients {
                match open[client].take() {
                    Some(number) => shuffle.push(number),
                    None if next < dice.len() => {
                        shuffle.push(next);
                        open[client] = Some(next);
                        next += 1;
                    }
                    None => {}
                }
            }
            Plan { kind, shuffle, dice, values, lies, unknown }
        })
}

/// Calls a generic function with the model of a kind, its first value 0 (of a text: nil).
macro_rules! by_kind {
    ($kind:expr, $function:ident, $($argument:expr),*) => {
        match $kind {
            Kind::Register => $function(&Register::new(0.into()), $($argument),*),
            Kind::MultiRegister => $function(&MultiRegister::new(0.into()), $($argument),*),
            Kind::Mutex => $function(&Mutex::plain(), $($argument),*),
            Kind::OwnerMutex => $function(&Mutex::owned(), $($argument),*),
            Kind::ReentrantMutex => $function(&Mutex::reentrant(), $($argument),*),
            Kind::FencedMutex => $function(&Mutex::fenced(), $($argument),*),
            Kind::Queue => $function(&FifoQueue, $($argument),*),
            Kind::UnorderedQueue => $function(&UnorderedQueue, $($argument),*),
            Kind::Set => $function(&Set::default(), $($argument),*),
            Kind::Counter => $function(&Counter::new(0), $($argument),*),
            Kind::Kv => $function(&Kv::new(Value::Nil), $($argument),*),
            Kind::Log => $function(&Log, $($argument),*),
        }
    };
}

fn parts_of<M: Model>(model: &M, history: &History) -> Vec<Part<M::Call>> {
    let mut collector = Collector::new(model, false);
    history.events.iter().for_each(|event| collector.push(event).unwrap());
    collector.parts().unwrap()
}

fn found<M: Model>(model: &M, part: &Part<M::Call>) -> Found<M::State> {
    check_part(model, part, &mut Meter::new(&Budget::default()), &|_| {}).unwrap()
}

/// Whether the open operations lead from `state` to one where `blocked` is possible.
fn gets_through<M: Model>(
    model: &M,
    part: &Part<M::Call>,
    open: &mut Vec<u32>,
    state: &M::State,
    blocked: u32,
) -> bool {
    for place in 0..open.len() {
        let operation = open[place];
        let mut next = Vec::new();
        model.step(state, &part.operations[operation as usize].call, &mut next);
        if operation == blocked && !next.is_empty() {
            return true;
        }
        open.swap_remove(place);
        let through = next.iter().any(|state| gets_through(model, part, open, state, blocked));
        open.push(operation);
        let last = open.len() - 1;
        open.swap(place, last);
        if through {
            return true;
        }
    }
    false
}

/// The part up to and including what returns before `end`: the rest of what is invoked by then stays open.
fn until<C: Clone>(part: &Part<C>, end: u32) -> Part<C> {
    let mut operations = part.operations.clone();
    operations.retain(|taken| taken.invoked < end);
    for taken in &mut operations {
        taken.returned = if taken.returned < end { taken.returned } else { NEVER };
    }
    Part { name: String::new(), operations }
}

fn recheck_blocked<M: Model>(model: &M, part: &Part<M::Call>, blocked: &Blocked<M::State>)
where
    M::State: std::fmt::Debug,
{
    let stuck = &part.operations[blocked.operation as usize];
    let prefix = until(part, stuck.returned);
    assert!(!blocked.ways.is_empty(), "there is a way up to what is blocked");
    for (order, state) in &blocked.ways {
        confirm(model, &prefix, order).unwrap();
        let mut states = vec![model.initial()];
        for place in order {
            let mut next = Vec::new();
            states.iter().for_each(|state| model.step(state, &part.operations[*place as usize].call, &mut next));
            states = next;
        }
        assert!(states.contains(state), "the way leads to {states:?}, not to {state:?}");
        if part.operations.len() <= 12 {
            let open = (0..prefix.operations.len() as u32).filter(|place| !order.contains(place));
            assert!(!gets_through(model, part, &mut open.collect(), state, blocked.operation));
        }
    }
}

/// Each proof holds.
fn recheck<M: Model>(model: &M, history: &History)
where
    M::State: std::fmt::Debug,
{
    for part in parts_of(model, history) {
        match found(model, &part) {
            Found::Order(order) => confirm(model, &part, &order).unwrap(),
            Found::Blocked(blocked) => {
                recheck_blocked(model, &part, &blocked);
                // No order at all, not even of the part up to there.
                let prefix = until(&part, part.operations[blocked.operation as usize].returned + 1);
                assert!(matches!(found(&Plain(model), &prefix), Found::Blocked(_)));
            }
        }
    }
}

/// A model without anything that makes it fast.
struct Plain<'m, M>(&'m M);

impl<M: Model> Model for Plain<'_, M> {
    type State = M::State;
    type Call = M::Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<M::Call>) -> Result<(), CheckError> {
        self.0.call(asked, calls)
    }

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &M::State, call: &M::Call, next: &mut Vec<M::State>) {
        self.0.step(state, call, next);
    }

    fn did(&self, call: &M::Call) -> String {
        self.0.did(call)
    }

    fn was(&self, state: &M::State) -> String {
        self.0.was(state)
    }
}

/// Foresight, domination by foresight, and looking early change neither the verdict nor what is blocked. False: it takes too long
/// to tell, without them mostly; of texts to which many append at once the longest prefix may be as hard with them.
fn same_without_foresight<M: Model>(model: &M, history: &History) -> bool
where
    M::State: std::fmt::Debug,
{
    let budget = Budget { steps_max: 200_000, ..Budget::default() };
    for part in parts_of(model, history) {
        let fast = check_part(model, &part, &mut Meter::new(&budget), &|_| {});
        let slow = check_part(&Plain(model), &part, &mut Meter::new(&budget), &|_| {});
        let (Ok(fast), Ok(slow)) = (fast, slow) else { return false };
        match (&fast, &slow) {
            (Found::Order(order), Found::Order(_)) => confirm(model, &part, order).unwrap(),
            (Found::Blocked(fast), Found::Blocked(slow)) => {
                assert_eq!(fast.operation, slow.operation);
                recheck_blocked(model, &part, fast);
                recheck_blocked(model, &part, slow);
            }
            other => panic!("fast and slow differ: {other:?}"),
        }
    }
    true
}

fn judged_as_by_brute_force(plan: &Plan) {
    let history = history_of(plan);
    let report = check(&history, &options(plan.kind)).unwrap();
    let expected = has_order(plan.kind, &history);
    match &report.proof {
        Proof::Valid(_) => assert!(expected, "called valid: {history:#?}"),
        Proof::Invalid(violation) => assert!(!expected, "{}", violation.explanation),
        Proof::Unknown { reason } => panic!("{reason}"),
    }
    by_kind!(plan.kind, recheck, &history);
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12_000))]

    #[test]
    fn small_histories_are_judged_as_by_brute_force(plan in any_kind().prop_flat_map(|kind| plans(kind, 1..8))) {
        judged_as_by_brute_force(&plan);
    }

    #[test]
    fn small_registers_are_judged_as_by_brute_force(plan in plans(Kind::Register, 1..9)) {
        judged_as_by_brute_force(&plan);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn foresight_changes_nothing(plan in any_kind().prop_flat_map(|kind| long_plans(kind, 30))) {
        // So many cases must be told all the same: those that are not are drawn again, and few may be.
        prop_assume!(by_kind!(plan.kind, same_without_foresight, &history_of(&plan)));
    }
}

/// How many of the histories that are drawn are valid: neither few nor most, for any kind.
#[test]
fn drawn_histories_are_of_both_sorts() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for kind in Kind::ALL {
        let mut valid = 0;
        for _ in 0..300 {
            let plan = plans(kind, 4..8).new_tree(&mut runner).unwrap().current();
            valid += usize::from(check(&history_of(&plan), &options(kind)).unwrap().verdict().is_valid());
        }
        assert!((60..285).contains(&valid), "{kind}: {valid} of 300 histories are valid");
    }
}

/// A history written down by hand: each line is an event, `0 write 1`, `0 ok`, `1 read`, `1 ok 1`, `2 unknown`, `2 fail`.
fn script(lines: &str) -> History {
    let mut events = Vec::new();
    for line in lines.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let process = Process(words.next().unwrap().parse().unwrap());
        let word = words.next().unwrap();
        let value = words.next().map(value_of).unwrap_or_default();
        let what = match word {
            "ok" => What::Complete { process, completion: Completion::ok(value) },
            "fail" => What::Complete { process, completion: Completion::new(Outcome::Fail) },
            "unknown" => What::Complete { process, completion: Completion::new(Outcome::Unknown) },
            function => {
                let call = Call { function: function.to_string().into(), key: Value::Nil, value };
                What::Invoke { process, call }
            }
        };
        events.push(Event::new(events.len() as u64 * 1_000_000, what));
    }
    History { header: Header { workload: String::new(), facts: BTreeMap::new() }, events }
}

/// `nil`, `true`, `12`, `[1 2]`, or a text.
fn value_of(text: &str) -> Value {
    match text {
        "nil" => Value::Nil,
        "true" => true.into(),
        "false" => false.into(),
        _ if text.starts_with('[') => {
            let inner = text.trim_matches(['[', ']']);
            Value::List(inner.split_whitespace().map(value_of).collect())
        }
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::Int),
    }
}

fn judged(kind: Kind, history: &History) -> Finding {
    let options = Options { initial: (kind != Kind::Kv).then(|| 0.into()), ..options(kind) };
    by_kind!(kind, recheck, history);
    check(history, &options).unwrap().verdict().finding
}

fn is_valid(kind: Kind, lines: &str) -> bool {
    match judged(kind, &script(lines)) {
        Finding::Valid => true,
        Finding::Invalid { .. } => false,
        Finding::Unknown { reason } => panic!("{reason}"),
    }
}

fn explanation(kind: Kind, lines: &str) -> String {
    match judged(kind, &script(lines)) {
        Finding::Invalid { explanation, .. } => explanation,
        other => panic!("not invalid but {other:?}"),
    }
}

/// With this budget of steps; recheck of each proof besides.
fn within(kind: Kind, steps_max: u64, lines: &str) -> Finding {
    let budget = Budget { steps_max, ..Budget::default() };
    let options = Options { initial: (kind != Kind::Kv).then(|| 0.into()), budget, ..options(kind) };
    check(&script(lines), &options).unwrap().verdict().finding
}

fn lines(numbers: std::ops::Range<usize>, line: impl Fn(usize) -> String) -> String {
    numbers.map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn explanations_of_each_model_can_be_followed() {
    let cases = [
        (
            Kind::Register,
            "0 write 1; 0 ok; 1 read; 1 ok 0",
            "operation 1 (process 1, 0.002000 s) read 0 (the initial value); but just before its answer the value was 1 \
             (operation 0 (process 0, 0.000000 s) wrote 1), and no order of the operations that were open then leads to \
             what it saw",
        ),
        (
            Kind::Mutex,
            "0 acquire; 0 ok; 1 acquire; 1 ok",
            "acquired the lock; but just before its answer the lock was held",
        ),
        (
            Kind::OwnerMutex,
            "0 acquire; 0 ok; 1 release; 1 ok",
            "released the lock; but just before its answer the lock was held by 0",
        ),
        (
            Kind::FencedMutex,
            "0 acquire; 0 ok 7; 0 release; 0 ok; 1 acquire; 1 ok 7",
            "acquired the lock with token 7; but just before its answer the lock was free, the last token was 7",
        ),
        (
            Kind::Queue,
            "0 enqueue 1; 0 ok; 0 enqueue 2; 0 ok; 1 dequeue; 1 ok 2",
            "dequeued 2; but just before its answer the queue was [1, 2] (operation 1 (process 0, 0.002000 s) enqueued 2)",
        ),
        (
            Kind::UnorderedQueue,
            "0 enqueue 1; 0 ok; 1 dequeue; 1 ok 1; 1 dequeue; 1 ok 1",
            "element 1: operation 2 (process 1, 0.004000 s) dequeued 1; but just before its answer the queue held []",
        ),
        (Kind::Set, "0 add 1; 0 ok; 1 read; 1 ok []", "read []; but just before its answer the set was [1]"),
        (Kind::Counter, "0 inc; 0 ok; 1 read; 1 ok 2", "read 2; but just before its answer the count was 1"),
        (
            Kind::Kv,
            "0 append x; 0 ok; 1 get; 1 ok nil",
            "got nothing (the initial value); but just before its answer the text was \"x\"",
        ),
        (
            Kind::Log,
            "0 append 5; 0 ok 0; 1 append 6; 1 ok 0",
            "appended 6 at place 0; but just before its answer the log was [5]",
        ),
    ];
    for (kind, lines, expected) in cases {
        let said = explanation(kind, lines);
        assert!(said.contains(expected), "{kind}: {said}");
    }
}

#[test]
fn an_explanation_of_transactions_can_be_followed() {
    let micro = |name: &str, key: i64, value: Value| Value::List(vec![name.into(), key.into(), value]);
    let write = Value::List(vec![micro("w", 1, 5.into()), micro("w", 2, 5.into())]);
    let asks = Value::List(vec![micro("r", 1, Value::Nil), micro("r", 2, Value::Nil)]);
    let sees = Value::List(vec![micro("r", 1, 5.into()), micro("r", 2, 0.into())]);
    let call = |value| Call { function: "txn".into(), key: Value::Nil, value };
    let whats = [
        What::Invoke { process: Process(0), call: call(write.clone()) },
        What::Complete { process: Process(0), completion: Completion::ok(write) },
        What::Invoke { process: Process(1), call: call(asks) },
        What::Complete { process: Process(1), completion: Completion::ok(sees) },
    ];
    let events = whats.into_iter().map(|what| Event::new(0, what)).collect();
    match judged(Kind::MultiRegister, &History { header: Header::default(), events }) {
        Finding::Invalid { explanation, .. } => assert!(
            explanation.starts_with(
                "keys [1, 2]: operation 1 (process 1, 0.000000 s) read 5 from 1 and read 0 from 2; but just before its \
                 answer 1 was 5, 2 was 5, every other key was 0"
            ),
            "{explanation}"
        ),
        other => panic!("not invalid but {other:?}"),
    }
}

#[test]
fn a_violation_tells_the_window_and_all_ways_to_it() {
    // Two writes at one time, seen in both orders.
    let history = script("0 write 1; 1 write 2; 2 read; 2 ok 1; 2 read; 2 ok 2; 2 read; 2 ok 1; 0 ok; 1 ok");
    let report = check(&history, &Options { initial: Some(0.into()), ..Options::default() }).unwrap();
    let Proof::Invalid(violation) = report.proof else { panic!("two writes are seen three times") };
    assert_eq!(violation.prefix, [0, 2, 1, 3]);
    assert_eq!((violation.window.from, violation.window.until, violation.window.blocked), (Some(5), 7, 4));
    assert_eq!(violation.window.open, [0, 1]);
    let states: Vec<&str> = violation.window.before.iter().map(|before| before.state.as_str()).collect();
    assert_eq!(states, ["the value was 2"]);
    assert_eq!(violation.involved, [4, 0, 1]);
}

#[test]
fn a_drain_takes_its_elements_one_by_one() {
    let queue = "0 enqueue 1; 0 ok; 0 enqueue 2; 0 ok; 1 drain; 2 dequeue; 2 ok 2;";
    assert!(is_valid(Kind::UnorderedQueue, &format!("{queue} 1 ok [1]")));
    assert!(!is_valid(Kind::UnorderedQueue, &format!("{queue} 1 ok [1 2]")));
    // First in first out: 1 is gone before 2 is taken.
    assert!(is_valid(Kind::Queue, &format!("{queue} 1 ok [1]")));
    assert!(!is_valid(Kind::Queue, &format!("{queue} 1 ok []")));
    // An unknown drain may have taken any of them, but adds none.
    assert!(is_valid(Kind::Queue, &format!("{queue} 1 unknown; 2 dequeue; 2 ok nil")));
    assert!(is_valid(Kind::UnorderedQueue, &format!("{queue} 1 unknown; 2 dequeue; 2 ok nil")));
    assert!(is_valid(Kind::UnorderedQueue, &format!("{queue} 1 unknown; 2 dequeue; 2 ok 1; 2 dequeue; 2 ok nil")));
    assert!(!is_valid(Kind::UnorderedQueue, &format!("{queue} 1 unknown; 2 dequeue; 2 ok 2; 2 dequeue; 2 ok nil")));
}

#[test]
fn jepsen_repeats_what_was_asked_when_it_is_done() {
    assert!(is_valid(Kind::Register, "0 cas [0 3]; 0 ok [0 3]; 0 read; 0 ok 3"));
    assert!(!is_valid(Kind::Register, "0 cas [1 3]; 0 ok [1 3]"));
    // Its log lines repeat nothing.
    assert!(!is_valid(Kind::Register, "0 cas [1 3]; 0 ok"));
    assert!(is_valid(Kind::Kv, "0 put x; 0 ok; 0 delete; 0 ok; 0 get; 0 ok nil; 0 append y; 0 ok; 0 get; 0 ok y"));
    assert!(is_valid(Kind::Log, "0 append 7; 0 ok 7; 0 read; 0 ok [7]"));
}

#[test]
fn pairs_of_key_and_value_are_told_apart() {
    let history = script("0 write [1 5]; 0 ok [1 5]; 0 read [2 nil]; 0 ok [2 0]; 0 read [1 nil]; 0 ok [1 0]");
    let judge =
        |pairs| check(&history, &Options { pairs, initial: Some(0.into()), ..Options::default() }).unwrap().verdict();
    match judge(true).finding {
        Finding::Invalid { explanation, .. } => {
            assert!(explanation.starts_with("key 1: operation 2 "), "{explanation}")
        }
        other => panic!("the third operation reads an old value: {other:?}"),
    }
    let history = script("0 write 5; 0 ok");
    let error = check(&history, &Options { pairs: true, ..Options::default() }).unwrap_err();
    assert_eq!(error.to_string(), "operation 0 (write): 5, expected a pair [key, value]");
}

#[test]
fn writes_of_one_value_cost_nothing_however_many() {
    let writes = lines(0..20, |process| format!("{process} write 1"));
    let ends = lines(0..20, |process| format!("{process} ok"));
    let reads = |value| format!("30 read; 30 ok 1; 30 read; 30 ok {value}\n");
    assert_eq!(within(Kind::Register, 300, &format!("{writes}{}{ends}", reads(1))), Finding::Valid);
    let invalid = within(Kind::Register, 2000, &format!("{writes}{}{ends}", reads(0)));
    assert!(matches!(invalid, Finding::Invalid { .. }), "{invalid:?}");
}

#[test]
fn a_text_that_is_put_now_and_then_tells_the_order_of_what_is_appended() {
    let round = |round: i32| {
        let appends = lines(0..9, |process| format!("{process} append r{round}a{process}."));
        let ends = lines(0..9, |process| format!("{process} ok"));
        let text: String = (0..9).rev().map(|process| format!("r{round}a{process}.")).collect();
        format!("20 put p{round}.; 20 ok\n{appends}{ends}20 get; 20 ok p{round}.{text}\n")
    };
    let rounds: String = (0..6).map(round).collect();
    assert_eq!(within(Kind::Kv, 2000, &rounds), Finding::Valid);
    let invalid = within(Kind::Kv, 2000, &format!("{rounds}20 get; 20 ok p5.r5a8."));
    assert!(matches!(invalid, Finding::Invalid { .. }), "{invalid:?}");
}

#[test]
fn what_nobody_ever_wrote_is_refused_at_once() {
    // However many unknown operations there are that might explain other things.
    let unknown = lines(0..60, |n| format!("{n} cas [{} {}]; {n} unknown", n % 4, n / 4 % 4));
    let reads = lines(0..30, |n| format!("900 read; 900 ok {}; 900 write {}; 900 ok", n * 7 % 4, n % 3));
    let invalid = within(Kind::Register, 3000, &format!("{unknown}{reads}900 read; 900 ok 9; 900 read; 900 ok 8"));
    let Finding::Invalid { explanation, .. } = invalid else { panic!("{invalid:?}") };
    assert!(explanation.contains("read 9 (nobody wrote it)"), "{explanation}");
    assert!(!is_valid(Kind::Queue, "0 enqueue 1; 0 ok; 1 dequeue; 1 ok 2; 1 dequeue; 1 ok 1"));
}

/// Where what the blocked operation saw comes from, in an invalid history.
fn saw(kind: Kind, lines: &str) -> Saw {
    let options = Options { initial: (kind != Kind::Kv).then(|| 0.into()), ..options(kind) };
    match check(&script(lines), &options).unwrap().proof {
        Proof::Invalid(violation) => violation.saw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_what_was_seen_comes_from_is_told() {
    let overwritten = "0 write 1; 0 ok; 0 write 2; 0 ok; 1 read;";
    assert_eq!(saw(Kind::Register, &format!("{overwritten} 1 ok 1")), Saw::Written { by: 0, is_unknown: false });
    assert_eq!(saw(Kind::Register, &format!("{overwritten} 1 ok 0")), Saw::Initial);
    assert_eq!(saw(Kind::Register, &format!("{overwritten} 1 ok 3")), Saw::Nobody);
    let unknown = "2 write 1; 2 unknown; 0 read; 0 ok 1; 0 write 2; 0 ok; 1 read; 1 ok 1";
    assert_eq!(saw(Kind::Register, unknown), Saw::Written { by: 0, is_unknown: true });
    assert_eq!(saw(Kind::Kv, "0 append a; 0 ok; 1 get; 1 ok b"), Saw::Unsaid);
}

#[test]
fn a_stale_read_made_small_does_not_end_as_a_read_from_nowhere() {
    use tenet_checker::minimize::{Shows, minimize};
    let model = tenet_checker::models::named("register").unwrap();
    let options = tenet_checker::models::Options { initial: Some(0.into()), ..Default::default() };
    let class = |history: &History| model.check(history, &options).unwrap().class();
    let minimal = |end: &str| {
        let history = script(&format!("0 write 1; 0 ok; 1 write 7; 1 ok; 0 write 2; 0 ok; 2 read; 2 ok 2; {end}"));
        let wanted = class(&history).unwrap();
        let mut ask = |part: &History| if class(part).as_ref() == Some(&wanted) { Shows::Yes } else { Shows::No };
        (minimize(&history, &[], &mut ask).unwrap().unwrap().operations, wanted)
    };
    assert_eq!(minimal("3 read; 3 ok 1"), (vec![0, 1, 4], "not-linearizable".to_string()));
    assert_eq!(minimal("3 read; 3 ok 9"), (vec![4], "not-linearizable-from-nowhere".to_string()));
}

#[test]
fn whoever_holds_a_lock_twice_releases_it_twice() {
    let twice = "0 acquire; 0 ok; 0 acquire; 0 ok; 0 release; 0 ok;";
    assert!(!is_valid(Kind::ReentrantMutex, &format!("{twice} 1 acquire; 1 ok")));
    assert!(is_valid(Kind::ReentrantMutex, &format!("{twice} 0 release; 0 ok; 1 acquire; 1 ok")));
    assert!(!is_valid(Kind::OwnerMutex, twice));
}

#[test]
fn an_unknown_operation_takes_effect_once_and_not_before_it_is_asked_for() {
    let again = "0 write 1; 0 unknown; 2 read; 2 ok 1; 3 write 0; 3 ok; 2 read; 2 ok 1;";
    assert!(!is_valid(Kind::Register, again));
    assert!(!is_valid(Kind::Register, &format!("{again} 1 write 1; 1 unknown")));
    assert!(is_valid(Kind::Register, &format!("1 write 1; 1 unknown; {again}")));
    assert!(!is_valid(
        Kind::Mutex,
        "0 acquire; 0 ok; 1 release; 1 unknown; 2 acquire; 2 ok; 2 acquire; 2 ok; 3 release; 3 unknown"
    ));
}

#[test]
fn unknown_operations_cost_no_exponential_price() {
    // Two hundred writes that nobody read.
    let unread = lines(0..200, |n| format!("{n} write {}; {n} unknown", n + 100));
    let refused = |from| format!("900 cas [{from} 1]; 900 ok false\n");
    let text = format!("{unread}{}900 write 7; 900 ok\n{}{}", refused(0), refused(7), refused(7));
    assert_eq!(within(Kind::Register, 100, &text), Finding::Valid);
    // Forty that are read long after.
    let unknown = lines(1..41, |n| format!("{n} write {n}; {n} unknown"));
    let reads = lines(1..41, |n| format!("900 read; 900 ok {n}"));
    assert_eq!(within(Kind::Register, 1000, &format!("{unknown}{reads}")), Finding::Valid);
    let again = within(Kind::Register, 100_000, &format!("{unknown}{reads}900 read; 900 ok 3"));
    assert!(matches!(again, Finding::Invalid { .. }), "{again:?}");
    // A chain of thirty compare-and-sets that somebody sees the end of, and then its middle.
    let chain = lines(0..30, |n| format!("{n} cas [{n} {}]; {n} unknown", n + 1));
    assert_eq!(within(Kind::Register, 1000, &format!("{chain}900 read; 900 ok 30")), Finding::Valid);
    let back = within(Kind::Register, 10_000, &format!("{chain}900 read; 900 ok 30; 900 read; 900 ok 15"));
    assert!(matches!(back, Finding::Invalid { .. }), "{back:?}");
    // Fifty who may hold a lock or have released it.
    let locks = lines(0..50, |n| format!("{n} acquire; {n} unknown; {} release; {} unknown", n + 100, n + 100));
    let held = lines(0..30, |_| "900 acquire; 900 ok".to_string());
    assert_eq!(within(Kind::Mutex, 3000, &format!("{locks}{held}")), Finding::Valid);
    let held = lines(0..60, |_| "900 acquire; 900 ok".to_string());
    let invalid = within(Kind::Mutex, 20_000, &format!("{locks}{held}"));
    assert!(matches!(invalid, Finding::Invalid { .. }), "{invalid:?}");
    // Additions that a count may include.
    let adds = lines(0..60, |n| format!("{n} add {}; {n} unknown", n % 3 + 1));
    assert_eq!(
        within(Kind::Counter, 10_000, &format!("{adds}900 read; 900 ok 37; 900 read; 900 ok 120")),
        Finding::Valid
    );
    let invalid = within(Kind::Counter, 100_000, &format!("{adds}900 read; 900 ok 37; 900 read; 900 ok 121"));
    assert!(matches!(invalid, Finding::Invalid { .. }), "{invalid:?}");
}

#[test]
fn queues_of_many_at_one_time_are_ordered_by_who_leaves_first() {
    let begin = lines(0..14, |n| format!("{n} enqueue {n}"));
    let end = lines(0..14, |n| format!("{n} ok"));
    let leave = lines(0..14, |n| format!("900 dequeue; 900 ok {}", n * 5 % 14));
    assert_eq!(within(Kind::Queue, 20_000, &format!("{begin}{end}{leave}")), Finding::Valid);
    let twice = format!("{begin}{end}{leave}900 dequeue; 900 ok 3");
    let invalid = within(Kind::Queue, 100_000, &twice);
    assert!(matches!(invalid, Finding::Invalid { .. }), "{invalid:?}");
}

#[test]
fn more_clients_than_bits_in_a_word() {
    for count in [63, 64, 65, 130] {
        let begin = lines(0..count, |n| format!("{n} write {n}"));
        let end = lines(0..count, |n| format!("{n} ok"));
        let read = |value: usize| format!("900 read; 900 ok {value}\n");
        let text = |reads: &str| format!("{begin}{reads}{end}{}", read(count / 2));
        assert!(is_valid(Kind::Register, &text(&read(7))));
        assert!(!is_valid(Kind::Register, &text(&(read(7) + &read(8) + &read(7)))));
    }
}

#[test]
fn a_search_gives_up_when_its_budget_is_spent() {
    let unknown = lines(1..41, |n| format!("{n} write {n}; {n} unknown"));
    let reads = lines(1..41, |n| format!("900 read; 900 ok {n}"));
    let history = script(&format!("{unknown}{reads}"));
    let reason = |budget: Budget| match check(&history, &Options { budget, ..Options::default() }).unwrap().proof {
        Proof::Unknown { reason } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(Budget { steps_max: 10, ..Budget::default() }), "gave up after 10 steps");
    assert_eq!(reason(Budget { bytes_max: 1000, ..Budget::default() }), "gave up at 1000 bytes of memory");
    let stop: std::sync::Arc<dyn Fn() -> bool + Send + Sync> = std::sync::Arc::new(|| true);
    assert_eq!(reason(Budget { stop: Some(stop), ..Budget::default() }), "stopped before it was done");
}

#[test]
fn progress_is_told() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let told = std::sync::Arc::new(AtomicU64::new(0));
    let teller = told.clone();
    let progress = move |progress: tenet_checker::linearizable::Progress| {
        assert!(progress.levels_done <= progress.levels && progress.levels == 20_000);
        teller.fetch_max(progress.levels_done, Ordering::Relaxed);
    };
    let history = script(&lines(0..20_000, |n| format!("0 write {n}; 0 ok")));
    let options = Options { progress: Some(std::sync::Arc::new(progress)), ..Options::default() };
    assert!(check(&history, &options).unwrap().verdict().is_valid());
    assert!(told.load(Ordering::Relaxed) > 10_000);
}

/// A model of one's own, with a choice: a box gives out what was put in, any of the last two.
struct TwoSlots;

impl Model for TwoSlots {
    type State = Vec<Value>;
    type Call = (bool, Value);

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<(bool, Value)>) -> Result<(), CheckError> {
        match asked.function {
            "put" => calls.push((true, asked.value.clone())),
            "take" => calls.push((false, asked.answer.clone())),
            _ => return Err(asked.stranger("put or take")),
        }
        Ok(())
    }

    fn initial(&self) -> Vec<Value> {
        Vec::new()
    }

    fn step(&self, state: &Vec<Value>, (puts, value): &(bool, Value), next: &mut Vec<Vec<Value>>) {
        let mut others = state.clone();
        if !puts {
            let Some(place) = state.iter().position(|other| other == value) else { return };
            others.remove(place);
            return next.push(others);
        }
        others.push(value.clone());
        if others.len() < 3 {
            return next.push(others);
        }
        // One of the older falls out, who knows which.
        for place in 0..2 {
            let mut left = others.clone();
            left.remove(place);
            next.push(left);
        }
    }

    fn did(&self, (puts, value): &(bool, Value)) -> String {
        format!("{} {value}", if *puts { "put" } else { "took" })
    }

    fn was(&self, state: &Vec<Value>) -> String {
        format!("there was {}", Value::List(state.clone()))
    }
}

#[test]
fn models_of_ones_own_may_have_a_choice() {
    use tenet_checker::linearizable::check_by;
    let three = "0 put 1; 0 ok; 0 put 2; 0 ok; 0 put 3; 0 ok; 0 take;";
    for (end, valid) in [("0 ok 1; 0 take; 0 ok 3", true), ("0 ok 2", true), ("0 ok 1; 0 take; 0 ok 2", false)] {
        let history = script(&format!("{three} {end}"));
        recheck(&TwoSlots, &history);
        let verdict = check_by(&TwoSlots, &history, &Options::default()).unwrap().verdict();
        assert_eq!(verdict.is_valid(), valid, "{end}: {verdict}");
    }
    let verdict = check_by(&TwoSlots, &script(&format!("{three} 0 ok 4")), &Options::default()).unwrap().verdict();
    assert!(
        verdict.to_string().contains("there was [2,3] (operation 2 (process 0, 0.004000 s) put 3) or there was [1,3]"),
        "{verdict}"
    );
}

fn is_judged_valid(kind: Kind, history: &History) -> bool {
    check(history, &options(kind)).unwrap().verdict().is_valid()
}

/// Neighbours that are both invocations, or both completions, change places where `swaps` says so: real time stays.
fn permuted(history: &History, swaps: &[bool]) -> History {
    let mut history = history.clone();
    for (place, swap) in (1..history.events.len()).zip(swaps.iter().cycle()) {
        let is_invoke = |event: &Event| matches!(event.what, What::Invoke { .. });
        if *swap && is_invoke(&history.events[place - 1]) == is_invoke(&history.events[place]) {
            history.events.swap(place - 1, place);
        }
    }
    history
}

fn renamed(value: &Value) -> Value {
    match value {
        Value::Int(int) => Value::Int(1000 - int * 7),
        Value::List(list) => Value::List(list.iter().map(renamed).collect()),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn permuting_what_happens_at_one_time_keeps_the_verdict(
        plan in any_kind().prop_flat_map(|kind| long_plans(kind, 25)),
        swaps in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let history = history_of(&plan);
        let permuted = permuted(&history, &swaps);
        prop_assert_eq!(is_judged_valid(plan.kind, &history), is_judged_valid(plan.kind, &permuted));
    }

    #[test]
    fn renaming_keys_values_and_processes_keeps_the_verdict(plan in long_plans(Kind::Register, 30)) {
        let history = history_of(&plan);
        let mut other = history.clone();
        for event in &mut other.events {
            match &mut event.what {
                What::Invoke { process, call } => {
                    *process = Process(5000 - process.0);
                    (call.key, call.value) = (format!("k{}", call.key).as_str().into(), renamed(&call.value));
                }
                What::Complete { process, completion } => {
                    *process = Process(5000 - process.0);
                    completion.value = renamed(&completion.value);
                }
                _ => {}
            }
        }
        other.header.facts.insert("initial".to_string(), renamed(&history.header.facts["initial"]));
        prop_assert_eq!(is_judged_valid(plan.kind, &history), is_judged_valid(plan.kind, &other));
    }

    #[test]
    fn without_reads_what_is_valid_stays_valid(
        plan in any_kind().prop_flat_map(|kind| long_plans(kind, 25)),
        kept in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let history = history_of(&plan);
        let operations = history.operations().unwrap();
        let mut dropped = std::collections::BTreeSet::new();
        for (operation, kept) in operations.iter().zip(kept.iter().cycle()) {
            let is_read = matches!(operation.call.function.as_ref(), "read" | "get");
            if is_read && !kept {
                dropped.insert(operation.invoke_event);
                dropped.extend(operation.completed.map(|completed| completed.event));
            }
        }
        let places = 0..history.events.len();
        let events = places.filter(|place| !dropped.contains(place)).map(|place| history.events[place].clone());
        let fewer = History { header: history.header.clone(), events: events.collect() };
        prop_assert!(!is_judged_valid(plan.kind, &history) || is_judged_valid(plan.kind, &fewer));
    }

    #[test]
    fn a_history_is_valid_if_each_keys_is(plan in any_kind().prop_flat_map(|kind| long_plans(kind, 30))) {
        let history = history_of(&plan);
        let operations = history.operations().unwrap();
        let keys: std::collections::BTreeSet<&Value> = operations.iter().map(|operation| &operation.call.key).collect();
        let of_key = |key: &Value| {
            let mut places = Vec::new();
            for operation in operations.iter().filter(|operation| operation.call.key == *key) {
                places.push(operation.invoke_event);
                places.extend(operation.completed.map(|completed| completed.event));
            }
            places.sort_unstable();
            let events = places.into_iter().map(|place| history.events[place].clone()).collect();
            History { header: history.header.clone(), events }
        };
        let all = keys.into_iter().all(|key| is_judged_valid(plan.kind, &of_key(key)));
        prop_assert_eq!(is_judged_valid(plan.kind, &history), all);
    }
}

#[test]
fn an_order_that_is_none_is_refused() {
    let model = Register::new(0.into());
    let history = script("0 write 1; 0 ok; 1 write 2; 2 read; 2 ok 2; 1 ok; 3 write 3; 3 unknown");
    let part = parts_of(&model, &history).remove(0);
    let says = |order: &[u32]| confirm(&model, &part, order).err().unwrap_or_default();
    assert_eq!(says(&[0, 1, 2]), "");
    assert_eq!(says(&[0, 1]), "operation 2 is missing");
    assert_eq!(says(&[0, 1, 2, 1]), "operation 1 stands twice");
    assert_eq!(says(&[1, 0, 2]), "operation 0 stands behind one invoked after its return");
    assert_eq!(says(&[0, 2, 1]), "operation 2 is not possible where it stands");
}

/// Answers drawn without any object behind them: mostly invalid, and early.
fn careless_register() -> impl Strategy<Value = History> {
    let outcome = prop_oneof![4 => Just(Outcome::Ok), 1 => Just(Outcome::Fail), 3 => Just(Outcome::Unknown)];
    let operation = (outcome, 0..4u8, 0i64..4, 0i64..4, any::<bool>());
    (prop::collection::vec(operation, 1..9)).prop_flat_map(|operations| {
        let numbers = (0..operations.len()).chain(0..operations.len()).collect::<Vec<_>>();
        (Just(operations), Just(numbers).prop_shuffle()).prop_map(|(operations, numbers)| {
            let mut asked = vec![false; operations.len()];
            let mut events = Vec::new();
            for number in numbers {
                let (outcome, function, from, to, done) = operations[number];
                let process = Process(number as u32);
                let (function, value, answer): (&'static str, Value, Value) = match function {
                    0 => ("write", to.into(), Value::Nil),
                    1 => ("cas", vec![from, to].into(), done.into()),
                    _ => ("read", Value::Nil, from.into()),
                };
                let what = if std::mem::replace(&mut asked[number], true) {
                    let value = if outcome == Outcome::Ok { answer } else { Value::Nil };
                    What::Complete { process, completion: Completion { value, ..Completion::new(outcome) } }
                } else {
                    What::Invoke { process, call: Call { function: function.into(), key: Value::Nil, value } }
                };
                events.push(Event::new(events.len() as u64, what));
            }
            let facts = [("initial".to_string(), Value::Int(0))].into();
            History { header: Header { workload: String::new(), facts }, events }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    #[test]
    fn careless_registers_are_judged_as_by_brute_force(history in careless_register()) {
        let report = check(&history, &Options::default()).unwrap();
        prop_assert_eq!(report.verdict().is_valid(), has_order(Kind::Register, &history), "{}", report);
        recheck(&Register::new(0.into()), &history);
    }
}
