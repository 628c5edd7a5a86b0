use scenarios::rng::Purpose;
use scenarios::units::Seed;

use super::*;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn store(eviction: Eviction, max_bytes: u64) -> Contents {
    let rules = Rules { max_bytes, eviction, samples: 5, clock_offset_nanos: 0 };
    Contents::new(&rules, 0, Stream::new(Seed(3), Purpose::named("contents-test"), 0))
}

/// Keys 1 to `keys` with a lifetime, one each millisecond, and what is left of some of them.
fn written(eviction: Eviction, keys: u64, max_bytes: u64, lifetime: impl Fn(u64) -> Option<u64>) -> Contents {
    let mut contents = store(eviction, max_bytes);
    for key in 1..=keys {
        let now = key * 1_000_000;
        contents.write(key, 200, lifetime(key).map(|l| now + l), now);
    }
    contents
}

fn left(contents: &mut Contents, keys: std::ops::RangeInclusive<u64>, now: u64) -> usize {
    keys.filter(|key| contents.read(*key, now)).count()
}

#[test]
fn every_policy_holds_the_limit() {
    for eviction in [
        Eviction::VolatileLru,
        Eviction::VolatileLfu,
        Eviction::VolatileRandom,
        Eviction::VolatileTtl,
        Eviction::AllkeysLru,
        Eviction::AllkeysLfu,
        Eviction::AllkeysRandom,
    ] {
        let mut contents = store(eviction, 1_000_000);
        for key in 1..=20_000 {
            assert!(contents.write(key, 200, Some(DAY), key * 1_000_000), "{eviction:?}");
            assert!(contents.used_bytes() <= 1_000_000 + 200 + 8 * 8_192, "{eviction:?}");
        }
        assert!(contents.make_room(20 * SECOND));
        assert!((4_000..5_000).contains(&contents.keys()), "{eviction:?}: {} keys", contents.keys());
        assert_eq!(contents.counts.evictions, 20_000 - contents.keys());
        assert_eq!(contents.keys(), contents.keys_with_ttl());
    }
}

#[test]
fn volatile_policies_pass_over_keys_without_a_lifetime() {
    let odd = |key| (key % 2 == 1).then_some(DAY);
    let mut contents = written(Eviction::VolatileLru, 4_000, 500_000, odd);
    let without = (2..=4_000).step_by(2).filter(|key| contents.read(*key, 5 * SECOND)).count() as u64;
    assert_eq!(without, contents.keys() - contents.keys_with_ttl());
    assert!(without > 1_900, "{without}");
    // Full of them, it refuses.
    assert!(!(4_001..6_000).all(|key| contents.write(key, 200, None, 6 * SECOND)));
    assert_eq!(contents.keys_with_ttl(), 0);
}

#[test]
fn allkeys_policies_take_any_key() {
    let odd = |key| (key % 2 == 1).then_some(DAY);
    let contents = written(Eviction::AllkeysRandom, 40_000, 1_000_000, odd);
    let share = contents.keys_with_ttl() as f64 / contents.keys() as f64;
    assert!((share - 0.5).abs() < 0.05, "{share}");
}

#[test]
fn noeviction_refuses_and_keeps_what_it_has() {
    let mut contents = written(Eviction::NoEviction, 5_000, 500_000, |_| Some(DAY));
    assert!(!contents.make_room(6 * SECOND));
    assert_eq!(contents.counts.evictions, 0);
    assert_eq!(left(&mut contents, 1..=2_000, 6 * SECOND), 2_000, "the first to come stay");
}

#[test]
fn lru_keeps_what_was_read_and_lfu_what_is_read_often() {
    for (eviction, reads, least) in [(Eviction::VolatileLru, 1, 95), (Eviction::VolatileLfu, 50, 95)] {
        let mut contents = store(eviction, 500_000);
        for key in 1..=20_000 {
            let now = key * 1_000_000;
            contents.write(key, 200, Some(now + DAY), now);
            // A hundred keys, read from time to time.
            if key > 200 && key % 100 == 0 {
                for favourite in 1..=100 {
                    for _ in 0..reads {
                        contents.read(favourite, now);
                    }
                }
            }
        }
        let kept = left(&mut contents, 1..=100, 20 * SECOND);
        assert!(kept >= least, "{eviction:?}: {kept} of 100");
    }
}

#[test]
fn ttl_evicts_what_expires_soonest() {
    // Every other key lives for a minute, the rest for a day.
    let lifetime = |key| Some(if key % 2 == 0 { DAY } else { 60 * SECOND });
    let mut contents = written(Eviction::VolatileTtl, 4_000, 500_000, lifetime);
    let long = (2..=4_000).step_by(2).filter(|key| contents.read(*key, 4 * SECOND)).count();
    assert!(long > 1_850, "{long} of 2000");
}

