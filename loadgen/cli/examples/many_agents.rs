//! Stands for many agents towards one coordinator: what they would tell is made up beforehand, from the plan, so that the coordinator's
//! cost can be measured without a thousand machines.
//!
//! ```sh
//! nats-server -a 127.0.0.1 &
//! cargo run --release -p loadgen-cli --features nats --example many_agents -- nats://127.0.0.1:4222 fleet.toml 1000 &
//! loadgen run fleet.toml --agents 1000 --nats nats://127.0.0.1:4222 --target http://127.0.0.1:9
//! ```

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fleet::{Link, Options, StreamExt as _};
use jiff::Timestamp;
use results::{Frame, Outcome, Piece, Recorder};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

/// What an agent says: a message for each second, and how many requests there were.
struct Told {
    seconds: Vec<Vec<u8>>,
    requests: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, file, number] = arguments.as_slice() else { bail!("expected URL FILE NUMBER") };
    let options = Options { nats: Some(url.parse().map_err(anyhow::Error::msg)?), ..Options::default() };
    let scenario = Scenario::load(Path::new(file)).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let number: u32 = number.parse().context("the number of agents")?;
    let plan = Plan::new(&scenario);
    let told: Vec<Told> = (0..number).map(|agent| made_up(&scenario, &plan, agent, number)).collect();
    let messages: usize = told.iter().map(|told| told.seconds.len()).sum();
    let bytes: usize = told.iter().flat_map(|told| &told.seconds).map(Vec::len).sum();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{number} agents, {} requests, {messages} messages of {} bytes on average, {:.1} MB a second",
        told.iter().map(|told| told.requests).sum::<u64>(),
        bytes / messages.max(1),
        bytes as f64 / 1e6 / scenario.run.total().as_secs_f64()
    )?;
    fleet::runtime()?.block_on(play(&options, &scenario, &told))
}

/// What an agent would tell of its segment, if every answer took some milliseconds.
fn made_up(scenario: &Scenario, plan: &Plan, agent: u32, of: u32) -> Told {
    let frame = Frame::new(scenario);
    let classes: Vec<String> = scenario.requests.iter().map(|class| class.name.clone()).collect();
    let mut recorder = Recorder::new(&frame);
    let (mut told, mut second) = (Told { seconds: Vec::new(), requests: 0 }, 1);
    let mut tell = |recorder: &mut Recorder, requests: u64| {
        let piece = Piece::new(&recorder.take(), &[], &classes);
        let pulse = json!({ "planned": requests, "ok": requests, "failed": 0, "under_way": 0, "queue": 0,
            "connections": 1, "wakeup_lag_nanos": 0, "delayed_nanos": 0, "retries": 0 });
        let word = json!({ "second": { "piece": piece, "pulse": pulse, "start_skew_s": 0.0 } });
        told.seconds.push(serde_json::to_vec(&word).expect("it is JSON"));
    };
    let mut requests = 0;
    for planned in plan.segment(agent, of) {
        while planned.due >= SimTime::from_secs(second) {
            tell(&mut recorder, requests);
            second += 1;
        }
        // Spread over two octaves, as answers are.
        let spread = planned.id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let done = planned.due + SimTime::from_nanos(2_000_000 + spread % 6_000_000);
        recorder.record(&Outcome {
            class: planned.class,
            due: planned.due,
            sent: Some(planned.due + SimTime::from_nanos(spread % 100_000)),
            done,
            lag: SimTime::from_nanos(spread % 100_000),
            result: Ok(()),
        });
        requests += 1;
    }
    tell(&mut recorder, requests);
    told.requests = requests;
    told
}

/// Plays a whole run's part of all agents.
async fn play(options: &Options, scenario: &Scenario, told: &[Told]) -> anyhow::Result<()> {
    let link = options.connect("many agents").await?;
    let run = loop {
        let hello = json!({ "version": 2 });
        match link.ask::<Value>("a look", "rehearsal.load.register", &hello, Duration::from_secs(1)).await {
            Ok(offer) => break offer["run"].as_str().context("a run")?.to_owned(),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    };
    let mut orders = link.listen(format!("rehearsal.load.{run}.order.*")).await?;
    let mut calls = link.listen(format!("rehearsal.load.{run}.all")).await?;
    for agent in 0..told.len() {
        let join = json!({ "version": 2, "id": agent.to_string(), "name": format!("agent {agent}"), "cores": 1, "findings": [] });
        let subject = format!("rehearsal.load.{run}.up.join");
        link.ask::<Value>("a wish", subject, &join, Duration::from_secs(5)).await?;
        say(&link, &run, agent, &json!({ "clock": { "offset_s": 0.0, "error_s": 1e-4 } })).await?;
    }
    let mut beat = interval(Duration::from_secs(1));
    let start = loop {
        tokio::select! {
            Some(order) = orders.next() => {
                let agent: usize = order.subject.rsplit('.').next().unwrap_or_default().parse()?;
                say(&link, &run, agent, &json!({ "accepted": { "hash": scenario.source.hash } })).await?;
            }
            Some(call) = calls.next() => {
                let call: Value = serde_json::from_slice(&call.payload)?;
                if let Some(at) = call["start"]["at_ns"].as_i64() {
                    break Timestamp::from_nanosecond(at.into())?;
                }
            }
            _ = beat.tick() => {
                for agent in 0..told.len() {
                    say(&link, &run, agent, &json!("alive")).await?;
                }
            }
        }
    };
    let seconds = told.iter().map(|told| told.seconds.len()).max().unwrap_or(0);
    let mut now = Timestamp::now();
    while now < start {
        for agent in 0..told.len() {
            say(&link, &run, agent, &json!("alive")).await?;
        }
        sleep(Duration::try_from(start.duration_since(now)).unwrap_or_default().min(Duration::from_secs(1)))
            .await;
        now = Timestamp::now();
    }
    for second in 0..seconds {
        let due = start + jiff::SignedDuration::from_secs(second as i64 + 1);
        sleep(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()).await;
        for (agent, told) in told.iter().enumerate() {
            if let Some(message) = told.seconds.get(second) {
                let subject = format!("rehearsal.load.{run}.up.told.{agent}");
                link.client().publish(subject, message.clone().into()).await?;
            }
        }
    }
    for (agent, told) in told.iter().enumerate() {
        let done = json!({ "done": { "status": "complete", "reasons": [], "requests": told.requests,
            "send_lag_p99_s": 0.0001, "cpu_cores": 0.1 } });
        say(&link, &run, agent, &done).await?;
    }
    link.flush().await?;
    Ok(())
}

async fn say(link: &Link, run: &str, agent: usize, word: &Value) -> anyhow::Result<()> {
    Ok(link.send("a word", format!("rehearsal.load.{run}.up.told.{agent}"), word).await?)
}
