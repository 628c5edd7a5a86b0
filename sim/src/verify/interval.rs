//! Confidence intervals from independent replications, narrowed by control variates.
//!
//! A replication yields the quantity y and a few controls x whose exact means are known beforehand (the share of arrivals
//! above their rate, the utilisation): a replication that happened to be busy says by how much it was. Regression takes
//! that part out; the interval is Student's with as many degrees of freedom as are left (Lavenberg and Welch, "A
//! perspective on the use of control variables", Management Science 27, 1981; Law, *Simulation Modeling and Analysis*,
//! 11.4).

/// A mean with half the width of its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The middle.
    pub mean: f64,
    /// Half the width.
    pub half: f64,
}

impl Interval {
    /// Whether a value lies in it.
    pub fn holds(&self, value: f64) -> bool {
        (value - self.mean).abs() <= self.half
    }
}

/// The interval of a quantity's mean at a significance, from one value per replication; `controls[i]` are those of
/// replication `i`, each less its exact mean. A control that never varies is left out.
///
/// # Panics
/// Without at least two more replications than controls.
pub fn controlled(values: &[f64], controls: &[Vec<f64>], significance: f64) -> Interval {
    let n = values.len();
    let width = controls.first().map_or(0, Vec::len);
    let varies = |j: &usize| controls.iter().any(|row| row[*j] != controls[0][*j]);
    let used: Vec<usize> = (0..width).filter(varies).collect();
    // The regression is solved about the controls' exact means, so that its constant term is the estimate itself.
    let columns = used.len() + 1;
    assert!(n > columns + 1, "{n} replications are too few for {} controls", used.len());
    let scale = |j: usize| controls.iter().map(|row| row[j] * row[j]).sum::<f64>().sqrt();
    let scales: Vec<f64> = used.iter().map(|&j| scale(j)).collect();
    let design: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let scaled = used.iter().zip(&scales).map(|(&j, scale)| controls[i][j] / scale);
            std::iter::once(1.0).chain(scaled).collect()
        })
        .collect();
    let mut normal = vec![vec![0.0; columns + 2]; columns];
    for (row, value) in design.iter().zip(values) {
        for a in 0..columns {
            for b in 0..columns {
                normal[a][b] += row[a] * row[b];
            }
            normal[a][columns] += row[a] * value;
        }
    }
    // The last column becomes the first of the inverse, whose corner scales the estimate's variance.
    normal[0][columns + 1] = 1.0;
    eliminate(&mut normal);
    let coefficients: Vec<f64> = normal.iter().map(|row| row[columns]).collect();
    let residual = |(row, value): (&Vec<f64>, &f64)| {
        let fitted: f64 = row.iter().zip(&coefficients).map(|(x, b)| x * b).sum();
        (value - fitted).powi(2)
    };
    let freedom = n - columns;
    let variance = design.iter().zip(values).map(residual).sum::<f64>() / freedom as f64;
    let deviation = (variance * normal[0][columns + 1]).sqrt();
    Interval { mean: coefficients[0], half: student(significance, freedom as f64) * deviation }
}

/// Gauss-Jordan elimination with row pivots: turns the left square into the identity.
fn eliminate(matrix: &mut [Vec<f64>]) {
    let size = matrix.len();
    for column in 0..size {
        let largest = |a: &usize, b: &usize| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs());
        let pivot = (column..size).max_by(largest).expect("the range is not empty");
        matrix.swap(column, pivot);
        let divisor = matrix[column][column];
        matrix[column].iter_mut().for_each(|x| *x /= divisor);
        let reference = matrix[column].clone();
        for (i, row) in matrix.iter_mut().enumerate() {
            if i != column {
                let factor = row[column];
                row.iter_mut().zip(&reference).for_each(|(x, r)| *x -= factor * r);
            }
        }
    }
}

/// The share of errors that each of `rows` independent tests may make so that all of them together make `family`
/// (Šidák 1967).
pub fn sidak(family: f64, rows: usize) -> f64 {
    -((-family).ln_1p() / rows.max(1) as f64).exp_m1()
}

/// The value that |t| exceeds with this probability, for Student's t.
///
/// The density is integrated in the angle whose tangent is t/√ν, where it is smooth and bounded (Abramowitz and Stegun
/// 26.7), by Simpson's rule.
pub fn student(significance: f64, freedom: f64) -> f64 {
    let quarter = std::f64::consts::FRAC_PI_2;
    let steps = 400;
    let tail = |from: f64| {
        let width = (quarter - from) / f64::from(steps);
        let weight = |i: i32| if i == 0 || i == steps { 1.0 } else { f64::from(2 + i % 2 * 2) };
        let density = |i: i32| weight(i) * (from + width * f64::from(i)).cos().powf(freedom - 1.0);
        (0..=steps).map(density).sum::<f64>() * width / 3.0
    };
    let wanted = significance * tail(0.0);
    let (mut low, mut high) = (0.0, quarter);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if tail(middle) > wanted { low = middle } else { high = middle }
    }
    low.tan() * freedom.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::rng::{Purpose, Stream};
    use scenarios::units::Seed;

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (significance, freedom, known) in [
            (0.05, 9.0, 2.262_157),
            (0.01, 19.0, 2.860_935),
            (0.05, 1.0, 12.706_205),
            (0.001, 60.0, 3.460_200),
        ] {
            let found = student(significance, freedom);
            assert!((found / known - 1.0).abs() < 1e-5, "{found} instead of {known}");
        }
    }

    #[test]
    fn sidak_shares_the_error_out() {
        assert!((sidak(0.01, 1) - 0.01).abs() < 1e-15);
        assert!(((1.0 - sidak(0.01, 30)).powi(30) - 0.99).abs() < 1e-12);
    }

    /// Values that depend on a control, and the control itself.
    fn synthetic(stream: &mut Stream, n: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut normal = || (0..12).map(|_| stream.unit()).sum::<f64>() - 6.0;
        (0..n)
            .map(|_| {
                let control = normal();
                (7.0 + 3.0 * control + normal(), vec![control, 0.0])
            })
            .unzip()
    }

    #[test]
    fn intervals_cover_the_truth_as_often_as_they_say() {
        let mut stream = Stream::new(Seed(1), Purpose::named("interval-test"), 0);
        let runs = 1_000;
        let covered = (0..runs)
            .filter(|_| {
                let (values, controls) = synthetic(&mut stream, 12);
                controlled(&values, &controls, 0.1).holds(7.0)
            })
            .count() as f64;
        // Five standard errors of a binomial count, seed 1.
        let (expected, error) = (0.9 * f64::from(runs), 5.0 * (0.09 * f64::from(runs)).sqrt());
        assert!((covered - expected).abs() < error, "{covered} of {runs}");
    }

    #[test]
    fn controls_narrow_the_interval_by_what_they_explain() {
        let mut stream = Stream::new(Seed(2), Purpose::named("interval-test"), 0);
        let (values, controls) = synthetic(&mut stream, 400);
        let without = controlled(&values, &vec![Vec::new(); 400], 0.05);
        let with = controlled(&values, &controls, 0.05);
        let ratio = without.half / with.half;
        assert!((ratio - 10.0_f64.sqrt()).abs() < 0.4, "narrowed {ratio} times");
    }
}
