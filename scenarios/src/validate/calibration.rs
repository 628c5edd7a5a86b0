//! Fixed costs of the real stack.

use std::fs::{self, File};
use std::io::{self, Read as _};

use super::{Validator, decoded, syntax_problems};
use crate::scenario::{Calibration, Component, ComponentCalibration, ComponentKind};
use crate::wire;
use crate::wire::decode::Decoder;

/// No included file is longer, in bytes.
const INCLUDED_LIMIT: u64 = 1 << 20;
const AT: &str = "calibration.include";

impl Validator<'_> {
    pub(super) fn calibration(&mut self, components: &[Component]) -> Calibration {
        let mut calibration = Calibration {
            components: vec![ComponentCalibration::default(); components.len()],
            ..Calibration::default()
        };
        let Some(file) = self.file.calibration.clone() else { return calibration };
        if let Some(included) = file.include.as_ref().and_then(|name| self.included(name, components)) {
            calibration = included;
        }
        for (name, costs) in &file.components.0 {
            let at = format!("calibration.components.{name}");
            let Some(id) = self.resolve_key(|v| &v.components, &at, name) else { continue };
            for (key, what) in misplaced(&components[usize::from(id)].kind, costs) {
                self.problem(&format!("{at}.{key}"), format!("this cost for {what} only"), None);
            }
            lay_over(&mut calibration.components[usize::from(id)], costs);
        }
        lay_frame_over(&mut calibration, &file);
        calibration
    }

    /// What an included file says, with places in that file where it says it wrongly.
    fn included(&mut self, name: &str, components: &[Component]) -> Option<Calibration> {
        let path = self.d.beside(name);
        let mut text = String::new();
        // Whoever opens a pipe waits for its other end.
        let opened = fs::metadata(&path).and_then(|found| match found.is_file() {
            true => File::open(&path),
            false => Err(io::Error::other("no file")),
        });
        let read = opened.and_then(|file| file.take(INCLUDED_LIMIT + 1).read_to_string(&mut text));
        match read {
            Ok(bytes) if bytes as u64 <= INCLUDED_LIMIT => {}
            Ok(_) => {
                self.d.problem(
                    AT,
                    format!("{}: a longer file", path.display()),
                    "a file of at most 1MiB",
                    None,
                );
                return None;
            }
            Err(error) => {
                let hint =
                    "the path is relative to the scenario's file; \"sim calibrate\" writes such a file";
                let found = format!("{}: {error}", path.display());
                self.d.problem(AT, found, "a readable file", Some(hint.to_owned()));
                return None;
            }
        }
        let mut d = Decoder::new(&path, &text);
        let (overlay, errors) = decoded::<wire::Overlay>(&mut d, &text);
        if !errors.is_empty() {
            self.d.problems.extend(syntax_problems(d, &errors).iter().cloned());
            return None;
        }
        let mut calibration = Calibration {
            components: vec![ComponentCalibration::default(); components.len()],
            ..Calibration::default()
        };
        let file = overlay.and_then(|overlay| overlay.calibration);
        if let Some(file) = &file {
            if file.include.is_some() {
                let hint = "write what it includes in its place".to_owned();
                d.problem(AT, "another file", "no file that includes a further one", Some(hint));
            }
            self.lay_included(&mut calibration, file, components, &mut d);
            lay_frame_over(&mut calibration, file);
        }
        self.d.problems.append(&mut d.problems);
        calibration.included = Some(text);
        file.map(|_| calibration)
    }

    fn lay_included(
        &self,
        calibration: &mut Calibration,
        file: &wire::Calibration,
        components: &[Component],
        d: &mut Decoder<'_>,
    ) {
        for (name, costs) in &file.components.0 {
            // A stack that has changed since it was measured is a warning, and no reason not to run.
            let Some(id) = self.components.find(name) else {
                calibration.unknown.push(name.clone());
                continue;
            };
            for (key, what) in misplaced(&components[usize::from(id)].kind, costs) {
                let at = format!("calibration.components.{name}.{key}");
                let found = d.locations.get(&at).map_or_else(|| "a cost".to_owned(), |l| l.found.clone());
                d.problem(&at, found, format!("this cost for {what} only"), None);
            }
            lay_over(&mut calibration.components[usize::from(id)], costs);
        }
    }
}

/// Costs that a component of this kind does not have, and of whom they are.
fn misplaced(kind: &ComponentKind, costs: &wire::ComponentCalibration) -> Vec<(&'static str, &'static str)> {
    let store = matches!(kind, ComponentKind::KvStore(_));
    let cache = matches!(kind, ComponentKind::HttpCache(_));
    let front = cache || matches!(kind, ComponentKind::LoadBalancer(_));
    let database = matches!(kind, ComponentKind::SqlStore(_));
    let all = [
        ("command", costs.command.is_some(), store, "a kv-store"),
        ("key", costs.key.is_some(), store, "a kv-store"),
        ("memory", costs.memory.is_some(), store, "a kv-store"),
        ("request", costs.request.is_some(), front, "an http-cache or a load-balancer"),
        ("wake", costs.wake.is_some(), cache, "an http-cache"),
        ("fetch", costs.fetch.is_some(), cache, "an http-cache"),
        ("read", costs.read.is_some(), database, "an sql-store"),
        ("write", costs.write.is_some(), database, "an sql-store"),
        ("read_latency", costs.read_latency.is_some(), database, "an sql-store"),
        ("write_latency", costs.write_latency.is_some(), database, "an sql-store"),
    ];
    let wrong = all.into_iter().filter(|(_, written, fits, _)| *written && !fits);
    wrong.map(|(key, _, _, what)| (key, what)).collect()
}

/// What is written goes over what was there.
fn lay_over(costs: &mut ComponentCalibration, written: &wire::ComponentCalibration) {
    *costs = ComponentCalibration {
        latency: written.latency.or(costs.latency),
        command: written.command.or(costs.command),
        request: written.request.or(costs.request),
        wake: written.wake.or(costs.wake),
        fetch: written.fetch.or(costs.fetch),
        key: written.key.or(costs.key),
        memory: written.memory.or(costs.memory),
        read: written.read.or(costs.read),
        write: written.write.or(costs.write),
        read_latency: written.read_latency.or(costs.read_latency),
        write_latency: written.write_latency.or(costs.write_latency),
    };
}

fn lay_frame_over(calibration: &mut Calibration, written: &wire::Calibration) {
    let over = |mine: &mut Option<String>, written: &Option<String>| {
        if written.is_some() {
            mine.clone_from(written);
        }
    };
    over(&mut calibration.source, &written.source);
    over(&mut calibration.fitted_to, &written.fitted_to);
    over(&mut calibration.machine, &written.machine);
    calibration.client = written.client.or(calibration.client);
    calibration.work = written.work.or(calibration.work);
    calibration.uncertainty.extend(written.uncertainty.0.iter().cloned());
}