#[test]
fn expired_keys_go_when_asked_for_and_by_the_cycle() {
    let mut contents = written(Eviction::NoEviction, 10_000, u64::MAX, |_| Some(SECOND));
    let now = 20 * SECOND;
    assert!(!contents.read(1, now));
    assert_eq!((contents.counts.expired, contents.keys()), (1, 9_999));
    let took = contents.tick(now);
    assert!(took > 1_000_000, "{took} ns");
    let left = contents.keys();
    assert!(
        left < 164,
        "all were stale, so it went on until less than 1% of 16,384 buckets were in use: {left}"
    );
    contents.tick(now + 100_000_000);
    assert_eq!(contents.keys(), 0, "the table had shrunk");
    assert!(contents.adds_up());
}

#[test]
fn the_cycle_stops_at_a_tenth_stale_and_at_its_limit_of_time() {
    // One in twenty has expired: the first round is enough.
    let few = |key| Some(if key % 20 == 0 { SECOND } else { DAY });
    let mut contents = written(Eviction::NoEviction, 10_000, u64::MAX, few);
    contents.tick(20 * SECOND);
    assert!(contents.counts.expired < 40, "{} expired", contents.counts.expired);
    // A million stale keys do not fit into a quarter of 100 ms; then fast cycles help.
    let mut contents = written(Eviction::NoEviction, 1_000_000, u64::MAX, |_| Some(SECOND));
    let now = 5_000 * SECOND;
    let took = contents.tick(now);
    assert!((25_000_000..26_000_000).contains(&took), "{took} ns");
    assert!((20_000..26_000).contains(&contents.counts.expired), "{} expired", contents.counts.expired);
    assert!(contents.expire_before_sleep(now) > 0);
    assert_eq!(contents.expire_before_sleep(now + 1_000_000), 0, "not again within two milliseconds");
    assert!(contents.expire_before_sleep(now + 2_000_000) > 0);
}

#[test]
fn a_death_leaves_what_was_on_disk() {
    let mut contents = store(Eviction::VolatileLru, u64::MAX);
    contents.stand(1_000, 200_000);
    let before = contents.used_bytes();
    contents.write(1, 300, Some(DAY), 0);
    contents.write(2, 300, None, 0);
    assert_eq!((contents.keys(), contents.keys_with_ttl()), (1_002, 1));
    contents.lose_all();
    assert_eq!((contents.keys(), contents.keys_with_ttl()), (1_000, 0));
    assert_eq!(contents.used_bytes(), before);
}

#[test]
fn what_was_saved_is_read_again_but_for_keys_whose_time_is_over() {
    for eviction in [Eviction::VolatileLru, Eviction::AllkeysLfu] {
        let mut contents = store(eviction, u64::MAX);
        contents.stand(1_000, 200_000);
        (1..=100).for_each(|key| _ = contents.write(key, 300, Some(key * SECOND), 0));
        (101..=150).for_each(|key| _ = contents.write(key, 300, None, 0));
        let (saved, counts) = (contents.clone(), contents.counts);
        (151..=200).for_each(|key| _ = contents.write(key, 300, Some(DAY), SECOND));
        contents.lose_all();
        contents.load(&saved, 40 * SECOND + 1);
        assert_eq!((contents.keys(), contents.keys_with_ttl()), (1_110, 60), "{eviction:?}");
        assert!(contents.adds_up() && contents.counts == counts, "{eviction:?}: {:?}", contents.counts);
        assert_eq!(left(&mut contents, 1..=200, 40 * SECOND + 1), 110, "{eviction:?}");
        // It can be read more than once.
        contents.load(&saved, 0);
        assert_eq!(contents.keys(), saved.keys(), "{eviction:?}");
    }
}

#[test]
fn overwriting_keeps_one_record_and_its_memory() {
    for eviction in [Eviction::VolatileLru, Eviction::AllkeysLfu] {
        let mut contents = store(eviction, u64::MAX);
        for (i, expires) in [Some(DAY), None, Some(DAY), Some(2 * DAY), None].into_iter().enumerate() {
            assert!(contents.write(7, 100 + i as u64, expires, 5));
            let tables = 8 * contents.evictable.buckets() as u64 + contents.other_table.bytes();
            assert_eq!(contents.used_bytes() - tables, 100 + i as u64, "{eviction:?}");
            assert_eq!(contents.keys(), 1);
            assert_eq!(contents.keys_with_ttl(), u64::from(expires.is_some()));
        }
    }
}
