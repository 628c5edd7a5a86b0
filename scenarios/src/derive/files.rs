//! The files that a scenario names, by paths that lead to them from anywhere.

use std::path::Path;

use toml_edit::{Item, TableLike, Value};

use crate::supports::split;

/// The tables whose entries name files: replays, and feeds.
const TABLES: [&str; 2] = ["traffic", "feeds"];
/// The key of an entry that names its file.
const KEY: &str = "file";

/// Makes the paths of a document absolute that are meant from a folder: those of the scenario itself and those that its
/// variants set, and what is played.
pub(super) fn make_absolute(root: &mut dyn TableLike, folder: &Path) {
    for (key, item) in root.iter_mut() {
        absolute(item, &[key.get()], folder);
    }
    if let Some(play) = root.get_mut("play") {
        settings_absolute(play, folder);
    }
    let Some(variants) = root.get_mut("variants").and_then(Item::as_table_like_mut) else { return };
    variants.iter_mut().for_each(|(_, variant)| settings_absolute(variant, folder));
}

/// Does so with what a variant sets.
fn settings_absolute(of: &mut Item, folder: &Path) {
    let set = of.as_table_like_mut().and_then(|of| of.get_mut("set"));
    let Some(set) = set.and_then(Item::as_table_like_mut) else { return };
    for (path, item) in set.iter_mut() {
        absolute(item, &split(path.get()), folder);
    }
}

/// Does so with whatever stands at a path of the file.
fn absolute(item: &mut Item, path: &[&str], folder: &Path) {
    match path {
        [table] | [table, _] if TABLES.contains(table) => {
            let Some(entries) = item.as_table_like_mut() else { return };
            for (key, below) in entries.iter_mut() {
                let path: Vec<&str> = path.iter().copied().chain([key.get()]).collect();
                absolute(below, &path, folder);
            }
        }
        [table, _, key] if TABLES.contains(table) && *key == KEY => {
            let Some(old) = item.as_value() else { return };
            let Some(file) = old.as_str().map(|file| folder.join(file)) else { return };
            let file = std::path::absolute(&file).unwrap_or(file);
            let mut new = Value::from(file.to_string_lossy().into_owned());
            *new.decor_mut() = old.decor().clone();
            *item = Item::Value(new);
        }
        _ => {}
    }
}
