//! Student's t distribution (Student, *The probable error of a mean*, Biometrika 6, 1908).

/// The two-sided quantile: a t-distributed value with `degrees` of freedom lies within plus or minus this with
/// probability `confidence`. Infinite without a degree of freedom.
///
/// ```
/// use results::statistics::student::two_sided;
/// assert!((two_sided(0.95, 9.0) - 2.262).abs() < 5e-4);
/// assert!((two_sided(0.95, f64::INFINITY) - 1.960).abs() < 5e-4);
/// ```
pub fn two_sided(confidence: f64, degrees: f64) -> f64 {
    if degrees.is_nan() || degrees < 0.5 {
        return f64::INFINITY;
    }
    let outside = (1.0 - confidence).clamp(1e-12, 1.0);
    let (mut low, mut high) = (0.0, 1.0);
    while beyond(high, degrees) > outside && high < 1e300 {
        (low, high) = (high, high * 2.0);
    }
    // Bisection gains a bit a step; doubles have 53.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if beyond(middle, degrees) > outside {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The probability that a t-distributed value lies farther from zero than `t`, on either side.
pub fn beyond(t: f64, degrees: f64) -> f64 {
    // Beyond some millions of degrees the continued fraction converges slowly and the normal law is exact to 1e-7.
    let degrees = degrees.min(1e6);
    // Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1.
    incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5)
}

/// The regularised incomplete beta function, by its continued fraction in Lentz's form (Abramowitz and Stegun, 26.5.8;
/// Lentz, Applied Optics 15, 1976).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp();
    // The fraction converges fast on one side only; the symmetry of the function gives the other.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..1_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let step = d * c;
        value *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// The logarithm of the gamma function for positive arguments: Stirling's series, after the recurrence has made the
/// argument great enough (Abramowitz and Stegun, 6.1.41).
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.10.
        for (confidence, degrees, expected) in [
            (0.95, 1.0, 12.706),
            (0.95, 2.0, 4.303),
            (0.95, 9.0, 2.262),
            (0.99, 9.0, 3.250),
            (0.95, 19.0, 2.093),
            (0.99, 29.0, 2.756),
            (0.999, 19.0, 3.883),
            (0.95, 120.0, 1.980),
            (0.95, 1e9, 1.960),
        ] {
            let found = two_sided(confidence, degrees);
            assert!((found - expected).abs() < 6e-4, "{confidence} {degrees}: {found}, not {expected}");
        }
    }

    #[test]
    fn one_value_bounds_nothing() {
        assert_eq!(two_sided(0.95, 0.0), f64::INFINITY);
        assert_eq!(two_sided(0.95, f64::NAN), f64::INFINITY);
    }

    #[test]
    fn gamma_of_whole_numbers_is_the_factorial() {
        for (x, factorial) in [(1.0, 1.0f64), (2.0, 1.0), (5.0, 24.0), (11.0, 3_628_800.0)] {
            assert!((ln_gamma(x) - factorial.ln()).abs() < 1e-10, "{x}");
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-10);
    }
}
