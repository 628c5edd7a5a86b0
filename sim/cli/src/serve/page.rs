//! The HTML: a form of knobs, and what a simulation says.

use askama::Template;
use results::Scope;
use scenarios::Scenario;
use scenarios::units::SimTime;

use super::answer::Outcome;
use super::knobs::{Group, Knob, Knobs, Values, compact};
use super::state::{Broken, LASTS, LOAD, State};

/// Something that can be chosen from a list.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

impl Choice {
    fn new(value: impl Into<String>, label: impl Into<String>, chosen: bool) -> Self {
        Self { value: value.into(), label: label.into(), chosen }
    }
}

/// A control of the form.
struct Control {
    name: String,
    label: String,
    /// The value where nothing was moved.
    file: String,
    value: String,
    shape: Shape,
}

enum Shape {
    Slider { least: u32, most: u32, step: u32, unit: &'static str },
    Number { least: u64, most: u64, unit: &'static str },
    List(Vec<Choice>),
}

/// Controls that belong together.
struct Part {
    name: &'static str,
    /// Whether it is folded away.
    folded: bool,
    controls: Vec<Control>,
}

#[derive(Template)]
#[template(path = "playground.html")]
struct Page<'a> {
    file: String,
    title: &'a str,
    question: Option<&'a str>,
    parts: Vec<Part>,
    answer: &'a str,
}

/// The whole page.
pub(super) fn page(scenario: &Scenario, knobs: &Knobs, state: &State, answer: &str) -> String {
    let page = Page {
        file: scenario.source.path.display().to_string(),
        title: &scenario.title,
        question: scenario.question.as_deref(),
        parts: parts(knobs, state),
        answer,
    };
    reports::framed(&scenario.title, &page.render().expect("writing to memory does not fail"))
}

fn parts(knobs: &Knobs, state: &State) -> Vec<Part> {
    let initial = knobs.initial();
    let of = |group: Group| -> Vec<Control> {
        let both = knobs.knobs.iter().zip(&state.values);
        both.filter(|(knob, _)| knob.group == group).map(|(knob, value)| control(knob, value)).collect()
    };
    let load = Control {
        name: "load".to_owned(),
        label: "Load".to_owned(),
        file: "100".to_owned(),
        value: state.load.to_string(),
        shape: Shape::Slider { least: 10, most: (*LOAD.end()).min(500), step: 10, unit: "%" },
    };
    let mut parts = vec![
        Part { name: "What is asked", folded: false, controls: vec![load] },
        Part { name: "Machines", folded: false, controls: of(Group::Machines) },
        Part { name: "Memory", folded: false, controls: of(Group::Memory) },
        Part { name: "What breaks", folded: false, controls: faults(knobs, state, &initial) },
        Part { name: "What is simulated", folded: false, controls: extent(knobs, state, &initial) },
        Part { name: "Cores, workers and connections", folded: true, controls: of(Group::Places) },
    ];
    parts.retain(|part| !part.controls.is_empty());
    // What was moved is to be seen.
    for part in &mut parts {
        part.folded &= part.controls.iter().all(|control| control.value == control.file);
    }
    parts
}

fn control(knob: &Knob, value: &str) -> Control {
    let shape = match &knob.values {
        Values::Counts { least, most, .. } => Shape::Slider { least: *least, most: *most, step: 1, unit: "" },
        Values::Sizes { file, sizes } => {
            let choice = |size: &scenarios::units::Bytes| {
                let text = compact(*size);
                let own = if size == file { " (the file's)" } else { "" };
                Choice::new(text.clone(), format!("{size}{own}"), text == value)
            };
            Shape::List(sizes.iter().map(choice).collect())
        }
    };
    Control {
        name: knob.path.clone(),
        label: knob.label.clone(),
        file: knob.file(),
        value: value.to_owned(),
        shape,
    }
}

fn faults(knobs: &Knobs, state: &State, initial: &State) -> Vec<Control> {
    let as_written = match knobs.faults {
        0 => "nothing".to_owned(),
        1 => "the file's fault".to_owned(),
        count => format!("the file's {count} faults"),
    };
    let mut choices = vec![Choice::new("file", as_written, state.broken == Broken::File)];
    if knobs.faults > 0 {
        choices.push(Choice::new("nothing", "nothing", state.broken == Broken::Nothing));
    }
    let targets = knobs.targets.iter().enumerate();
    choices.extend(targets.map(|(place, target)| {
        Choice::new(target.what.clone(), target.label.clone(), state.broken == Broken::Target(place))
    }));
    let value = match &state.broken {
        Broken::File => "file".to_owned(),
        Broken::Nothing => "nothing".to_owned(),
        Broken::Target(place) => knobs.targets[*place].what.clone(),
    };
    let seconds = |name: &str, label: &str, least, file: u64, value: u64| Control {
        name: name.to_owned(),
        label: label.to_owned(),
        file: file.to_string(),
        value: value.to_string(),
        shape: Shape::Number { least, most: LASTS, unit: "s" },
    };
    vec![
        Control {
            name: "kill".to_owned(),
            label: "Who dies".to_owned(),
            file: "file".to_owned(),
            value,
            shape: Shape::List(choices),
        },
        seconds("at", "At second", 0, initial.at, state.at),
        seconds("for", "For", 1, initial.lasts, state.lasts),
    ]
}

fn extent(knobs: &Knobs, state: &State, initial: &State) -> Vec<Control> {
    let mut controls = Vec::new();
    if !knobs.variants.is_empty() {
        let chosen = |place: Option<usize>| state.variant == place;
        let mut choices = vec![Choice::new("", "as it is", chosen(None))];
        let variants = knobs.variants.iter().enumerate();
        choices.extend(
            variants.map(|(i, (name, what))| Choice::new(name, format!("{name}: {what}"), chosen(Some(i)))),
        );
        controls.push(Control {
            name: "variant".to_owned(),
            label: "Design".to_owned(),
            file: String::new(),
            value: state.variant.map(|i| knobs.variants[i].0.clone()).unwrap_or_default(),
            shape: Shape::List(choices),
        });
    }
    let mut places: Vec<Choice> = knobs
        .moments
        .places
        .iter()
        .map(|(name, from)| Choice::new(from.to_string(), format!("{name} ({from})"), *from == state.from))
        .collect();
    let mut lengths: Vec<Choice> = knobs
        .moments
        .lengths
        .iter()
        .map(|l| Choice::new(l.to_string(), l.to_string(), *l == state.window))
        .collect();
    // An address may ask for what is not in the lists.
    for (choices, time) in [(&mut places, state.from), (&mut lengths, state.window)] {
        if !choices.iter().any(|choice| choice.chosen) {
            choices.push(Choice::new(time.to_string(), time.to_string(), true));
        }
    }
    let list = |name: &str, label: &str, file: SimTime, value: SimTime, choices| Control {
        name: name.to_owned(),
        label: label.to_owned(),
        file: file.to_string(),
        value: value.to_string(),
        shape: Shape::List(choices),
    };
    controls.push(list("from", "From", initial.from, state.from, places));
    controls.push(list("window", "For", initial.window, state.window, lengths));
    controls.push(Control {
        name: "seed".to_owned(),
        label: "Seed".to_owned(),
        file: initial.seed.to_string(),
        value: state.seed.to_string(),
        shape: Shape::Number { least: 0, most: i64::MAX as u64, unit: "" },
    });
    controls
}

#[derive(Template)]
#[template(path = "answer.html")]
struct Answer<'a> {
    outline: String,
    simulated: String,
    notes: &'a [String],
}

/// What a simulation says, beside that of the file as it is.
pub(super) fn part(here: &Outcome, there: Option<&Outcome>) -> String {
    let record = &here.record;
    let run = &record.scenario;
    let requests = record.tally(Scope::Run, None).due();
    let warmup = match run.warmup {
        SimTime::ZERO => String::new(),
        warmup => format!(" after {warmup} of warm-up"),
    };
    let simulated = format!(
        "Simulated: {} from {} on the timeline{warmup}; {requests} requests, seed {}. One run: another seed shows how much is \
         chance.",
        run.duration, run.from, run.seed
    );
    let answer = Answer {
        outline: reports::outline(record, there.map(|there| &there.record)),
        simulated,
        notes: &here.notes,
    };
    answer.render().expect("writing to memory does not fail")
}

/// Why there is no answer.
pub(super) fn problem(text: &str) -> String {
    format!("<p class=\"verdict doubtful\"><strong>⚠ No answer</strong>: {}</p>", results::escaped(text))
}
