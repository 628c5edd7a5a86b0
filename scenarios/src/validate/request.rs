//! Request classes and their steps.

use super::Validator;
use crate::law::{DurationLaw, SizeLaw};
use crate::quantity::selector::{self, Piece};
use crate::scenario::{
    Action, Component, ComponentId, ComponentKind, Feed, KeyspaceId, OnMiss, Path, PathPart, RequestClass,
    Step,
};
use crate::units::Ratio;
use crate::wire;

/// What a step can do.
const ACTIONS: [&str; 13] = [
    "work",
    "serialize",
    "wait",
    "get",
    "mget",
    "set",
    "select",
    "update",
    "purge",
    "call",
    "third_party",
    "publish",
    "parallel",
];

/// What steps need to know of their class while it is read.
pub(super) struct Unfinished {
    /// The number of the next step within a parallel one.
    pub(super) next: u32,
    /// The size of its answers.
    response: SizeLaw,
}

impl Validator<'_> {
    pub(super) fn requests(
        &mut self,
        components: &[Component],
        kept: &[String],
        feeds: &[Feed],
    ) -> Vec<RequestClass> {
        let files: Vec<(String, wire::RequestClass)> =
            self.file.requests.iter().flat_map(|r| &r.0).cloned().collect();
        if files.is_empty() && self.file.requests.is_some() {
            self.problem("requests", "at least one kind of request", Some("add [requests.home]".to_owned()));
        }
        let mut classes: Vec<RequestClass> = Vec::new();
        for (name, file) in &files {
            let at = format!("requests.{name}");
            let path_at = format!("{at}.path");
            let path = file.path.as_ref().map(|path| self.path(&path_at, path, kept)).unwrap_or_default();
            let shape = shape(&path);
            let same =
                classes.iter().find(|c| c.method == file.method && self::shape(&c.path.parts) == shape);
            if let (Some(same), Some(_)) = (same.map(|c| c.name.clone()), &file.path) {
                let expected = format!(
                    "a path and method other than those of request class \"{same}\", which are the same"
                );
                self.problem(&path_at, expected, None);
            }
            // Steps within parallel ones are numbered after all others, so that these keep their draws.
            let mut class = Unfinished { next: file.steps.0.len() as u32, response: file.response };
            let mut steps = Vec::new();
            for (number, (i, step)) in file.steps.0.iter().enumerate() {
                let at = format!("{at}.steps[{i}]");
                steps.extend(self.step(&at, step, components, number as u32, &mut class));
            }
            let cache = self.cache_rule(&at, file, &path);
            let exchange = self.exchange(&at, file, kept, feeds);
            classes.push(RequestClass {
                name: name.clone(),
                cache,
                esi: None,
                method: file.method,
                path: Path { parts: path },
                steps,
                response: file.response,
                priority: file.priority.0 as u8,
                exchange,
            });
        }
        self.includes(&files, &mut classes);
        classes
    }

    /// A path, in whose braces stands what users keep, or a keyspace.
    fn path(&mut self, at: &str, text: &str, kept: &[String]) -> Vec<PathPart> {
        let pieces = self.d.read(text, at, selector::path).unwrap_or_default();
        let mut parts = Vec::new();
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(text) => PathPart::Text(text),
                Piece::Key(name) => match kept.iter().position(|known| *known == name) {
                    Some(number) => PathPart::Kept(number as u16),
                    None => PathPart::Key(KeyspaceId(
                        self.resolve_in(
                            |v| &v.keyspaces,
                            at,
                            &name,
                            |near| text.replace(&format!("{{{name}}}"), &format!("{{{near}}}")),
                        )
                        .unwrap_or(0),
                    )),
                },
            });
        }
        parts
    }

    pub(super) fn step(
        &mut self,
        at: &str,
        file: &wire::Step,
        components: &[Component],
        number: u32,
        class: &mut Unfinished,
    ) -> Option<Step> {
        let mut called = None;
        let mut actions: Vec<(&str, Option<Action>)> = Vec::new();
        let law = |law: &DurationLaw| *law;
        actions.extend(file.work.as_ref().map(law).map(|l| ("work", Some(Action::Work(l)))));
        actions.extend(file.wait.as_ref().map(law).map(|l| ("wait", Some(Action::Wait(l)))));
        actions.extend(file.serialize.as_ref().map(|serialize| {
            let action =
                serialize.per_kb.map(|per_kb| Action::Serialize { per_kb, response: class.response });
            ("serialize", action)
        }));
        for (key, get) in [("get", &file.get), ("mget", &file.mget)] {
            if let Some(get) = get {
                actions.push((key, self.get(&format!("{at}.{key}"), get, components)));
            }
        }
        if let Some(set) = &file.set {
            let keyspace = self.stored(&format!("{at}.set"), set.keyspace.as_ref(), components);
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
        if let Some(purge) = &file.purge {
            actions.push(("purge", self.purge(&format!("{at}.purge"), purge, components)));
        }
        if let Some(call) = &file.call {
            let call = self.call(&format!("{at}.call"), call, components);
            called = call.as_ref().and_then(|(to, _)| *to);
            actions.push(("call", call.map(|(_, action)| action)));
        }
        if let Some(publish) = &file.publish {
            let publish = self.publish(&format!("{at}.publish"), publish, components);
            called = publish.as_ref().and_then(|(to, _)| *to);
            actions.push(("publish", publish.map(|(_, action)| action)));
        }
        if let Some(third_party) = &file.third_party {
            actions.push(("third_party", Some(self.third_party(&format!("{at}.third_party"), third_party))));
        }
        if let Some(parallel) = &file.parallel {
            actions.push((
                "parallel",
                Some(self.parallel(&format!("{at}.parallel"), parallel, components, class)),
            ));
        }
        let written = ACTIONS
            .into_iter()
            .filter(|key| self.d.locations.get(&format!("{at}.{key}")).is_some())
            .collect::<Vec<_>>();
        if written.len() != 1 {
            let found = if written.is_empty() { "none".to_owned() } else { written.join(" and ") };
            let expected = format!("exactly one of {} in a step", ACTIONS.join(", "));
            let hint = (written.len() > 1).then(|| "make a step of each".to_owned());
            self.d.problem(at, found, expected, hint);
            return None;
        }
        let frame = self.step_frame(at, file, written[0], called, components);
        let (_, action) = actions.pop()?;
        Some(Step {
            at: frame.at,
            action: action?,
            share: Ratio::new(file.share.get().min(1.0)),
            repeat: file.repeat.0 as u32,
            policy: frame.policy,
            number,
            place: at.to_owned(),
        })
    }

    fn get(&mut self, at: &str, file: &wire::Get, components: &[Component]) -> Option<Action> {
        let keyspace = self.stored(at, file.keyspace.as_ref(), components);
        let on_miss = file.on_miss.as_ref().map(|miss| {
            let from = self.database(&format!("{at}.on_miss.from"), miss.from.as_ref(), components);
            OnMiss { from: from.unwrap_or(ComponentId(0)), fill: miss.fill }
        });
        Some(Action::Get { keyspace: keyspace?, count: file.count.0 as u32, on_miss })
    }

    fn keyspace(&mut self, at: &str, name: Option<&String>) -> Option<KeyspaceId> {
        self.resolve(|v| &v.keyspaces, &format!("{at}.keyspace"), name?).map(KeyspaceId)
    }

    /// A keyspace that a key-value store holds, rather than only a table of an SQL store.
    fn stored(&mut self, at: &str, name: Option<&String>, components: &[Component]) -> Option<KeyspaceId> {
        let keyspace = self.keyspace(at, name)?;
        if self.table_of(keyspace, components).is_some() {
            let hint = Some("take select or update, or put the keyspace in a kv-store".to_owned());
            self.problem(
                &format!("{at}.keyspace"),
                "a keyspace in a kv-store, not a table of an sql-store",
                hint,
            );
        }
        Some(keyspace)
    }

    /// The SQL store whose table a keyspace is; none where a key-value store holds it.
    pub(super) fn table_of(&self, keyspace: KeyspaceId, components: &[Component]) -> Option<ComponentId> {
        let (_, file) = self.file.keyspaces.0.get(keyspace.index())?;
        let store = file.store.as_ref().and_then(|store| self.components.find(store))?;
        let is_sql = matches!(components.get(usize::from(store))?.kind, ComponentKind::SqlStore(_));
        is_sql.then_some(ComponentId(store))
    }

    fn database(&mut self, at: &str, name: Option<&String>, components: &[Component]) -> Option<ComponentId> {
        let id = self.resolve(|v| &v.components, at, name?)?;
        self.expect_kind(at, id, components, "an sql-store", |k| matches!(k, ComponentKind::SqlStore(_)));
        Some(ComponentId(id))
    }
}

/// A path with its keys' names left out: two paths of the same shape cannot be told apart.
fn shape(parts: &[PathPart]) -> Vec<Option<&str>> {
    parts
        .iter()
        .map(|p| match p {
            PathPart::Text(text) => Some(text.as_str()),
            PathPart::Key(_) | PathPart::Kept(_) => None,
        })
        .collect()
}
