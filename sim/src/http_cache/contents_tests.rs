//! What the cache's contents do, by Varnish's rules.

use scenarios::plan::zipf::Zipf;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

use super::contents::{Answer, Contents, Lifetime, Lookup, Settings, Stored};
use super::store::ObjectId;

const SECOND: u64 = 1_000_000_000;
const LIFETIMES: [Lifetime; 1] = [Lifetime { grace_nanos: 20 * SECOND, keep_nanos: 30 * SECOND }];

/// A cache for 100 objects of 1,000 bytes.
fn small() -> Contents {
    let settings = Settings { head_bytes: 200, ..Settings::varnish(100_000, 0) };
    Contents::new(settings, &LIFETIMES)
}

fn answer(tags: &[u64]) -> Answer<'_> {
    Answer { ttl_nanos: 10 * SECOND, lifetime: 0, body_bytes: 800, tags }
}

fn miss(cache: &mut Contents, key: u64, now: u64) -> ObjectId {
    match cache.lookup(key, now) {
        Lookup::Miss { object, .. } => object,
        met => panic!("key {key} at {now}: {met:?}"),
    }
}

fn fetch(cache: &mut Contents, key: u64, now: u64) -> ObjectId {
    let object = miss(cache, key, now);
    assert_eq!(cache.keep(object, &answer(&[key, 1000]), now), Stored::Kept);
    object
}

#[test]
fn an_object_is_fresh_then_stale_then_kept_then_gone() {
    let mut cache = small();
    let object = fetch(&mut cache, 7, 0);
    assert_eq!(cache.lookup(7, 10 * SECOND - 1), Lookup::Hit(object));
    assert_eq!(cache.lookup(7, 10 * SECOND), Lookup::Stale { object, refresh: true });
    cache.fail(object, 11 * SECOND);
    assert_eq!(cache.lookup(7, 30 * SECOND), Lookup::Stale { object, refresh: true });
    cache.fail(object, 30 * SECOND);
    assert_eq!(cache.lookup(7, 30 * SECOND + 1), Lookup::Miss { object, conditional: true });
    cache.fail(object, 31 * SECOND);
    assert_eq!(cache.objects(), 1);
    assert_eq!(cache.lookup(7, 60 * SECOND), Lookup::Miss { object, conditional: false });
    assert_eq!(cache.counts().expired, 1);
    cache.fail(object, 60 * SECOND);
    assert_eq!((cache.objects(), cache.used_bytes()), (0, 0));
}

#[test]
fn only_one_refreshes_a_stale_object() {
    let mut cache = small();
    let object = fetch(&mut cache, 7, 0);
    assert_eq!(cache.lookup(7, 15 * SECOND), Lookup::Stale { object, refresh: true });
    assert_eq!(cache.lookup(7, 15 * SECOND), Lookup::Stale { object, refresh: false });
    assert_eq!(cache.keep(object, &answer(&[]), 16 * SECOND), Stored::Kept);
    assert_eq!(cache.lookup(7, 16 * SECOND), Lookup::Hit(object));
    assert_eq!(cache.used_bytes(), 1000, "the old one was given back");
}

#[test]
fn past_its_grace_a_stale_object_is_waited_for() {
    let mut cache = small();
    let object = fetch(&mut cache, 7, 0);
    assert_eq!(cache.lookup(7, 40 * SECOND), Lookup::Miss { object, conditional: true });
    assert_eq!(cache.lookup(7, 41 * SECOND), Lookup::Busy(object));
    assert_eq!(cache.confirm(object, 10 * SECOND, 42 * SECOND), Stored::Kept);
    assert_eq!(cache.lookup(7, 51 * SECOND), Lookup::Hit(object));
    assert_eq!((cache.counts().confirmed, cache.used_bytes()), (1, 1000));
}

#[test]
fn who_finds_a_fetch_waits_for_it_unless_told_not_to() {
    let mut cache = small();
    let object = miss(&mut cache, 7, 0);
    for waiter in [3, 1, 2] {
        assert_eq!(cache.lookup(7, 0), Lookup::Busy(object));
        cache.wait(object, waiter);
    }
    cache.leave(object, 1);
    cache.keep(object, &answer(&[]), SECOND);
    assert_eq!(cache.take_waiting(object), [3, 2]);
    assert_eq!(cache.counts().coalesced, 3);

    let settings = Settings { coalesce: false, ..Settings::varnish(100_000, 0) };
    let mut cache = Contents::new(settings, &LIFETIMES);
    let object = miss(&mut cache, 7, 0);
    assert_eq!(miss(&mut cache, 7, 0), object);
    cache.keep(object, &answer(&[]), SECOND);
    cache.keep(object, &answer(&[]), SECOND);
    assert_eq!(cache.used_bytes(), 920);
}

