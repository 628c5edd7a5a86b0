use scenarios::plan::zipf::Zipf;
use scenarios::scenario::Eviction;

use super::*;
use crate::kv_store::contents::{Contents, Rules};
use crate::kv_store::wide::name;

fn scenario(keys: u64, exponent: f64) -> scenarios::Scenario {
    let text = format!(
        r#"
title = "One keyspace"
[run]
duration = "100s"
[hosts.a]
[components.s]
kind = "service"
host = "a"
[components.k]
kind = "kv-store"
host = "a"
[keyspaces.c]
in = "k"
keys = {keys}
popularity = "zipf({exponent})"
churn = "1%/s"
value = "100B"
[requests.r]
path = "/"
[traffic.t]
to = "s"
mix = {{ r = 1 }}
executor = "constant-arrival-rate"
rate = "1/s"
"#
    );
    scenarios::Scenario::parse("test.toml", text).expect("the scenario is valid")
}

fn space(keys: u64, exponent: f64, one_in: u64, head: u64) -> Space {
    Space::new(&scenario(keys, exponent).keyspaces[0], 0, one_in, head, Seed(1), None)
}

fn contents(max_bytes: u64, eviction: Eviction, one_in: u64) -> Contents {
    let rules = Rules { max_bytes, eviction, samples: 5, clock_offset_nanos: 0 };
    Contents::new(&rules, 0, Stream::new(Seed(1), Purpose::named("sampled-test"), one_in))
}

#[test]
fn heads_that_come_and_go_leave_what_was_there_before() {
    let mut space = space(10_000, 0.9, 64, 1_000);
    let mut stream = Stream::new(Seed(3), Purpose::named("heads-test"), 0);
    let before = space.absent.total();
    for _ in 0..2_000 {
        let key = stream.below(1_000);
        if space.has_head(key) {
            space.lose_head(key);
        } else {
            assert_eq!(space.write_head(key, 1 + stream.below(500), 100), 0, "{key} was not there");
        }
        let held = (0..1_000).filter(|key| space.has_head(*key)).count() as u64;
        assert_eq!(space.heads(), held);
        let absent = (0..1_000).filter(|key| !space.has_head(*key));
        assert_eq!(space.absent.total(), absent.map(|key| space.head_shares[key as usize]).sum::<u64>());
        let expires = space.head_expires.iter().copied().filter(|at| *at != ABSENT).min();
        assert_eq!(space.head_before(u64::MAX).map(|key| space.head_expires(key)), expires);
        assert_eq!(expires.and_then(|at| space.head_before(at)), None);
        let found = space.absent.find(stream.below(space.absent.total()));
        assert!(!space.has_head(found as u64), "{found} is there");
    }
    space.lose_all();
    assert_eq!((space.heads(), space.absent.total()), (0, before));
}

#[test]
fn binomial_draws_have_the_law_s_mean_and_variance() {
    for (trials, chance) in [(1, 0.3), (100, 0.012), (100, 0.2), (64, 0.5), (130, 0.9), (8, 0.999)] {
        let mut stream = Stream::new(Seed(2), Purpose::named("binomial-test"), u64::from(trials));
        let n = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(binomial(&mut stream, trials, chance));
            sum += x;
            squares += x * x;
        }
        let n = f64::from(n);
        let (mean, expected) = (sum / n, f64::from(trials) * chance);
        let variance = expected * (1.0 - chance);
        assert!((mean - expected).abs() < 5.0 * (variance / n).sqrt(), "{trials} × {chance}: mean {mean}");
        let found = squares / n - mean * mean;
        assert!((found / variance - 1.0).abs() < 0.05, "{trials} × {chance}: variance {found}, {variance}");
    }
    let mut stream = Stream::new(Seed(2), Purpose::named("binomial-test"), 0);
    assert_eq!((binomial(&mut stream, 9, 0.0), binomial(&mut stream, 9, 1.0)), (0, 9));
}

