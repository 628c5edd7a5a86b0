//! Lines and shades over an axis, as inline SVG.
//!
//! Plotters draws with stand-in colours, which are then replaced by variables of the page's style sheet, so that one
//! picture serves light and dark, and by a dash pattern for each line, so that no line is told by its colour alone. The
//! picture is drawn at twice its size: the backend rounds to whole pixels.

mod axis;
mod shift;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use axis::Axis;

pub(crate) use shift::{Shift, shift_swatch, shifts};

use crate::format::Unit;
use results::escaped;

const SIZE: (u32, u32) = (1720, 500);
const FONT: i32 = 27;

/// Dash patterns by line style.
const DASHES: [&str; 8] = ["", "14 8", "4 6", "18 6 4 6", "30 8", "10 5 3 5 3 5", "3 12", "26 6 8 6"];
/// How many styles lines have: of more, two would look the same.
pub(crate) const STYLES: usize = DASHES.len();

/// Whether equal distances are equal differences or equal ratios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

/// The horizontal axis.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Horizontal {
    /// Seconds since the measured part began: from the start of the warm-up, which is negative, to the run's end.
    Time { from: f64, until: f64 },
    /// Percentiles, by the number of nines: 1 is 90%, 2 is 99%.
    Nines { most: f64 },
    /// Requests per second, from none.
    Rate { most: f64 },
    /// An amount such as a price, from none.
    Amount { most: f64 },
}

/// A line: None is a gap, infinity a mark at the upper edge.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// A stretch of time that is set off.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    pub(crate) name: String,
    pub(crate) from: f64,
    pub(crate) until: f64,
    pub(crate) warmup: bool,
}

/// A rectangle that is darker the greater its share is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) horizontal: (f64, f64),
    pub(crate) vertical: (f64, f64),
    pub(crate) share: f64,
}

/// How many shades there are.
const SHADES: u8 = 10;

/// Lines over an axis. A line's place decides its style.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// What it shows, for those who cannot see it.
    pub(crate) label: String,
    pub(crate) horizontal: Horizontal,
    pub(crate) unit: Unit,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) bands: Vec<Band>,
}

/// A stand-in that is replaced by a variable of the style sheet.
const fn stand_in(kind: u8, number: u8) -> RGBColor {
    RGBColor(1, kind, number)
}
const LINE: u8 = 1;
const GRID: RGBColor = stand_in(2, 0);
const TEXT: RGBColor = stand_in(3, 0);
const BAND: RGBColor = stand_in(4, 0);
const WARMUP: RGBColor = stand_in(5, 0);
const SHADE: u8 = 6;

/// A sample of a line's style, for a legend.
pub(crate) fn swatch(style: usize) -> String {
    let (variable, dash) = (style % DASHES.len() + 1, DASHES[style % DASHES.len()]);
    format!(
        r#"<svg class="swatch" viewBox="0 0 80 12" aria-hidden="true"><line x1="0" y1="6" x2="80" y2="6" stroke="var(--s{variable})" stroke-dasharray="{}" stroke-width="5"/></svg>"#,
        if dash.is_empty() { "none" } else { dash }
    )
}