#[test]
fn a_failure_is_kept_a_second_for_those_who_waited() {
    let mut cache = small();
    let object = miss(&mut cache, 7, 0);
    cache.fail(object, 0);
    assert_eq!(cache.objects(), 0, "nobody waited");
    let object = miss(&mut cache, 7, 0);
    cache.wait(object, 1);
    cache.fail(object, SECOND);
    assert_eq!(cache.take_waiting(object), [1]);
    assert_eq!(cache.lookup(7, 2 * SECOND - 1), Lookup::Hit(object));
    assert!(cache.is_error(object));
    assert_eq!(cache.lookup(7, 2 * SECOND), Lookup::Stale { object, refresh: true });
    cache.keep(object, &answer(&[]), 2 * SECOND);
    assert!(!cache.is_error(object));
    assert_eq!(cache.used_bytes(), 1000);
}

#[test]
fn what_is_not_cacheable_is_fetched_by_each_for_itself() {
    let mut cache = small();
    let object = miss(&mut cache, 7, 0);
    cache.mark(object, 5 * SECOND, false, 0);
    assert_eq!(cache.lookup(7, SECOND), Lookup::HitForMiss(object));
    assert_eq!(cache.lookup(7, SECOND), Lookup::HitForMiss(object));
    // The second answer may be cached after all.
    cache.mark(object, 5 * SECOND, false, SECOND);
    cache.keep(object, &answer(&[]), SECOND);
    assert_eq!(cache.lookup(7, SECOND), Lookup::Hit(object));

    let object = miss(&mut cache, 8, 0);
    cache.mark(object, 5 * SECOND, true, SECOND);
    assert_eq!(cache.lookup(8, 2 * SECOND), Lookup::HitForPass);
    assert!(matches!(cache.lookup(8, 6 * SECOND), Lookup::Miss { conditional: false, .. }));
    assert_eq!(cache.transient_bytes(), 0);
}

#[test]
fn a_tag_purges_all_that_carry_it_and_nothing_else() {
    for soft in [false, true] {
        let mut cache = small();
        for key in 1..=5 {
            fetch(&mut cache, key, 0);
        }
        assert_eq!(cache.purge(3, soft, SECOND), 1);
        assert!(matches!(cache.lookup(2, SECOND), Lookup::Hit(_)));
        match cache.lookup(3, SECOND) {
            Lookup::Stale { object, refresh: true } if soft => cache.fail(object, SECOND),
            Lookup::Miss { object, conditional: false } if !soft => cache.fail(object, SECOND),
            met => panic!("purged with soft = {soft}: {met:?}"),
        }
        assert_eq!(cache.purge(1000, soft, SECOND), 4, "one is purged already");
        assert_eq!(cache.objects(), if soft { 5 } else { 0 });
        // Softly purged objects go at the end of their grace and keep, counted from the purge.
        cache.expire(51 * SECOND);
        assert_eq!((cache.objects(), cache.used_bytes()), (0, 0));
        cache.check();
    }
}

#[test]
fn a_flush_throws_all_out_but_what_is_being_fetched() {
    let mut cache = small();
    for key in 0..5 {
        fetch(&mut cache, key, 0);
    }
    let (stale, new) = (cache.lookup(3, 15 * SECOND), miss(&mut cache, 9, 15 * SECOND));
    let Lookup::Stale { object, refresh: true } = stale else { panic!("{stale:?}") };
    cache.flush();
    assert_eq!((cache.objects(), cache.used_bytes()), (2, 0));
    for object in [object, new] {
        cache.keep(object, &answer(&[]), 16 * SECOND);
    }
    assert_eq!((cache.objects(), cache.used_bytes()), (2, 2000));
    cache.check();
}

#[test]
fn an_object_that_is_fetched_again_is_stored_though_its_old_self_was_purged() {
    let mut cache = small();
    let object = fetch(&mut cache, 7, 0);
    cache.lookup(7, 15 * SECOND);
    assert_eq!(cache.purge(7, false, 15 * SECOND), 1);
    assert_eq!(cache.lookup(7, 15 * SECOND), Lookup::Busy(object));
    cache.keep(object, &answer(&[7]), 16 * SECOND);
    assert_eq!(cache.lookup(7, 16 * SECOND), Lookup::Hit(object));
}

#[test]
fn the_object_moved_longest_ago_is_evicted() {
    let mut cache = small();
    for key in 0..100 {
        fetch(&mut cache, key, key);
    }
    assert_eq!(cache.used_bytes(), 100_000);
    // Within two seconds of its storing a hit moves nothing.
    cache.lookup(0, SECOND);
    cache.lookup(1, 3 * SECOND);
    // The head of what is evicted is given back later, so that the first newcomer needs two.
    fetch(&mut cache, 1000, 3 * SECOND);
    assert_eq!(cache.counts().evictions, 2);
    fetch(&mut cache, 1001, 3 * SECOND);
    assert_eq!(cache.counts().evictions, 2);
    let there = |cache: &mut Contents, key| match cache.lookup(key, 3 * SECOND) {
        Lookup::Hit(_) => true,
        Lookup::Miss { object, .. } => {
            cache.fail(object, 3 * SECOND);
            false
        }
        met => panic!("{met:?}"),
    };
    let found: Vec<_> = (0..4).filter(|key| there(&mut cache, *key)).collect();
    assert_eq!(found, [1, 3]);
    cache.check();
}

