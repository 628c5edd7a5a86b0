//! Quantities as text: reading them with their units, and writing them so that they read back the same.
//!
//! Owns every small grammar inside a string of a scenario file, and the limits that keep later arithmetic from
//! overflowing. Refuses to know where in a file a text stands.
//!
//! - [`amount`]: durations, rates, bytes, ratios, prices
//! - [`law`]: probability laws and popularity
//! - [`traffic`]: counts of requests, growth
//! - [`selector`]: thresholds, published figures, fault targets, paths

pub mod amount;
pub mod law;
pub mod selector;
pub mod traffic;

use std::fmt;

/// A text that is not the quantity it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// What could stand there.
    pub expected: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Misread {
    /// Says what could stand there.
    pub fn new(expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), hint: None }
    }

    /// Says how to mend it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Misread {}

/// Splits a non-negative decimal number off the front: its digits without `_`, and the rest.
fn split_number(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let digits: String = number.chars().filter(|c| *c != '_').collect();
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && digits.matches('.').count() <= 1
        && digits.len() <= 40;
    well_formed.then_some((digits, rest))
}

/// The whole text as a non-negative finite number.
fn plain_number(text: &str) -> Option<f64> {
    let (digits, rest) = split_number(text.trim())?;
    if rest.is_empty() { digits.parse().ok() } else { None }
}

/// Writes a number times ten to the `shift`, in plain decimals and exactly.
fn shifted(number: f64, shift: i32) -> String {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("LowerExp writes an e");
    let exponent: i32 = exponent.parse::<i32>().expect("LowerExp writes an integer after the e") + shift;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = 1 + exponent;
    if point <= 0 {
        if digits.trim_matches('0').is_empty() {
            return "0".to_owned();
        }
        return format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    if point >= digits.len() {
        let padded = format!("{digits}{}", "0".repeat(point - digits.len()));
        let trimmed = padded.trim_start_matches('0');
        return if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() };
    }
    format!("{}.{}", &digits[..point], &digits[point..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifting_moves_the_point_and_nothing_else() {
        for (number, shift, text) in [
            (0.001, 2, "0.1"),
            (0.25, 2, "25"),
            (0.0, 2, "0"),
            (1.5, 2, "150"),
            (0.123_456, 2, "12.3456"),
            (1e-9, 2, "0.0000001"),
        ] {
            assert_eq!(shifted(number, shift), text);
        }
    }
}
