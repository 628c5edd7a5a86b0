//! The table as text: Markdown, so that it can be committed as it is printed.

use std::fmt;

use super::{Verdict, Verification};

impl Verdict {
    /// The word in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "DIFFERS",
            Self::TooWide => "TOO WIDE",
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["system", "quantity", "exact", "simulated", "±", "verdict"].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            [
                row.system.to_owned(),
                row.quantity.to_owned(),
                digits(row.exact, row.exact),
                digits(row.simulated.mean, row.exact),
                format!("{:.2}%", 100.0 * row.simulated.half / row.exact),
                row.verdict.name().to_owned(),
            ]
        });
        let lines: Vec<[String; 6]> = std::iter::once(heads).chain(rows).collect();
        let wide = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(wide);
        for (i, line) in lines.iter().enumerate() {
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                let lead = if column == 0 { "|" } else { " |" };
                // Numbers stand under each other.
                if (2..5).contains(&column) {
                    write!(f, "{lead} {cell:>width$}")?;
                } else {
                    write!(f, "{lead} {cell:<width$}")?;
                }
            }
            writeln!(f, " |")?;
            if i == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let end = if (2..5).contains(&column) { ":" } else { "-" };
                    write!(f, "|{}{end}", "-".repeat(width + 1))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Six significant digits of what the exact value is.
fn digits(value: f64, exact: f64) -> String {
    let before = exact.abs().log10().floor() as i32;
    format!("{value:.*}", usize::try_from((5 - before).max(0)).unwrap_or(0))
}
