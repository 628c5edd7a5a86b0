//! Charts as PNG: the pictures of a page, with its light colours, drawn without a browser.
//!
//! The renderer knows neither variables of a style sheet nor the fonts of the machine that it happens to run on: the variables are
//! replaced by what the page's own sheet says, and the font comes with the program.

use std::sync::Arc;

use results::{RunRecord, escaped};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::page::{self, Drawn};

const FONT: &[u8] = include_bytes!("../assets/font/DejaVuSans-subset.ttf");
const FAMILY: &str = "DejaVu Sans";
const STYLE: &str = include_str!("../templates/style.css");
/// How wide pictures are, what is left free at their edge, and how large the text of legends is, in pixels.
const WIDTH: u32 = 1720;
const EDGE: f64 = 24.0;
const TEXT: f64 = 25.0;
/// Shades of the heat map, which the sheet mixes of a line's colour and the card's.
const SHADES: u32 = 10;

/// A chart.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What a file of it may be called: `03-response-time`.
    pub name: String,
    /// The file.
    pub png: Vec<u8>,
}

/// Why a chart cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The renderer does not take the picture.
    #[error("{name}: cannot be drawn: {problem}")]
    Draw {
        /// Which.
        name: String,
        /// Why.
        problem: String,
    },
}

/// All charts of a run, in the order of its page.
///
/// # Errors
/// If one cannot be drawn.
pub fn pictures(record: &RunRecord) -> Result<Vec<Picture>, Error> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    let options = Options { fontdb: Arc::new(fonts), font_family: FAMILY.to_owned(), ..Options::default() };
    let colours = colours();
    let drawn = page::pictures(record).into_iter().enumerate().map(|(number, drawn)| {
        let name = format!("{:02}-{}", number + 1, tame(&drawn.title));
        let png = png(&plain(&framed(&drawn), &colours), &options);
        png.map(|png| Picture { name: name.clone(), png }).map_err(|problem| Error::Draw { name, problem })
    });
    drawn.collect()
}

fn png(svg: &str, options: &Options<'_>) -> Result<Vec<u8>, String> {
    let tree = Tree::from_str(svg, options).map_err(|e| e.to_string())?;
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or_else(|| "it has no size".to_owned())?;
    pixels.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| e.to_string())
}

/// With its title and its legend above it.
fn framed(drawn: &Drawn) -> String {
    let (width, height) = size(&drawn.svg).unwrap_or((1_000.0, 500.0));
    let scale = f64::from(WIDTH) / width;
    let mut head = format!(
        "<text x=\"{EDGE}\" y=\"46\" font-size=\"34\" font-weight=\"bold\" fill=\"var(--ink)\">{}</text>",
        escaped(&drawn.title)
    );
    let (mut x, mut y) = (EDGE, 90.0);
    for (swatch, name) in &drawn.legend {
        let length = 96.0 + name.chars().count() as f64 * 0.6 * TEXT;
        if x + length > f64::from(WIDTH) && x > EDGE {
            (x, y) = (EDGE, y + 1.5 * TEXT);
        }
        let swatch = swatch.replacen(
            "<svg ",
            &format!("<svg x=\"{x:.0}\" y=\"{:.0}\" width=\"80\" height=\"24\" ", y - 20.0),
            1,
        );
        head += &format!(
            "{swatch}<text x=\"{:.0}\" y=\"{y:.0}\" font-size=\"{TEXT}\" fill=\"var(--text)\">{}</text>",
            x + 92.0,
            escaped(name)
        );
        x += length + 30.0;
    }
    let top = if drawn.legend.is_empty() { 70.0 } else { y + 20.0 };
    let all = top + scale * height + EDGE;
    let placed = format!("<svg y=\"{top:.0}\" width=\"{WIDTH}\" height=\"{:.0}\" ", scale * height);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {all:.0}\">{head}{}</svg>",
        drawn.svg.trim_end().replacen("<svg ", &placed, 1)
    )
}

/// Width and height of a picture, by its view box.
fn size(svg: &str) -> Option<(f64, f64)> {
    let numbers = svg.split("viewBox=\"").nth(1)?.split('"').next()?;
    let mut numbers = numbers.split(' ').skip(2).map(str::parse::<f64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The picture as it stands alone: no variables, and the rules of the sheet that it needs.
fn plain(svg: &str, colours: &[(String, String)]) -> String {
    let mut svg = svg.to_owned();
    for (name, colour) in colours {
        svg = svg.replace(&format!("var({name})"), colour);
    }
    let text =
        colours.iter().find(|(name, _)| name == "--text").map_or("#000", |(_, colour)| colour.as_str());
    let rules = format!(
        "<style>text {{ font-family: '{FAMILY}' }} .stack text {{ font-size: 13px; fill: {text} }} \
         .stack .name {{ font-size: 15px }}</style>"
    );
    let head = svg.find('>').map_or(0, |end| end + 1);
    svg.insert_str(head, &rules);
    svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1)
}

/// The variables of the sheet's first rule, which are those of the light page, and the shades.
fn colours() -> Vec<(String, String)> {
    let rule = STYLE.split(['{', '}']).nth(1).unwrap_or_default();
    let pair = |text: &str| {
        text.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
    };
    let mut colours: Vec<(String, String)> =
        rule.split(';').filter_map(pair).filter(|(name, _)| name.starts_with("--")).collect();
    let value =
        |name: &str| colours.iter().find(|(known, _)| known == name).and_then(|(_, value)| channels(value));
    let (line, card) = (value("--s1").unwrap_or_default(), value("--card").unwrap_or([255; 3]));
    for shade in 1..=SHADES {
        // As the sheet has it: from 15% of the line's colour to all of it.
        let share = 0.15 + 0.85 * f64::from(shade - 1) / f64::from(SHADES - 1);
        let mixed = [0, 1, 2]
            .map(|i| (f64::from(line[i]) * share + f64::from(card[i]) * (1.0 - share)).round() as u8);
        colours.push((format!("--h{shade}"), format!("#{:02x}{:02x}{:02x}", mixed[0], mixed[1], mixed[2])));
    }
    colours
}

fn channels(hex: &str) -> Option<[u8; 3]> {
    let digits = hex.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let channel = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some([channel(0)?, channel(2)?, channel(4)?])
}

/// A title as a part of a file's name.
fn tame(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_of_the_sheet_is_left() {
        let colours = colours();
        let names: Vec<String> = colours.iter().map(|(name, _)| format!("var({name})")).collect();
        let svg = plain(&format!("<svg viewBox=\"0 0 9 9\">{}</svg>", names.join(" ")), &colours);
        assert!(!svg.contains("var(") && svg.contains("xmlns"), "{svg}");
        assert!(
            colours.iter().any(|(name, _)| name == "--h10") && colours.iter().any(|(name, _)| name == "--s8")
        );
    }
}
