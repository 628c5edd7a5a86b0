//! Shares of popularity of numbered keys that come and go, of which one is drawn by popularity.
//!
//! Partial sums in a tree (Fenwick, "A new data structure for cumulative frequency tables", Software: Practice and
//! Experience 24(3), 1994): a change and a draw take as many steps as the number of keys has bits.

/// Shares that add up to less than 2^64.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// At place i, counted from one, the sum of as many shares up to the i-th as i's lowest bit says.
    sums: Vec<u64>,
    total: u64,
}

impl Shares {
    pub(super) fn new(shares: &[u64]) -> Self {
        let mut sums = vec![0; shares.len() + 1];
        sums[1..].copy_from_slice(shares);
        for place in 1..sums.len() {
            let next = place + (place & place.wrapping_neg());
            if next < sums.len() {
                sums[next] += sums[place];
            }
        }
        Self { sums, total: shares.iter().sum() }
    }

    /// All shares together.
    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// A key comes with its share.
    pub(super) fn add(&mut self, key: usize, share: u64) {
        self.total += share;
        let mut place = key + 1;
        while let Some(sum) = self.sums.get_mut(place) {
            *sum += share;
            place += place & place.wrapping_neg();
        }
    }

    /// A key goes with its share.
    pub(super) fn take(&mut self, key: usize, share: u64) {
        self.total -= share;
        let mut place = key + 1;
        while let Some(sum) = self.sums.get_mut(place) {
            *sum -= share;
            place += place & place.wrapping_neg();
        }
    }

    /// The key in whose share a number lies that is below the total, where shares follow each other in the keys' order.
    pub(super) fn find(&self, number: u64) -> usize {
        let (mut before, mut left) = (0, number);
        let mut step = self.sums.len().next_power_of_two() / 2;
        while step > 0 {
            if let Some(&sum) = self.sums.get(before + step)
                && sum <= left
            {
                before += step;
                left -= sum;
            }
            step /= 2;
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;

    #[test]
    fn numbers_are_found_in_the_share_in_which_they_lie() {
        for count in [1, 2, 7, 8, 9] {
            let mut present: Vec<u64> = (0..count).map(|key| key * 5 % 7).collect();
            let mut shares = Shares::new(&present);
            let check = |present: &[u64], shares: &Shares| {
                let keys = present.iter().enumerate();
                let expected: Vec<usize> =
                    keys.flat_map(|(key, share)| std::iter::repeat_n(key, *share as usize)).collect();
                assert_eq!(shares.total(), expected.len() as u64);
                let found: Vec<usize> = (0..shares.total()).map(|number| shares.find(number)).collect();
                assert_eq!(found, expected, "{present:?}");
            };
            check(&present, &shares);
            for key in 0..count as usize {
                shares.take(key, present[key]);
                present[key] = 0;
                check(&present, &shares);
            }
            for key in (0..count as usize).rev() {
                present[key] = key as u64 + 1;
                shares.add(key, present[key]);
                check(&present, &shares);
            }
        }
    }
}
