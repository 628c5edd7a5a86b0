//! Request classes and their steps.

use super::Validator;
use crate::law::DurationLaw;
use crate::quantity::selector::{self, Piece};
use crate::scenario::{
    Action, ClassId, Component, ComponentId, ComponentKind, KeyspaceId, OnMiss, Path, PathPart, RequestClass,
    Step,
};
use crate::wire;

impl Validator<'_> {
    pub(super) fn requests(&mut self, components: &[Component]) -> Vec<RequestClass> {
        let files: Vec<(String, wire::RequestClass)> =
            self.file.requests.iter().flat_map(|r| &r.0).cloned().collect();
        if files.is_empty() && self.file.requests.is_some() {
            self.problem("requests", "at least one kind of request", Some("add [requests.home]".to_owned()));
        }
        let mut classes: Vec<RequestClass> = Vec::new();
        for (name, file) in &files {
            let at = format!("requests.{name}");
            let path_at = format!("{at}.path");
            let path = file.path.as_ref().map(|path| self.path(&path_at, path)).unwrap_or_default();
            let shape = shape(&path);
            let same =
                classes.iter().find(|c| c.method == file.method && self::shape(&c.path.parts) == shape);
            if let (Some(same), Some(_)) = (same.map(|c| c.name.clone()), &file.path) {
                let expected = format!(
                    "a path and method other than those of request class \"{same}\", which are the same"
                );
                self.problem(&path_at, expected, None);
            }
            let steps = file.steps.0.iter();
            let steps =
                steps.filter_map(|(i, s)| self.step(&format!("{at}.steps[{i}]"), s, components)).collect();
            classes.push(RequestClass {
                name: name.clone(),
                method: file.method,
                path: Path { parts: path },
                steps,
                response: file.response,
            });
        }
        classes
    }

    fn path(&mut self, at: &str, text: &str) -> Vec<PathPart> {
        let pieces = self.d.read(text, at, selector::path).unwrap_or_default();
        let mut parts = Vec::new();
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(text) => PathPart::Text(text),
                Piece::Key(name) => PathPart::Key(KeyspaceId(
                    self.resolve_in(
                        |v| &v.keyspaces,
                        at,
                        &name,
                        |near| text.replace(&format!("{{{name}}}"), &format!("{{{near}}}")),
                    )
                    .unwrap_or(0),
                )),
            });
        }
        parts
    }

    fn step(&mut self, at: &str, file: &wire::Step, components: &[Component]) -> Option<Step> {
        let mut actions: Vec<(&str, Option<Action>)> = Vec::new();
        let law = |law: &DurationLaw| *law;
        actions.extend(file.work.as_ref().map(law).map(|l| ("work", Some(Action::Work(l)))));
        actions.extend(file.wait.as_ref().map(law).map(|l| ("wait", Some(Action::Wait(l)))));
        for (key, get) in [("get", &file.get), ("mget", &file.mget)] {
            if let Some(get) = get {
                actions.push((key, self.get(&format!("{at}.{key}"), get, components)));
            }
        }
        if let Some(set) = &file.set {
            let keyspace = self.keyspace(&format!("{at}.set"), set.keyspace.as_ref());
            let action = keyspace.map(|keyspace| Action::Set { keyspace, count: set.count.0 as u32 });
            actions.push(("set", action));
        }
        if let Some(select) = &file.select {
            let keyspace = self.keyspace(&format!("{at}.select"), select.keyspace.as_ref());
            let database = self.database(&format!("{at}.select.from"), select.from.as_ref(), components);
            let rows = select.rows.0 as u32;
            let action = keyspace.zip(database).map(|(keyspace, database)| Action::Select {
                database,
                keyspace,
                rows,
            });
            actions.push(("select", action));
        }
        if let Some(update) = &file.update {
            let keyspace = self.keyspace(&format!("{at}.update"), update.keyspace.as_ref());
            let database = self.database(&format!("{at}.update.in"), update.database.as_ref(), components);
            let rows = update.rows.0 as u32;
            let action = keyspace.zip(database).map(|(keyspace, database)| Action::Update {
                database,
                keyspace,
                rows,
            });
            actions.push(("update", action));
        }
        let written = ["work", "wait", "get", "mget", "set", "select", "update"]
            .into_iter()
            .filter(|key| self.d.locations.get(&format!("{at}.{key}")).is_some())
            .collect::<Vec<_>>();
        if written.len() != 1 {
            let found = if written.is_empty() { "none".to_owned() } else { written.join(" and ") };
            let expected = "exactly one of work, wait, get, mget, set, select, update in a step";
            let hint = (written.len() > 1).then(|| "make a step of each".to_owned());
            self.d.problem(at, found, expected, hint);
            return None;
        }
        let callee = file.at.as_ref().and_then(|name| {
            let path = format!("{at}.at");
            let id = self.resolve(|v| &v.components, &path, name)?;
            self.expect_kind(&path, id, components, "a service", |k| matches!(k, ComponentKind::Service(_)));
            if !["work", "wait"].contains(&written[0]) {
                let expected = format!("at with work or wait only, not with {}", written[0]);
                self.problem(&path, expected, None);
            }
            Some(ComponentId(id))
        });
        let (_, action) = actions.pop()?;
        Some(Step { at: callee, action: action? })
    }

    fn get(&mut self, at: &str, file: &wire::Get, components: &[Component]) -> Option<Action> {
        let keyspace = self.keyspace(at, file.keyspace.as_ref());
        let on_miss = file.on_miss.as_ref().map(|miss| {
            let from = self.database(&format!("{at}.on_miss.from"), miss.from.as_ref(), components);
            OnMiss { from: from.unwrap_or(ComponentId(0)), fill: miss.fill }
        });
        Some(Action::Get { keyspace: keyspace?, count: file.count.0 as u32, on_miss })
    }

    fn keyspace(&mut self, at: &str, name: Option<&String>) -> Option<KeyspaceId> {
        self.resolve(|v| &v.keyspaces, &format!("{at}.keyspace"), name?).map(KeyspaceId)
    }

    fn database(&mut self, at: &str, name: Option<&String>, components: &[Component]) -> Option<ComponentId> {
        let id = self.resolve(|v| &v.components, at, name?)?;
        self.expect_kind(at, id, components, "an sql-store", |k| matches!(k, ComponentKind::SqlStore(_)));
        Some(ComponentId(id))
    }

    /// The service that a request meets in the end, walking the balancers.
    pub(super) fn served_by(&self, entry: u16, components: &[Component]) -> Option<ComponentId> {
        let mut at = ComponentId(entry);
        for _ in 0..=components.len() {
            match &components[at.index()].kind {
                ComponentKind::LoadBalancer(b) => at = b.to,
                ComponentKind::Service(_) => return Some(at),
                _ => return None,
            }
        }
        None
    }

    /// A service cannot call itself for the steps of a class that it walks.
    pub(super) fn no_self_call(&mut self, class: ClassId, by: ComponentId, requests: &[RequestClass]) {
        let Some(class) = requests.get(class.index()) else { return };
        let files = self.file.requests.iter().flat_map(|r| &r.0).find(|(n, _)| *n == class.name);
        let name = self.components.name(by.0).to_owned();
        let places: Vec<usize> = files
            .into_iter()
            .flat_map(|(_, c)| &c.steps.0)
            .filter(|(_, step)| step.at.as_ref() == Some(&name))
            .map(|(i, _)| *i)
            .collect();
        for i in places {
            let at = format!("requests.{}.steps[{i}].at", class.name);
            let expected = "a service other than the one that walks the steps";
            self.problem(&at, expected, Some("leave at out: the service does its own steps".to_owned()));
        }
    }
}

/// A path with its keys' names left out: two paths of the same shape cannot be told apart.
fn shape(parts: &[PathPart]) -> Vec<Option<&str>> {
    parts
        .iter()
        .map(|p| match p {
            PathPart::Text(text) => Some(text.as_str()),
            PathPart::Key(_) => None,
        })
        .collect()
}
