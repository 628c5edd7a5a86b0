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
    let absolute = |_: &[&str], file: &str| {
        let file = folder.join(file);
        Some(std::path::absolute(&file).unwrap_or(file).to_string_lossy().into_owned())
    };
    rename(root, &absolute);
    if let Some(play) = root.get_mut("play") {
        rename_settings(play, &absolute);
    }
    let Some(variants) = root.get_mut("variants").and_then(Item::as_table_like_mut) else { return };
    variants.iter_mut().for_each(|(_, variant)| rename_settings(variant, &absolute));
}

/// What becomes of a file's name that stands at a path of the document, by its parts; none where it stays.
type Rename<'a> = &'a dyn Fn(&[&str], &str) -> Option<String>;

/// Gives the files that a document names itself other names: those of which it is read.
pub(super) fn rename(root: &mut dyn TableLike, to: Rename<'_>) {
    for (key, item) in root.iter_mut() {
        rename_below(item, &[key.get()], to);
    }
}

/// Does so with what a variant sets.
fn rename_settings(of: &mut Item, to: Rename<'_>) {
    let set = of.as_table_like_mut().and_then(|of| of.get_mut("set"));
    let Some(set) = set.and_then(Item::as_table_like_mut) else { return };
    for (path, item) in set.iter_mut() {
        rename_below(item, &split(path.get()), to);
    }
}

/// Does so with whatever stands at a path of the file.
fn rename_below(item: &mut Item, path: &[&str], to: Rename<'_>) {
    match path {
        [table] | [table, _] if TABLES.contains(table) => {
            let Some(entries) = item.as_table_like_mut() else { return };
            for (key, below) in entries.iter_mut() {
                let path: Vec<&str> = path.iter().copied().chain([key.get()]).collect();
                rename_below(below, &path, to);
            }
        }
        [table, _, key] if TABLES.contains(table) && *key == KEY => {
            let Some(old) = item.as_value() else { return };
            let Some(file) = old.as_str().and_then(|file| to(path, file)) else { return };
            let mut new = Value::from(file);
            *new.decor_mut() = old.decor().clone();
            *item = Item::Value(new);
        }
        _ => {}
    }
}