#[test]
fn shares_add_up_to_one_and_ranks_of_the_tail_follow_them() {
    for exponent in [0.6, 0.9, 1.0, 1.3] {
        let space = space(1_000_000, exponent, 64, 4_096);
        let blocks = (1_000_000_u64 - 4_096).div_ceil(64);
        let tail: u64 = (0..blocks).map(|b| space.weight(space.follower(4_096 + 64 * b))).sum();
        let whole = (tail + space.absent.total()) as f64 / UNIT;
        assert!((whole - 1.0).abs() < 1e-4, "exponent {exponent}: {whole}");
        let mut stream = Stream::new(Seed(2), Purpose::named("zeta-test"), 0);
        let n = 100_000;
        let mut below =
            |limit: u64| (0..n).filter(|_| space.zeta.tail_rank(stream.unit()) < limit).count() as f64;
        let share = below(100_000) / f64::from(n);
        let zipf = Zipf::new(1_000_000, exponent);
        let mut stream = Stream::new(Seed(2), Purpose::named("zeta-test"), 1);
        let ranks: Vec<u64> = (0..n).map(|_| zipf.sample(&mut stream)).filter(|k| *k >= 4_096).collect();
        let expected = ranks.iter().filter(|k| **k < 100_000).count() as f64 / ranks.len() as f64;
        assert!((share - expected).abs() < 0.01, "exponent {exponent}: {share}, expected {expected}");
    }
}

#[test]
fn followed_keys_are_one_of_each_block() {
    let space = space(10_000, 0.9, 64, 1_000);
    let followed: Vec<u64> = space.followed_below(10_000).collect();
    assert_eq!(followed.len() as u64, 1_000 + (10_000_u64 - 1_000).div_ceil(64));
    assert!(followed.windows(2).all(|pair| pair[0] > pair[1]), "the most popular comes last");
    assert!(followed.iter().filter(|k| **k >= 1_000).all(|k| space.follower(*k) == *k));
}

/// Hit ratios over the second half of reads of `width` keys each, missed keys being written back.
fn hit_ratio(one_in: u64, width: u32, lifetime: u64, eviction: Eviction) -> f64 {
    const KEYS: u64 = 1_000_000;
    let mut contents = contents(12_000_000, eviction, one_in);
    if one_in > 1 {
        contents.follow(0, space(KEYS, 0.9, one_in, 4_096), one_in);
    }
    let zipf = Zipf::new(KEYS, 0.9);
    let mut stream = Stream::new(Seed(1), Purpose::named("sampled-trace"), 0);
    let requests = 1_500_000 / u64::from(width);
    let (mut hits, mut missed) = (0, Vec::new());
    for request in 0..requests {
        let now = request * u64::from(width) * 50_000;
        if now / 100_000_000 != (now + u64::from(width) * 50_000) / 100_000_000 {
            contents.tick(now);
        }
        contents.make_room(now);
        missed.clear();
        contents.come_to(0, now);
        let found = if one_in == 1 {
            missed.extend((0..width).map(|_| zipf.sample(&mut stream)));
            missed.retain(|key| !contents.read(name(0, *key), now));
            width - missed.len() as u32
        } else if width == 1 {
            contents.read_one(0, zipf.sample(&mut stream), now, &mut missed).hits
        } else {
            contents.read_some(0, request, width, now, &mut missed).hits
        };
        if request >= requests / 2 {
            hits += u64::from(found);
        }
        for &key in &missed {
            contents.write(name(0, key), 200, Some(now + lifetime), now);
        }
    }
    hits as f64 / (u64::from(width) * (requests - requests / 2)) as f64
}

#[test]
fn following_one_key_in_sixteen_hits_as_following_all() {
    let day = 86_400_000_000_000;
    for (width, lifetime, eviction) in [
        (100, day, Eviction::VolatileLru),
        (100, 30_000_000_000, Eviction::VolatileLru),
        (1, 30_000_000_000, Eviction::AllkeysLfu),
        (20, day, Eviction::VolatileRandom),
        (20, day, Eviction::VolatileTtl),
    ] {
        let [exact, sampled] = [1, 16].map(|one_in| hit_ratio(one_in, width, lifetime, eviction));
        assert!(
            (exact - sampled).abs() < 0.01,
            "{eviction:?}, reads of {width}, lifetime {lifetime} ns: {exact:.4}, sampled {sampled:.4}"
        );
    }
}

