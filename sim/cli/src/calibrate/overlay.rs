//! The file that a scenario includes, and the table that says how it came about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reports::Table;
use results::figure::CONFIDENCE;
use scenarios::Scenario;
use scenarios::derive::measuring::Measuring;
use scenarios::units::SimTime;

use super::evidence::{Run, overheads, percent, processor_times};
use super::fit::{Fit, Fitted};

/// Figures are written to a tenth of a microsecond.
const DIGIT_NANOS: f64 = 100.0;
/// More sources than this are counted rather than named.
const NAMED: usize = 4;

/// A duration as a file has it.
fn duration(seconds: f64) -> SimTime {
    SimTime::from_nanos(((seconds * 1e9 / DIGIT_NANOS).round() * DIGIT_NANOS) as u64)
}

/// A size as a file has it.
fn kilobytes(bytes: f64) -> String {
    format!("{:.0}kB", bytes / 1e3)
}

/// A cost as a file has it.
fn law(fitted: &Fitted) -> String {
    let mean = duration(fitted.mean_s);
    match fitted.variation {
        // A mean that rounds to nothing has no law.
        Some(variation) if mean > SimTime::ZERO => format!("lognormal(mean={mean}, cv={variation:.2})"),
        _ => mean.to_string(),
    }
}

/// A text as TOML has it: its characters that no machine's name needs are left out.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
    format!("\"{plain}\"")
}

/// The file.
pub(super) fn text(scenario: &Scenario, runs: &[Run], fit: &Fit) -> String {
    let mut text = String::new();
    write(&mut text, scenario, runs, fit).expect("writing to a string does not fail");
    text
}

fn write(out: &mut String, scenario: &Scenario, runs: &[Run], fit: &Fit) -> std::fmt::Result {
    let file = scenario.source.path.file_name().unwrap_or_default().to_string_lossy();
    let mut seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let length = runs.iter().map(|run| run.length_s).fold(0.0, f64::max);
    let busiest = percent(runs.iter().filter_map(|run| run.busy).fold(0.0, f64::max));
    let source = format!(
        "loadgen measure {file}, {} runs of {length:.0} s, seeds {}, machine at most {busiest} busy",
        runs.len(),
        seeds.join(", ")
    );
    writeln!(
        out,
        "# Fixed costs of the stack of {file}, as `sim calibrate` writes them. Nothing in it was fitted to a run"
    )?;
    writeln!(
        out,
        "# of that file itself. A scenario includes it: [calibration] include = \"NAME OF THIS FILE\""
    )?;
    writeln!(out, "[calibration]\nsource = {}", quoted(&source))?;
    writeln!(out, "fitted_to = \"{}\"", scenario.stack())?;
    if let Some(machine) = runs.first().map(|run| &run.machine) {
        let cores = if machine.cores == 1 { "core" } else { "cores" };
        let words = format!(
            "{}, {} {cores}, {} {}",
            machine.processor, machine.cores, machine.system, machine.kernel
        );
        writeln!(out, "machine = {}", quoted(words.trim()))?;
    }
    let mut components: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for fitted in &fit.costs {
        let line = format!("{} = \"{}\"", fitted.cost.kind.key(), law(fitted));
        match &fitted.cost.component {
            None => writeln!(out, "{line}")?,
            Some(component) => components.entry(component).or_default().push(line),
        }
    }
    let overheads = overheads(runs);
    for (component, bytes) in &overheads {
        components.entry(component).or_default().push(format!("memory = \"{}\"", kilobytes(*bytes)));
    }
    writeln!(out, "\n[calibration.components]")?;
    for (component, costs) in components {
        writeln!(out, "{component} = {{ {} }}", costs.join(", "))?;
    }
    writeln!(out, "\n# Half the widths of the means' intervals at {:.0}%.", CONFIDENCE * 100.0)?;
    writeln!(out, "[calibration.uncertainty]")?;
    for fitted in &fit.costs {
        writeln!(out, "\"{}\" = \"{}\"", fitted.cost, duration(fitted.half_width_s))?;
    }
    Ok(())
}

/// What was found, from what, and what was assumed.
pub(super) fn table(fit: &Fit, measuring: &Measuring, runs: &[Run]) -> String {
    let mut table = Table::new(&["cost", "value", "± 95%", "from", "remarks"]);
    for fitted in &fit.costs {
        let from = match fitted.from.len() {
            0..=NAMED => fitted.from.join(", "),
            more => format!("{more} probes"),
        };
        table.rows.push(vec![
            fitted.cost.to_string(),
            law(fitted),
            duration(fitted.half_width_s).to_string(),
            from,
            fitted.remarks.join("; "),
        ]);
    }
    let mut text = table.text();
    let worst = fit.residuals.iter().max_by(|a, b| a.1.mean.abs().total_cmp(&b.1.mean.abs()));
    if let Some((class, left)) = worst {
        let sign = if left.mean < 0.0 { "less" } else { "more" };
        text += &format!(
            "\nWhat the costs leave unexplained is most of {class}: it took {} {sign} (± {}) than their sum.\n",
            duration(left.mean.abs()),
            duration(left.half_width(CONFIDENCE))
        );
    }
    let spent: Vec<String> = processor_times(runs)
        .into_iter()
        .map(|(name, time)| {
            format!("{name} {} ± {}", duration(time.mean), duration(time.half_width(CONFIDENCE)))
        })
        .collect();
    if !spent.is_empty() {
        text += &format!("Processor time of a request, by the scheduler's account: {}.\n", spent.join(", "));
    }
    for (component, bytes) in overheads(runs) {
        text += &format!("{component} takes {} beside its records.\n", kilobytes(bytes));
    }
    for reason in &measuring.left_out {
        text += &format!("Not measured: {reason}.\n");
    }
    text
}
