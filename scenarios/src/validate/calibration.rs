//! Fixed costs of the real stack.

use super::Validator;
use crate::scenario::{Calibration, Component, ComponentCalibration, ComponentKind};

impl Validator<'_> {
    pub(super) fn calibration(&mut self, components: &[Component]) -> Calibration {
        let mut calibration = Calibration {
            source: None,
            client: None,
            components: vec![ComponentCalibration::default(); components.len()],
        };
        let Some(file) = self.file.calibration.clone() else { return calibration };
        for (name, costs) in &file.components.0 {
            let at = format!("calibration.components.{name}");
            let Some(id) = self.resolve_key(|v| &v.components, &at, name) else { continue };
            let store = matches!(components[usize::from(id)].kind, ComponentKind::KvStore(_));
            for (key, present) in [("command", costs.command.is_some()), ("key", costs.key.is_some())] {
                if present && !store {
                    self.problem(&format!("{at}.{key}"), "this cost for a kv-store only", None);
                }
            }
            let cache = matches!(components[usize::from(id)].kind, ComponentKind::HttpCache(_));
            if costs.request.is_some() && !cache {
                self.problem(&format!("{at}.request"), "this cost for an http-cache only", None);
            }
            calibration.components[usize::from(id)] = ComponentCalibration {
                latency: costs.latency,
                command: costs.command,
                request: costs.request,
                key: costs.key,
            };
        }
        calibration.source = file.source;
        calibration.client = file.client;
        calibration
    }
}
