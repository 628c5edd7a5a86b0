//! Zipf's law as shares of popularity: of a rank, and of a rank's place when a share is given.

/// Popularities in proportion to (rank + 1)^-exponent over ranks `0..keys`, where ranks from `head` on are close enough to
/// a continuum: the sum over them is the integral between half-ranks.
#[derive(Clone, Debug)]
pub(crate) struct Zeta {
    exponent: f64,
    total: f64,
    /// The integral at the tail's two ends.
    from: f64,
    to: f64,
}

impl Zeta {
    pub(crate) fn new(keys: u64, head: u64, exponent: f64) -> Self {
        let mut zeta = Self { exponent, total: 0.0, from: 0.0, to: 0.0 };
        zeta.from = zeta.integral(head as f64 + 0.5);
        zeta.to = zeta.integral(keys as f64 + 0.5);
        let head: f64 = (1..=head).map(|k| (k as f64).powf(-exponent)).sum();
        zeta.total = head + zeta.to - zeta.from;
        zeta
    }

    /// The popularity of a rank, as a share of all.
    #[inline]
    pub(crate) fn share(&self, rank: f64) -> f64 {
        (-self.exponent * (rank + 1.0).ln()).exp() / self.total
    }

    /// An antiderivative of x^-exponent, zero at 1.
    fn integral(&self, x: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 { x.ln() } else { (power * x.ln()).exp_m1() / power }
    }

    /// The rank of the tail below which a part of its popularity lies.
    #[inline]
    pub(crate) fn tail_rank(&self, part: f64) -> u64 {
        let y = self.from + part * (self.to - self.from);
        let power = 1.0 - self.exponent;
        let x = if power.abs() < 1e-9 { y.exp() } else { ((power * y).ln_1p() / power).exp() };
        // Rank k stands for x from k + 1/2 to k + 3/2.
        (x - 0.5).max(0.0) as u64
    }
}
