//! Writes pages of made-up runs, to look at: `cargo run --release -p reports --example made_up -- DIRECTORY`.

#[path = "../results/tests/record/synthetic.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod synthetic;

use std::path::PathBuf;

use synthetic::{Play, record};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "made-up".into()));
    let text = std::fs::read_to_string("scenarios/library/quickstart.toml")?;
    let week = text.replace("300/s", "1/s").replace("\"30s\"", "\"7d\"").replace("\"3s\"", "\"1h\"");
    let week = week.replace("at = \"12s\"\nfor = \"8s\"", "at = \"68h\"\nfor = \"10m\"");
    let (quick, week) = (synthetic::scenario(&text), synthetic::scenario(&week));
    let sim = record(&root.join("sim"), &quick, Play::SIM);
    let measured = record(&root.join("loadgen"), &quick, Play { dropped: 0.004, ..Play::LOADGEN });
    let week = record(&root.join("week"), &week, Play { failing: 0.3, ..Play::SIM });
    std::fs::write(root.join("sim.html"), reports::render(std::slice::from_ref(&sim)))?;
    std::fs::write(root.join("loadgen.html"), reports::render(std::slice::from_ref(&measured)))?;
    std::fs::write(root.join("week.html"), reports::render(&[week]))?;
    let comparison = reports::compare(&sim, &measured).map_err(std::io::Error::other)?;
    std::fs::write(root.join("compare.html"), comparison.html())
}
