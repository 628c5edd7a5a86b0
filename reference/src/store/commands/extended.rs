//! Floating-point numbers as Redis has them for `INCRBYFLOAT`: `long double` of x86, with 64 bits of mantissa, written with 17
//! digits after the point and without trailing zeros (util.c: `string2ld`, `ld2string` with `LD_STR_HUMAN`). All is reckoned in
//! whole numbers of any size, and rounded once to the nearest, ties to even, as the processor does.

use std::cmp::Ordering;
use std::iter::repeat_n;

/// Larger decimal exponents are not taken: `long double` ends below 1.2e4932.
const MOST_EXPONENT: i64 = 4932;
/// Numbers below ten to this are not taken: they are nearer to zero than to the least `long double`, 3.6e-4951, and `string2ld`
/// refuses what vanishes.
const LEAST_EXPONENT: i64 = -4951;
/// So many digits are multiplied in and divided out at once, as 32 bits have room for them.
const DIGITS_AT_ONCE: u64 = 9;
/// The longest text (`MAX_LONG_DOUBLE_CHARS`).
const LONGEST: usize = 5 * 1024;
/// Digits after the point.
const DIGITS: usize = 17;
const MANTISSA_BITS: usize = 64;
/// So much smaller numbers do not change a sum.
const NEGLIGIBLE_BITS: i64 = 200;

/// A whole number: 32 bits each, the lowest first, no zeros at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Whole(Vec<u32>);

