//! nexosim on one thread: a model for the source, one per station, one for the responses; a customer is the time it came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::{EventSource, Output};
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use peers::{BETWEEN, Draws, Histogram, SERVERS, SERVICE, STATIONS};
use serde::{Deserialize, Serialize};

/// What was set before the simulation began, and is not saved with it.
fn set<T>(value: &mut Option<T>) -> &mut T {
    value.as_mut().expect("it was set before the simulation began")
}

fn nanos(time: MonotonicTime) -> u64 {
    time.duration_since(MonotonicTime::EPOCH).as_nanos() as u64
}

#[derive(Serialize, Deserialize)]
struct Source {
    output: Output<u64>,
    left: u64,
    #[serde(skip)]
    draws: Option<Draws>,
}

#[Model]
impl Source {
    async fn start(&mut self, _: (), cx: &Context<Self>) {
        self.wait(cx);
    }

    fn wait(&mut self, cx: &Context<Self>) {
        let between = set(&mut self.draws).exponential(BETWEEN).max(1);
        cx.schedule_event(Duration::from_nanos(between), schedulable!(Self::arrive), ())
            .expect("it is later");
    }

    #[nexosim(schedulable)]
    async fn arrive(&mut self, _: (), cx: &Context<Self>) {
        self.output.send(nanos(cx.time())).await;
        self.left -= 1;
        if self.left > 0 {
            self.wait(cx);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Station {
    output: Output<u64>,
    busy: u32,
    queue: VecDeque<u64>,
    #[serde(skip)]
    draws: Option<Draws>,
}

#[Model]
impl Station {
    async fn arrive(&mut self, came: u64, cx: &Context<Self>) {
        if self.busy < SERVERS {
            self.busy += 1;
            self.serve(came, cx);
        } else {
            self.queue.push_back(came);
        }
    }

    fn serve(&mut self, came: u64, cx: &Context<Self>) {
        let service = set(&mut self.draws).exponential(SERVICE).max(1);
        cx.schedule_event(Duration::from_nanos(service), schedulable!(Self::done), came)
            .expect("it is later");
    }

    #[nexosim(schedulable)]
    async fn done(&mut self, came: u64, cx: &Context<Self>) {
        match self.queue.pop_front() {
            Some(next) => self.serve(next, cx),
            None => self.busy -= 1,
        }
        self.output.send(came).await;
    }
}

#[derive(Serialize, Deserialize)]
struct Responses {
    #[serde(skip)]
    histogram: Option<Arc<Mutex<Histogram>>>,
}

#[Model]
impl Responses {
    async fn record(&mut self, came: u64, cx: &Context<Self>) {
        let now = nanos(cx.time());
        set(&mut self.histogram).lock().expect("nobody panics with it").add(now - came);
    }
}

fn simulate(customers: u64, seed: u64) -> Histogram {
    let found = Arc::new(Mutex::new(Histogram::default()));
    let sink = Responses { histogram: Some(Arc::clone(&found)) };
    let sink_box = Mailbox::new();
    let boxes: [Mailbox<Station>; STATIONS] = std::array::from_fn(|_| Mailbox::new());
    let mut stations: Vec<Station> = (0..STATIONS)
        .map(|i| Station {
            output: Output::default(),
            busy: 0,
            queue: VecDeque::new(),
            draws: Some(Draws::new(seed + 1 + i as u64)),
        })
        .collect();
    let mut source = Source { output: Output::default(), left: customers, draws: Some(Draws::new(seed)) };
    let source_box = Mailbox::new();
    source.output.connect(Station::arrive, &boxes[0]);
    for i in 0..STATIONS {
        match boxes.get(i + 1) {
            Some(next) => stations[i].output.connect(Station::arrive, next),
            None => stations[i].output.connect(Responses::record, &sink_box),
        };
    }
    let mut bench = SimInit::with_num_threads(1);
    let start = EventSource::new().connect(Source::start, &source_box).register(&mut bench);
    bench = bench.add_model(source, source_box, "source").add_model(sink, sink_box, "responses");
    for (i, (station, mailbox)) in stations.into_iter().zip(boxes).enumerate() {
        bench = bench.add_model(station, mailbox, &format!("station {i}"));
    }
    let mut simulation = bench.init(MonotonicTime::EPOCH).expect("the models are connected");
    simulation.process_event(&start, ()).expect("the source waits");
    simulation.run().expect("it runs until there is no event left");
    drop(simulation);
    let histogram = found.lock().expect("the simulation is over").clone();
    histogram
}

fn main() {
    peers::program(simulate);
}
