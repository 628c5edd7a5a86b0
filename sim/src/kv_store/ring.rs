//! On which shard a key lives, by the hash of its name.
//!
//! As Redis Cluster has it (its specification, "Key distribution model"): CRC16 of the name (XMODEM's polynomial 0x1021,
//! initially zero) modulo 16,384 is the slot, and each shard has a range of slots of equal length, as `redis-cli
//! --cluster create` deals them out. As clients with consistent hashing have it (ketama.c of libketama): 40 MD5 digests of
//! a server's name and a number make 160 points for each shard on a circle of 32 bits, and a key lives at the point that
//! follows its own. Servers are called by their numbers here; shares of the circle depend on what they are called.

use scenarios::scenario::ShardBy;

use super::md5;

const SLOTS: usize = 16_384;
/// Digests of each server, and points from each digest.
const DIGESTS: usize = 40;

/// How keys are spread over the shards of a store.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    spread: Spread,
    shards: u16,
    /// The names of keys without their numbers.
    prefix: Vec<u8>,
    /// What CRC16 makes of the prefix.
    prefix_crc: u16,
}

#[derive(Clone, Debug)]
enum Spread {
    Slots,
    /// Points of the circle in order, and whose they are.
    Circle(Vec<(u32, u16)>),
}

impl Ring {
    /// The keys of a keyspace over so many shards.
    pub(crate) fn new(by: ShardBy, shards: u16, keyspace: &str) -> Self {
        let spread = match by {
            ShardBy::Ketama => Spread::Circle(circle(shards)),
            _ => Spread::Slots,
        };
        let prefix = format!("{keyspace}:").into_bytes();
        let prefix_crc = prefix.iter().fold(0, |crc, byte| crc16(crc, *byte));
        Self { spread, shards, prefix, prefix_crc }
    }

    /// The shard of a key, from zero.
    #[inline]
    pub(crate) fn shard(&self, key: u64) -> u16 {
        let mut digits = [0; 20];
        let digits = decimal(key, &mut digits);
        match &self.spread {
            Spread::Slots => {
                let crc = digits.iter().fold(self.prefix_crc, |crc, byte| crc16(crc, *byte));
                let slot = usize::from(crc) % SLOTS;
                // A shard's last slot is (shard + 1) * slots / shards - 1, rounded (redis-cli.c, `clusterManagerCommandCreate`).
                (((2 * slot + 1) * usize::from(self.shards)).div_ceil(2 * SLOTS) - 1) as u16
            }
            Spread::Circle(points) => {
                let place = md5::digest(&[&self.prefix, digits])[0];
                let next = points.partition_point(|(point, _)| *point < place);
                points.get(next).unwrap_or(&points[0]).1
            }
        }
    }

    /// The share of names that a shard has.
    pub(crate) fn share(&self, shard: u16) -> f64 {
        match &self.spread {
            Spread::Slots => {
                let (shard, shards) = (usize::from(shard), usize::from(self.shards));
                let first = |shard: usize| (2 * shard * SLOTS + shards) / (2 * shards);
                (first(shard + 1) - first(shard)) as f64 / SLOTS as f64
            }
            Spread::Circle(points) => {
                let last = points.len() - 1;
                let before = |i: usize| points[if i == 0 { last } else { i - 1 }].0;
                let own = points.iter().enumerate().filter(|(_, (_, owner))| *owner == shard);
                own.map(|(i, (point, _))| f64::from(point.wrapping_sub(before(i)))).sum::<f64>()
                    / 4_294_967_296.0
            }
        }
    }

    pub(crate) fn shards(&self) -> u16 {
        self.shards
    }
}

fn circle(shards: u16) -> Vec<(u32, u16)> {
    let mut points = Vec::new();
    for shard in 0..shards {
        for number in 0..DIGESTS {
            let digest = md5::digest(&[format!("shard-{}:6379-{number}", shard + 1).as_bytes()]);
            points.extend(digest.map(|point| (point, shard)));
        }
    }
    points.sort_unstable();
    points
}

/// A number's digits, as they stand in a key's name.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[first..];
        }
    }
}

/// One byte more of CRC16.
#[inline]
const fn crc16(crc: u16, byte: u8) -> u16 {
    crc << 8 ^ CRC16[(crc >> 8 ^ byte as u16) as usize]
}

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = ((i as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(text: &str) -> u16 {
        text.bytes().fold(0, crc16)
    }

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // The specification's test value, and CLUSTER KEYSLOT of two names, asked of redis-server 7.0.
        assert_eq!(crc("123456789"), 0x31c3);
        assert_eq!(usize::from(crc("somekey")) % SLOTS, 11_058);
        let ring = Ring::new(ShardBy::Crc16, 16_384, "items");
        for key in [0, 7, 4_711, 99_999_999] {
            assert_eq!(usize::from(ring.shard(key)), usize::from(crc(&format!("items:{key}"))) % SLOTS);
        }
        // Of three masters, the first have 5,461 and 5,462 slots.
        let ring = Ring::new(ShardBy::Crc16, 3, "items");
        let slots = [0, 1, 2].map(|shard| (ring.share(shard) * SLOTS as f64).round() as u32);
        assert_eq!(slots, [5_461, 5_462, 5_461]);
    }

    #[test]
    fn shares_of_keys_are_those_of_the_ring() {
        for by in [ShardBy::Crc16, ShardBy::Ketama] {
            for shards in [1, 3, 8] {
                let ring = Ring::new(by, shards, "items");
                let keys = 20_000;
                let mut counts = vec![0_u32; usize::from(shards)];
                (0..keys).for_each(|key| counts[usize::from(ring.shard(key))] += 1);
                let shares: f64 = (0..shards).map(|shard| ring.share(shard)).sum();
                assert!((shares - 1.0).abs() < 1e-9, "{by:?}, {shards}: {shares}");
                for (shard, count) in (0..).zip(counts) {
                    let share = ring.share(shard);
                    // Five standard deviations of a binomial count.
                    let width = 5.0 * (keys as f64 * share * (1.0 - share)).sqrt() + 1e-9;
                    let expected = keys as f64 * share;
                    assert!(
                        (f64::from(count) - expected).abs() <= width,
                        "{by:?}, {shards}: {count}, {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn another_shard_takes_its_share_of_a_circle_and_moves_nothing_else() {
        let [four, five] = [4, 5].map(|shards| Ring::new(ShardBy::Ketama, shards, "items"));
        let mut moved = 0_u32;
        for key in 0..10_000 {
            let (before, after) = (four.shard(key), five.shard(key));
            if before != after {
                assert_eq!(after, 4, "key {key} moves to the new shard or stays");
                moved += 1;
            }
        }
        assert!((f64::from(moved) / 10_000.0 - five.share(4)).abs() < 0.02, "{moved}");
    }
}