impl Chart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to memory has no way to fail but a defect of the drawing library.
        let area = self.draw(&mut svg).expect("drawing into memory does not fail");
        self.finish(&svg, area)
    }

    /// Draws with stand-ins; where the plot is: left, top, right, bottom.
    fn draw(&self, svg: &mut String) -> Result<[i32; 4], Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let vertical = self.vertical();
        let horizontal = match self.horizontal {
            Horizontal::Time { from, until } => Axis::time(from, until.max(from + 1e-9)),
            Horizontal::Nines { most } => Axis::nines(most),
            Horizontal::Rate { most } => Axis::linear(most, Unit::PerSecond),
            Horizontal::Amount { most } => Axis::linear(most, Unit::Count),
        };
        let (from, until, high) = (horizontal.low(), horizontal.high(), vertical.high());
        let rows = label_rows(&self.bands, from, until);
        let top = 16 + rows.iter().flatten().max().map_or(0, |r| (*r as i32 + 1) * (FONT + 4));
        let style = |color| ("sans-serif", FONT).into_font().color(&color);
        let mut plot = ChartBuilder::on(&root)
            .margin_top(top)
            .margin_right(36)
            .x_label_area_size(48)
            .y_label_area_size(150)
            .build_cartesian_2d(horizontal, vertical.clone())?;
        let ((left, top), (right, bottom)) =
            (plot.backend_coord(&(from, high)), plot.backend_coord(&(until, vertical.low())));
        let area = [left, top, right, bottom];
        for (band, row) in self.bands.iter().zip(&rows) {
            let (left, upper) = plot.backend_coord(&(band.from, high));
            let (right, lower) = plot.backend_coord(&(band.until.min(until), vertical.low()));
            let right = right.max(left + 4);
            let color = if band.warmup { WARMUP } else { BAND };
            root.draw(&Rectangle::new([(left, upper), (right, lower)], color.filled()))?;
            let Some(row) = row else { continue };
            // A label at the right edge would run out of the picture.
            let (at, side) =
                if is_late(band, from, until) { (right, HPos::Right) } else { (left, HPos::Left) };
            let label = style(TEXT).pos(Pos::new(side, VPos::Bottom));
            let y = upper - 6 - *row as i32 * (FONT + 4);
            root.draw(&Text::new(band.name.clone(), (at, y), label))?;
        }
        plot.configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID.stroke_width(1))
            .axis_style(TEXT.stroke_width(2))
            .label_style(style(TEXT))
            .draw()?;
        let most = self.cells.iter().map(|cell| cell.share).fold(f64::MIN_POSITIVE, f64::max);
        for cell in &self.cells {
            let (left, upper) = plot.backend_coord(&(cell.horizontal.0, cell.vertical.1));
            let (right, lower) = plot.backend_coord(&(cell.horizontal.1, cell.vertical.0));
            // Small shares are to be seen as well, so shades follow the root.
            let shade = (f64::from(SHADES) * (cell.share / most).sqrt()).ceil() as u8;
            let color = stand_in(SHADE, shade.clamp(1, SHADES));
            root.draw(&Rectangle::new([(left, upper), (right, lower)], color.filled()))?;
        }
        for (number, line) in self.lines.iter().enumerate() {
            let color = stand_in(LINE, (number % DASHES.len()) as u8);
            for run in line.points.split(|p| !p.1.is_some_and(f64::is_finite)) {
                let mut places = run.iter().filter_map(|p| Some((p.0, p.1?)));
                if run.len() == 1 {
                    plot.draw_series(places.next().map(|p| Circle::new(p, 5, color.filled())))?;
                } else if run.len() > 1 {
                    plot.draw_series(LineSeries::new(places, color.stroke_width(4)))?;
                }
            }
            let infinite = line.points.iter().filter(|p| p.1 == Some(f64::INFINITY));
            let marks = infinite.map(|p| TriangleMarker::new((p.0, high), 9, color.filled()));
            plot.draw_series(marks)?;
        }
        root.present()?;
        Ok(area)
    }

    /// The axis that holds all values.
    fn vertical(&self) -> Axis {
        let points = self.lines.iter().flat_map(|l| &l.points).filter_map(|p| p.1);
        let corners = self.cells.iter().flat_map(|cell| [cell.vertical.0, cell.vertical.1]);
        let values = points.chain(corners).filter(|v| v.is_finite());
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for value in values {
            most = most.max(value);
            if value > 0.0 {
                least = least.min(value);
            }
        }
        match self.scale {
            Scale::Log if least.is_finite() => Axis::log(least, most, self.unit),
            Scale::Log => Axis::log(1e-3, 1.0, self.unit),
            Scale::Linear => Axis::linear(most, self.unit),
        }
    }

    /// Replaces the stand-ins, and what is superfluous inside a page.
    fn finish(&self, svg: &str, [left, top, right, bottom]: [i32; 4]) -> String {
        let mut svg = svg.to_owned();
        let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
        for (number, dash) in DASHES.iter().enumerate() {
            let (stand_in, variable) = (hex(stand_in(LINE, number as u8)), number + 1);
            let dashes =
                if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
            svg = svg
                .replace(
                    &format!("stroke=\"{stand_in}\""),
                    &format!(
                        "class=\"line-{number}\" stroke=\"var(--s{variable})\"{dashes} stroke-linejoin=\"round\""
                    ),
                )
                .replace(
                    &format!("fill=\"{stand_in}\""),
                    &format!("class=\"line-{number}\" fill=\"var(--s{variable})\""),
                );
        }
        for shade in 1..=SHADES {
            svg = svg.replace(&hex(stand_in(SHADE, shade)), &format!("var(--h{shade})"));
        }
        let named = [(GRID, "grid"), (TEXT, "text"), (BAND, "band"), (WARMUP, "warmup")];
        for (color, variable) in named {
            svg = svg.replace(&hex(color), &format!("var(--{variable})"));
        }
        svg = svg.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "");
        let start = svg.find('>').expect("the picture starts with a tag") + 1;
        let label = escaped(&self.label);
        // For the crosshair, which all charts over time share.
        let time = match self.horizontal {
            Horizontal::Time { from, until } => {
                format!(" data-plot=\"{left} {top} {right} {bottom} {from} {until}\"")
            }
            Horizontal::Nines { .. } | Horizontal::Rate { .. } | Horizontal::Amount { .. } => String::new(),
        };
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{label}\"{time}>{}",
            SIZE.0,
            SIZE.1,
            &svg[start..]
        )
    }
}

