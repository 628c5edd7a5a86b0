//! Redis in the place of a key-value store: `redis.conf`, whose comments in Redis's repository say what each line means.

use scenarios::scenario::ComponentKind;

use super::plan::Plan;
use super::site::Site;

/// Its plan; none for another kind of component.
pub(super) fn plan(site: &Site<'_>) -> Option<Plan> {
    let ComponentKind::KvStore(store) = &site.description().kind else { return None };
    let save = match store.snapshot {
        // If at least one key has changed, as it has in every scenario that writes.
        Some(snapshot) => format!("{} 1", snapshot.every.as_nanos() / 1_000_000_000),
        None => "\"\"".to_owned(),
    };
    let lines = [
        format!("bind {}", site.listen.host),
        format!("port {}", site.listen.port),
        "protected-mode no".to_owned(),
        "daemonize no".to_owned(),
        format!("dir {}", site.directory.display()),
        format!("save {save}"),
        "appendonly no".to_owned(),
        format!("maxmemory {}", store.max_memory.map_or(0, |bytes| bytes.get())),
        format!("maxmemory-policy {}", store.eviction.name()),
        format!("maxmemory-samples {}", store.samples),
        "maxclients 100000".to_owned(),
    ];
    let file = "redis.conf";
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Some(Plan::of_file(file, text, &["redis-server", &site.path(file)]))
}