#[test]
fn an_object_larger_than_fifty_others_finds_no_room() {
    let mut cache = small();
    for key in 0..100 {
        fetch(&mut cache, key, key);
    }
    let object = miss(&mut cache, 1000, SECOND);
    let large = Answer { body_bytes: 60_000, ..answer(&[]) };
    assert_eq!(cache.keep(object, &large, SECOND), Stored::NoRoom);
    assert_eq!((cache.counts().limited, cache.counts().evictions), (1, 50));
    assert_eq!((cache.objects(), cache.used_bytes()), (50, 50_000));
    cache.check();
}

#[test]
fn what_lives_short_takes_no_storage() {
    let settings = Settings { head_bytes: 200, ..Settings::varnish(1_000, 0) };
    let mut cache = Contents::new(settings, &[Lifetime::default()]);
    for key in 0..50 {
        let object = miss(&mut cache, key, 0);
        let short = Answer { ttl_nanos: 9 * SECOND, ..answer(&[]) };
        assert_eq!(cache.keep(object, &short, 0), Stored::Transient);
    }
    assert_eq!((cache.used_bytes(), cache.transient_bytes()), (0, 50_000));
    cache.expire(9 * SECOND);
    assert_eq!((cache.objects(), cache.transient_bytes()), (0, 0));
}

#[test]
fn random_use_keeps_the_books() {
    let mut cache = small();
    let mut stream = Stream::new(Seed(5), Purpose::named("test"), 0);
    let mut fetches = Vec::new();
    for step in 0..200_000_u64 {
        let now = step * SECOND / 50;
        match cache.lookup(stream.below(300), now) {
            Lookup::Miss { object, .. } | Lookup::Stale { object, refresh: true } => fetches.push(object),
            Lookup::HitForMiss(object) => fetches.push(object),
            Lookup::Busy(object) => cache.wait(object, step as u32),
            Lookup::Hit(_) | Lookup::Stale { .. } | Lookup::HitForPass => {}
        }
        if stream.unit() < 0.5 && !fetches.is_empty() {
            let object = fetches.swap_remove(stream.below(fetches.len() as u64) as usize);
            match stream.below(10) {
                0 => cache.fail(object, now),
                1 => cache.mark(object, SECOND, false, now),
                2 => {
                    cache.confirm(object, SECOND, now);
                }
                _ => {
                    let tags = [stream.below(20), 20 + stream.below(5)];
                    let body_bytes = stream.below(4000);
                    cache.keep(object, &Answer { body_bytes, ..answer(&tags) }, now);
                }
            }
            cache.take_waiting(object);
        }
        if stream.below(100) == 0 {
            cache.purge(stream.below(25), stream.unit() < 0.5, now);
        }
        if step % 1000 == 0 {
            cache.check();
        }
    }
    let counts = cache.counts();
    assert!(counts.evictions > 100 && counts.expired > 100 && counts.purged > 100, "{counts:?}");
    for object in fetches {
        cache.fail(object, 4_000 * SECOND);
    }
    cache.expire(5_000 * SECOND);
    assert_eq!((cache.objects(), cache.used_bytes(), cache.transient_bytes()), (0, 0, 0), "all has gone");
}

/// Che, Tung and Wang's approximation of LRU ("Hierarchical web caching systems", IEEE JSAC 20(7), 2002), solved to all
/// digits for 500,000 objects of which 100,000 fit.
#[test]
fn with_equal_sizes_and_no_interval_it_is_lru_within_ches_approximation() {
    for (exponent, expected) in [(1.0, 0.834_455_26), (0.8, 0.602_937_06)] {
        let settings =
            Settings { head_bytes: 0, lru_interval_nanos: 0, ..Settings::varnish(100_000 * 1000, 0) };
        let mut cache = Contents::new(settings, &LIFETIMES);
        let zipf = Zipf::new(500_000, exponent);
        let mut stream = Stream::new(Seed(17), Purpose::named("che"), 0);
        let requests = 2_000_000;
        for request in 0..requests {
            if request == requests / 2 {
                cache.take_counts();
            }
            if let Lookup::Miss { object, .. } = cache.lookup(zipf.sample(&mut stream), request) {
                let forever = Answer { ttl_nanos: u64::MAX / 2, lifetime: 0, body_bytes: 1000, tags: &[] };
                cache.keep(object, &forever, request);
            }
        }
        let hits = cache.counts().hits as f64 / (requests / 2) as f64;
        assert!((hits - expected).abs() < 0.002, "Zipf {exponent}: hit ratio {hits}, by Che {expected}");
    }
}