#[test]
fn keys_that_leave_the_head_stay_in_the_store() {
    let (keys, head, one_in) = (100_000, 512, 8);
    let scenario = scenario(keys, 0.9);
    let stated = scenario.keyspaces[0].churn.expect("it churns");
    let mut space = space(keys, 0.9, one_in, head);
    space.drift(&Churn::new(stated, keys, 0, &scenario.run, Seed(1)));
    let prefilled: Vec<u64> = space.followed_below(keys / 4).collect();
    let mut contents = contents(1 << 30, Eviction::AllkeysLru, one_in);
    contents.follow(0, space, one_in);
    for key in prefilled {
        contents.write(name(0, key), 200, None, 0);
    }
    let before = contents.keys();
    // A whole turn. What was popular had a place among those that nobody had asked for.
    contents.come_to(0, 100_000_000_000);
    assert_eq!(contents.space(0).expect("it is followed").heads(), 0);
    assert!(contents.adds_up());
    let change = contents.keys().abs_diff(before);
    assert!(change < 16 * one_in, "{before} keys, then {change} more or fewer, with {head} in the head");
}

#[test]
fn what_was_saved_is_read_again_where_popularity_churned_meanwhile() {
    let (keys, head, one_in) = (100_000, 512, 8);
    let scenario = scenario(keys, 0.9);
    let stated = scenario.keyspaces[0].churn.expect("it churns");
    let mut space = space(keys, 0.9, one_in, head);
    space.drift(&Churn::new(stated, keys, 0, &scenario.run, Seed(1)));
    let prefilled: Vec<u64> = space.followed_below(keys / 4).collect();
    let mut contents = contents(1 << 30, Eviction::VolatileLru, one_in);
    contents.follow(0, space, one_in);
    let second = 1_000_000_000;
    for key in prefilled {
        contents.write(name(0, key), 200, Some((1 + key % 100) * second), 0);
    }
    let saved = contents.clone();
    // The same time passes for one that died and for one that nobody asks for anything.
    let mut idle = contents.clone();
    contents.lose_all();
    contents.load(&saved, 30 * second);
    for store in [&mut contents, &mut idle] {
        store.come_to(0, 50 * second);
        assert!(store.adds_up());
    }
    let heads = |store: &Contents| store.space(0).expect("it is followed").heads();
    assert_eq!(heads(&contents), heads(&idle));
    // Those whose time was over are there until somebody looks, but were not read.
    assert!(contents.keys() < idle.keys() && contents.keys() > keys / 10, "{}", contents.keys());
}

#[test]
fn writes_of_several_keys_come_to_the_head_as_well() {
    let (keys, one_in) = (10_000, 8);
    let space = space(keys, 0.9, one_in, 512);
    let share = space.heads.total() as f64 / UNIT;
    let mut contents = contents(1 << 30, Eviction::AllkeysLru, one_in);
    contents.follow(0, space, one_in);
    let mut written = Vec::new();
    (0..10_000).for_each(|request| contents.choose_written(0, request, 20, &mut written));
    let heads = written.iter().filter(|key| **key < 512).count() as f64;
    let others = (written.len() as f64 - heads) * one_in as f64;
    assert!((heads / 200_000.0 - share).abs() < 0.005, "{heads} of the head, whose share is {share}");
    assert!((others / 200_000.0 - (1.0 - share)).abs() < 0.01, "{others} others");
}

#[test]
fn kept_law_draws_as_a_new_one() {
    let laws = [const { Cell::new(Binomial::NONE) }; LAWS];
    // Three and eleven trials have the same place.
    for (trials, chance) in [(3, 0.1), (11, 0.1), (3, 0.1), (3, 0.2), (100, 0.08), (100, 0.08), (0, 0.0)] {
        for coordinate in 0..50 {
            let stream = || Stream::new(Seed(8), Purpose::named("kept-law-test"), coordinate);
            let kept = kept_law(&laws, trials, chance).draw(&mut stream());
            assert_eq!(kept, Binomial::new(trials, chance).draw(&mut stream()), "{trials} of {chance}");
        }
    }
}
