//! A scenario's text with the calibration that it includes written out in it, so that the text says all by itself: records,
//! derived scenarios and the processes of a stack need no file beside it, and its hash is that of all that it says.

use toml_edit::{DocumentMut, Item, Table, TableLike};

/// The text of a scenario that includes `overlay`, without the need of that file. What the scenario says itself stays, and costs of
/// components that it does not have are left out.
///
/// # Panics
/// If one of the two is no TOML, or the scenario has no calibration: both were read before.
pub(crate) fn written_out(text: &str, overlay: &str, unknown: &[String]) -> String {
    let read = |text: &str| -> DocumentMut {
        text.trim_start_matches('\u{feff}').parse().expect("this text was read as TOML before")
    };
    let (mut document, mut overlay) = (read(text), read(overlay));
    let included = overlay.get_mut("calibration");
    let components = included.and_then(|included| included.get_mut("components"));
    if let Some(components) = components.and_then(Item::as_table_like_mut) {
        unknown.iter().for_each(|name| drop(components.remove(name)));
    }
    let own = document.get_mut("calibration").and_then(Item::as_table_like_mut);
    let own = own.expect("a scenario that includes a calibration has one");
    own.remove("include");
    if let Some(included) = overlay.get("calibration").and_then(Item::as_table_like) {
        merge(own, included);
    }
    document.to_string()
}

/// Adds what is not there.
fn merge(own: &mut dyn TableLike, under: &dyn TableLike) {
    for (key, item) in under.iter() {
        if !own.contains_key(key) {
            own.insert(key, plain(item));
        } else if let Some(below) = item.as_table_like()
            && let Some(mine) = own.get_mut(key).and_then(Item::as_table_like_mut)
        {
            merge(mine, below);
        }
    }
}

/// The same without comments, and without the place that it had in its file.
fn plain(item: &Item) -> Item {
    match item.as_table_like() {
        Some(entries) => {
            let mut table = Table::new();
            for (key, item) in entries.iter() {
                table.insert(key, plain(item));
            }
            Item::Table(table)
        }
        None => {
            let mut item = item.clone();
            if let Some(value) = item.as_value_mut() {
                value.decor_mut().clear();
            }
            item
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAY: &str = "# measured\n[calibration]\nsource = \"measured\" # here\nclient = \"30us\"\n\
                           [calibration.components]\nshop = { latency = \"40us\" }\ngone = { latency = \"1s\" }\nobjects.latency = \"80us\"\n\
                           [calibration.uncertainty]\n\"components.shop.latency\" = \"1us\"\n";

    #[test]
    fn what_a_scenario_says_itself_goes_over_what_it_includes() {
        for own in [
            "[calibration] # mine\ninclude = \"a.toml\"\nclient = \"9us\"\n[calibration.components]\n\
             shop = { latency = \"7us\" }\n[hosts.a]\n",
            "calibration = { include = \"a.toml\", client = \"9us\", components.shop.latency = \"7us\" }\n[hosts.a]\n",
        ] {
            let text = written_out(own, OVERLAY, &["gone".to_owned()]);
            let all: DocumentMut = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
            let calibration = &all["calibration"];
            assert!(calibration.get("include").is_none() && !text.contains("gone"), "{text}");
            assert_eq!(calibration["client"].as_str(), Some("9us"));
            assert_eq!(calibration["source"].as_str(), Some("measured"));
            assert_eq!(calibration["components"]["shop"]["latency"].as_str(), Some("7us"));
            assert_eq!(calibration["components"]["objects"]["latency"].as_str(), Some("80us"));
            assert_eq!(calibration["uncertainty"]["components.shop.latency"].as_str(), Some("1us"));
        }
    }
}
