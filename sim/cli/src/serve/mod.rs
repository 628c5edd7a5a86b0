//! A page to play with: numbers of a scenario are moved in the browser, and what a simulation says of it follows.
//!
//! - `knobs`: what can be moved, found out from the scenario
//! - `moment`: which part of it is simulated, so that an answer takes a second
//! - `state`: what was moved, from an address and back, and the scenario that it means
//! - `answer`: the simulation, given up when nobody waits for it any longer
//! - `page`: the HTML
//!
//! The page is complete without its script: moving something is sending a form. The script asks for the part of the page that
//! changes instead, and keeps the address up to date, which holds all that was moved.

mod answer;
mod knobs;
mod moment;
mod page;
mod state;

use std::io::{self, Write as _};

use anyhow::Context as _;
use programs::Problem;
use reports::web::{Request, Response, Server, Site};
use scenarios::Scenario;
use sim::Simulation;

use crate::arguments::ServeArguments;
use answer::Answers;
use knobs::Knobs;
use state::State;

/// Serves a file until the process is interrupted.
pub(crate) fn run(arguments: &ServeArguments) -> Result<u8, Problem> {
    let scenario = Scenario::load(&arguments.file)?;
    let site = Playground { knobs: Knobs::of(&scenario), scenario, answers: Answers::default() };
    // What the simulator refuses is told here, with its place in the file, and not in the browser.
    let first = site.knobs.initial().scenario(&site.scenario, &site.knobs).map_err(Problem::configuration)?;
    if let Err(refused) = Simulation::new(&first.scenario) {
        return Err(match Simulation::new(&site.scenario) {
            Err(in_the_file) => in_the_file.into(),
            Ok(_) => refused.into(),
        });
    }
    let server = Server::bind(site, arguments.port)
        .with_context(|| format!("127.0.0.1:{} cannot be listened at", arguments.port))?;
    let mut out = io::stdout().lock();
    writeln!(out, "http://{}/", server.address())?;
    out.flush()?;
    drop(out);
    server.run()
}

/// One scenario, its knobs, and the answers so far.
#[derive(Debug)]
struct Playground {
    scenario: Scenario,
    knobs: Knobs,
    answers: Answers,
}

impl Site for Playground {
    fn answer(&self, request: &Request) -> Response {
        let whole = match request.path() {
            "/" => true,
            "/answer" => false,
            // Browsers ask for it by themselves.
            "/favicon.ico" => return Response::of(204, String::new()),
            other => return Response::problem(404, &format!("There is nothing here called {other}.")),
        };
        let read = request.arguments().ok_or_else(|| "the address is no text in UTF-8".to_owned());
        let (status, state, part) = match read.and_then(|pairs| State::read(&self.knobs, &pairs)) {
            Ok(state) => {
                let (status, part) = self.part(&state, &|| request.is_abandoned());
                (status, state, part)
            }
            Err(wrong) => (422, self.knobs.initial(), page::problem(&wrong)),
        };
        if whole {
            let page = page::page(&self.scenario, &self.knobs, &state, &part);
            Response::of(status, page).that_asks()
        } else {
            Response::of(status, part)
        }
    }
}

impl Playground {
    /// The part of the page that depends on what was moved, with its status.
    fn part(&self, state: &State, abandoned: &dyn Fn() -> bool) -> (u16, String) {
        let initial = self.knobs.initial();
        let run = |state: &State| {
            let make = || state.scenario(&self.scenario, &self.knobs).map_err(|error| error.to_string());
            self.answers.of(state.key(&self.knobs), &make, abandoned)
        };
        let told = run(state).and_then(|here| {
            // Another part of the timeline, or another design, is held against the file as it is there.
            let beside = state.beside(&initial);
            let there = if beside == *state { None } else { Some(run(&beside)?) };
            Ok(page::part(&here, there.as_deref()))
        });
        match told {
            Ok(part) => (200, part),
            Err(wrong) => (422, page::problem(&wrong)),
        }
    }
}