impl Whole {
    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |last| 32 * self.0.len() - last.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, factor: u32, more: u32) {
        let mut carry = u64::from(more);
        for part in &mut self.0 {
            carry += u64::from(*part) * u64::from(factor);
            *part = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// What remains.
    fn divide(&mut self, by: u32) -> u32 {
        let mut rest = 0;
        for part in self.0.iter_mut().rev() {
            let whole = rest << 32 | u64::from(*part);
            *part = (whole / u64::from(by)) as u32;
            rest = whole % u64::from(by);
        }
        *self = std::mem::take(self).trimmed();
        rest as u32
    }

    /// Times ten to this.
    fn multiply_by_tens(&mut self, tens: u64) {
        tens_at_once(tens).for_each(|factor| self.multiply_add(factor, 0));
    }

    /// Whether something remains of a division by ten to this.
    fn divide_by_tens(&mut self, tens: u64) -> bool {
        let mut rest = 0;
        tens_at_once(tens).for_each(|by| rest |= self.divide(by));
        rest > 0
    }

    fn up(&self, by: usize) -> Self {
        let mut shifted: Vec<u32> = repeat_n(0, by / 32).collect();
        let mut carry = 0;
        for part in &self.0 {
            let wide = u64::from(*part) << (by % 32) | carry;
            shifted.push(wide as u32);
            carry = wide >> 32;
        }
        shifted.push(carry as u32);
        Self(shifted).trimmed()
    }

    fn bit(&self, at: usize) -> bool {
        self.0.get(at / 32).is_some_and(|part| part >> (at % 32) & 1 == 1)
    }

    /// Without its last bits, rounded to the nearest and to even between two; `sticky` says that there was something after them.
    fn down(&self, by: usize, sticky: bool) -> Self {
        if by == 0 {
            return self.clone();
        }
        let mut shifted = Self(self.0.iter().skip(by / 32).copied().collect());
        if !by.is_multiple_of(32) {
            let mut above = 0;
            for part in shifted.0.iter_mut().rev() {
                let here = *part;
                *part = here >> (by % 32) | above;
                above = here << (32 - by % 32);
            }
        }
        let mut shifted = shifted.trimmed();
        let half = self.bit(by - 1);
        let more = sticky || (0..by - 1).any(|at| self.bit(at));
        if half && (more || shifted.bit(0)) {
            let carry = shifted.0.is_empty();
            if carry {
                shifted.0.push(1);
            } else {
                shifted.increment();
            }
        }
        shifted
    }

    fn increment(&mut self) {
        for part in &mut self.0 {
            let (sum, over) = part.overflowing_add(1);
            *part = sum;
            if !over {
                return;
            }
        }
        self.0.push(1);
    }

    fn plus(&self, other: &Self) -> Self {
        let (mut sum, mut carry) = (Vec::new(), 0);
        for at in 0..self.0.len().max(other.0.len()) {
            let part = |whole: &Self| u64::from(whole.0.get(at).copied().unwrap_or(0));
            carry += part(self) + part(other);
            sum.push(carry as u32);
            carry >>= 32;
        }
        sum.push(carry as u32);
        Self(sum).trimmed()
    }

    /// The other must not be larger.
    fn minus(&self, other: &Self) -> Self {
        let (mut difference, mut borrow) = (Vec::new(), 0);
        for (at, part) in self.0.iter().enumerate() {
            let wide = i64::from(*part) - i64::from(other.0.get(at).copied().unwrap_or(0)) - borrow;
            borrow = i64::from(wide < 0);
            difference.push(wide as u32);
        }
        Self(difference).trimmed()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    fn decimal(mut self) -> String {
        let mut digits = Vec::new();
        while !self.0.is_empty() {
            let mut nine = self.divide(10_u32.pow(DIGITS_AT_ONCE as u32));
            for _ in 0..DIGITS_AT_ONCE {
                digits.push(b'0' + (nine % 10) as u8);
                nine /= 10;
            }
        }
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        digits.truncate(digits.len() - zeros);
        digits.reverse();
        String::from_utf8(digits).expect("digits are text")
    }
}

/// Powers of ten whose product is ten to this.
fn tens_at_once(tens: u64) -> impl Iterator<Item = u32> {
    let (whole, rest) = (tens / DIGITS_AT_ONCE, tens % DIGITS_AT_ONCE);
    (0..whole).map(|_| DIGITS_AT_ONCE).chain([rest]).map(|tens| 10_u32.pow(tens as u32))
}

/// A number: its mantissa times a power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extended {
    is_negative: bool,
    mantissa: Whole,
    exponent: i64,
}

impl Extended {
    pub(super) fn zero() -> Self {
        Self { is_negative: false, mantissa: Whole::default(), exponent: 0 }
    }

    fn rounded(is_negative: bool, mantissa: Whole, exponent: i64, sticky: bool) -> Self {
        let excess = mantissa.bits().saturating_sub(MANTISSA_BITS);
        Self { is_negative, mantissa: mantissa.down(excess, sticky), exponent: exponent + excess as i64 }
    }

    /// From decimal text, an exponent allowed; none where it is something else.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (is_negative, unsigned) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let end = unsigned.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(unsigned.len());
        let mut exponent: i64 = match unsigned.get(end + 1..) {
            None => 0,
            Some(written) => std::str::from_utf8(written).ok()?.parse().ok()?,
        };
        let (mut mantissa, mut digits, mut after_point) = (Whole::default(), 0, false);
        for byte in &unsigned[..end] {
            match byte {
                b'0'..=b'9' => {
                    digits += 1;
                    mantissa.multiply_add(10, u32::from(byte - b'0'));
                    exponent = exponent.checked_sub(i64::from(after_point))?;
                }
                b'.' if !after_point => after_point = true,
                _ => return None,
            }
        }
        if digits == 0 {
            return None;
        }
        if mantissa.0.is_empty() {
            return Some(Self { is_negative, ..Self::zero() });
        }
        // Before any work is done for it: a few bytes of text can ask for very much.
        if exponent > MOST_EXPONENT || exponent.saturating_add(digits) <= LEAST_EXPONENT {
            return None;
        }
        if exponent >= 0 {
            mantissa.multiply_by_tens(exponent.unsigned_abs());
            let is_possible = mantissa.bits() < 16_384;
            return is_possible.then(|| Self::rounded(is_negative, mantissa, 0, false));
        }
        // Enough bits that the quotient has more than a mantissa has: a digit takes less than four.
        let up = 4 * exponent.unsigned_abs() as usize + MANTISSA_BITS + 8;
        let mut quotient = mantissa.up(up);
        let sticky = quotient.divide_by_tens(exponent.unsigned_abs());
        Some(Self::rounded(is_negative, quotient, -(up as i64), sticky))
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        if self.mantissa.0.is_empty() || other.mantissa.0.is_empty() {
            return if self.mantissa.0.is_empty() { other.clone() } else { self.clone() };
        }
        let top = |number: &Self| number.exponent + number.mantissa.bits() as i64;
        if (top(self) - top(other)).abs() > NEGLIGIBLE_BITS {
            return if top(self) > top(other) { self.clone() } else { other.clone() };
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| number.mantissa.up((number.exponent - exponent) as usize);
        let (mine, others) = (aligned(self), aligned(other));
        if self.is_negative == other.is_negative {
            return Self::rounded(self.is_negative, mine.plus(&others), exponent, false);
        }
        match mine.compare(&others) {
            Ordering::Equal => Self::zero(),
            Ordering::Greater => Self::rounded(self.is_negative, mine.minus(&others), exponent, false),
            Ordering::Less => Self::rounded(other.is_negative, others.minus(&mine), exponent, false),
        }
    }

    /// With 17 digits after the point, and without zeros at the end.
    pub(super) fn write(&self) -> String {
        let mut scaled = self.mantissa.clone();
        scaled.multiply_by_tens(DIGITS as u64);
        let scaled = match usize::try_from(self.exponent) {
            Ok(up) => scaled.up(up),
            Err(_) => scaled.down(self.exponent.unsigned_abs() as usize, false),
        };
        let digits = format!("{:0>width$}", scaled.decimal(), width = DIGITS + 1);
        let (whole, fraction) = digits.split_at(digits.len() - DIGITS);
        let text = format!("{whole}.{fraction}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if self.is_negative && text != "0" { format!("-{text}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        Some(Extended::read(a.as_bytes())?.plus(&Extended::read(b.as_bytes())?).write())
    }

    /// The results of `INCRBYFLOAT` by redis-server 7.0.15 on x86-64.
    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in SUMS {
            assert_eq!(sum(a, b).as_deref(), Some(*expected), "{a} + {b}");
        }
        for broken in ["", "-", ".", "1e", "1e5000", "abc", "1.2.3", " 1", "0x10", "1e99999999999999999999"] {
            assert_eq!(Extended::read(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn exponents_beyond_any_number_are_refused_before_they_are_reckoned_with() {
        for beyond in [
            "1e-9223372036854775808",
            "0.1e-9223372036854775807",
            "1e9223372036854775807",
            "1e-9900",
            "1e-4952",
            "1e4933",
        ] {
            assert_eq!(Extended::read(beyond.as_bytes()), None, "{beyond}");
        }
        assert_eq!(sum("0e-9223372036854775808", "1e-4940").as_deref(), Some("0"));
        assert_eq!(sum("1e4900", "0").map(|text| text.len()), Some(4901));
    }

    const SUMS: &[(&str, &str, &str)] = &[
        ("10.50", "0.1", "10.6"),
        ("0.1", "0.2", "0.3"),
        ("5.0e3", "2.0e2", "5200"),
        ("0", "-0", "0"),
        ("3", "-3", "0"),
        ("5000", "0.1", "5000.10000000000000009"),
        ("1e17", "0.1", "100000000000000000.1015625"),
        ("100", "0.1", "100.1"),
        ("3.14159", "2.71828", "5.85987"),
        ("1e-17", "1e-18", "0.00000000000000001"),
        ("0.00000000000000001", "0.000000000000000005", "0.00000000000000002"),
        ("123456789012345678", "0.5", "123456789012345678.5"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("1e30", "1", "1000000000000000000024696061952"),
        ("-1.5", "0.25", "-1.25"),
        ("99999999999999999999", "-0.1", "100000000000000000000"),
        (
            "1e100",
            "1e84",
            "10000000000000000999460863496034706266526457707323089634494442499249604313725945039655851183031975936",
        ),
        ("0.3", "-0.1", "0.2"),
        ("4.35", "100", "104.35"),
        (
            "1.7976931348623157e308",
            "1e300",
            "179769314486231569991443988770819780007334289079368038987030377465874639197601736429581630264179915157006864701844936981836820542806146287458019188413983199755189327821092506022886598425456616041250987263930477089471301159068494454603830435866938674242822383594408660754932295154774318905843396620111489007616",
        ),
        ("79498875913.12624", "479.79714948", "79498876392.92338947951793671"),
        ("77595856743571.5", "297.95", "77595856743869.4499969482421875"),
        ("46906904247.3", "-238.5", "46906904008.80000000074505806"),
        ("-2688162.101", "-441.035268", "-2688603.13626800000020012"),
        ("-86109.3814", "-110.33", "-86219.71139999999999759"),
        ("-0.6", "920.25", "919.65000000000000002"),
        ("313582732.9", "78.447", "313582811.34699999997974373"),
        ("963220.744", "-402.4222", "962818.32180000000005293"),
        ("-642073348037.78", "-869.7206", "-642073348907.50059998035430908"),
        ("660224504.58", "637.0361493", "660225141.61614930001087487"),
        ("-5187768015.79274", "-647.7598", "-5187768663.55254000006243587"),
        ("84488088939.0", "98.131892", "84488089037.13189200311899185"),
    ];

    proptest! {
        #[test]
        fn whole_numbers_are_exact(a in -(1_i64 << 62)..1 << 62, b in -(1_i64 << 62)..1 << 62) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        #[test]
        fn arbitrary_text_never_panics_the_reader(text in "[-+]?[0-9]{0,30}[.]?[0-9]{0,30}(e[-+]?[0-9]{0,6})?") {
            if let Some(number) = Extended::read(text.as_bytes()) {
                let written = number.write();
                prop_assert!(!written.is_empty());
            }
        }
    }
}