/// Whether a band's label must stand to the left of its right edge.
fn is_late(band: &Band, from: f64, until: f64) -> bool {
    band.from > from + (until - from) * 0.75
}

/// More rows of labels would leave too little room for the plot.
const MOST_ROWS: usize = 5;

/// The row of each band's label above the plot, so that labels do not cover each other; none where there is no room for it: of very many
/// faults the tables tell.
fn label_rows(bands: &[Band], from: f64, until: f64) -> Vec<Option<usize>> {
    let width = f64::from(SIZE.0 - 186);
    let mut ends: Vec<f64> = Vec::new();
    let mut rows = Vec::new();
    for band in bands {
        let length = band.name.chars().count() as f64 * f64::from(FONT) * 0.5;
        let start = if is_late(band, from, until) {
            (band.until.min(until) - from) / (until - from) * width - length
        } else {
            (band.from - from) / (until - from) * width
        };
        let another = (ends.len() < MOST_ROWS).then_some(ends.len());
        let row = ends.iter().position(|end| *end <= start).or(another);
        rows.push(row);
        let Some(row) = row else { continue };
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = start + length + f64::from(FONT);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>) -> Chart {
        Chart {
            label: "p99 & \"max\"".to_owned(),
            horizontal: Horizontal::Time { from: 0.0, until: 10.0 },
            unit: Unit::Seconds,
            scale: Scale::Log,
            lines: vec![Line { name: "p99".to_owned(), points }],
            cells: Vec::new(),
            bands: vec![Band { name: "kill <a>".to_owned(), from: 2.0, until: 3.0, warmup: false }],
        }
    }

    #[test]
    fn gaps_split_lines_and_infinity_is_marked() {
        let points = vec![
            (0.5, Some(0.1)),
            (1.5, Some(0.2)),
            (2.5, None),
            (3.5, Some(f64::INFINITY)),
            (4.5, Some(0.1)),
            (5.5, Some(0.3)),
            (6.5, None),
            (7.5, Some(0.2)),
        ];
        let svg = chart(points).svg();
        assert_eq!(svg.matches("<polyline fill=\"none\" class=\"line-0\" stroke=\"var(--s1)\"").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 1, "a lone point is a dot");
        assert_eq!(svg.matches("<polygon").count(), 1, "infinity is a mark");
        assert!(svg.contains("kill &lt;a&gt;"));
        assert!(!svg.contains("http") && !svg.contains("#01"), "{svg}");
    }

    #[test]
    fn charts_without_points_are_drawn() {
        for scale in [Scale::Linear, Scale::Log] {
            assert!(Chart { scale, ..chart(Vec::new()) }.svg().ends_with("</svg>\n"));
        }
    }

    #[test]
    fn very_many_faults_leave_room_for_the_plot() {
        let band = |i: u32| Band {
            name: format!("kill host:app[{i}], recovered in 12 s"),
            from: 2.0 + 0.01 * f64::from(i),
            until: 3.0,
            warmup: false,
        };
        let bands = (0..40).map(band).collect();
        let svg = Chart { bands, ..chart(vec![(0.5, Some(0.1)), (1.5, Some(0.2))]) }.svg();
        assert_eq!(svg.matches("recovered in").count(), MOST_ROWS, "{svg}");
        assert_eq!(svg.matches("fill=\"var(--band)\"").count(), 40, "each is set off: {svg}");
        let plot =
            svg.split_once("data-plot=\"").and_then(|(_, rest)| rest.split_once('"')).expect("it is told").0;
        let edges: Vec<f64> = plot.split(' ').filter_map(|edge| edge.parse().ok()).collect();
        assert!(edges[3] - edges[1] > 200.0, "{edges:?}");
    }
}
