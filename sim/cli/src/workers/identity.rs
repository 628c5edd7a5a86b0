//! Which program this is. Two are the same where their runs are the same byte for byte, so nothing less than the program's own file will
//! do, and the arithmetic of the machine that it runs on: logarithms and powers are those of its C library.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

use super::task::hexadecimal;

/// The version of what coordinator and workers say to each other.
const FORMAT: u32 = 1;
/// So many digits tell programs apart.
const DIGITS: usize = 16;

/// The program, as hexadecimal digits.
///
/// # Errors
/// Where its file cannot be read.
pub(super) fn build() -> io::Result<String> {
    let mut digest = Sha256::new();
    digest.update(format!("rehearsal sim {} format {FORMAT}\n", env!("CARGO_PKG_VERSION")));
    // The link leads to the file even where another has taken its name meanwhile.
    let mut file = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => digest.update(&piece[..read]),
        }
    }
    arithmetic().for_each(|value| digest.update(value.to_bits().to_le_bytes()));
    let mut digits = hexadecimal(&digest.finalize());
    digits.truncate(DIGITS);
    Ok(digits)
}

/// Values of the functions that machines may round differently.
fn arithmetic() -> impl Iterator<Item = f64> {
    let functions: [fn(f64) -> f64; 8] =
        [f64::ln, f64::exp, f64::ln_1p, f64::exp_m1, f64::sin, f64::tan, f64::cbrt, |x| x.powf(0.9)];
    (1..=500).flat_map(move |i| functions.map(|function| function(black_box(f64::from(i) * 0.0371))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_itself() {
        let own = build().expect("the test can read itself");
        assert_eq!((own.len(), &own), (DIGITS, &build().expect("and again")));
        assert!(fleet::is_token(&own), "{own}");
        assert!(arithmetic().all(f64::is_finite));
    }
}
