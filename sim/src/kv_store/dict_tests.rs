use std::collections::BTreeMap;

use proptest::prelude::*;
use scenarios::rng::Purpose;
use scenarios::units::Seed;

use super::*;

fn filled(keys: u64) -> Dict {
    let mut dict = Dict::default();
    for key in 1..=keys {
        dict.insert(Entry::new(key, 0, 0, 0), |_| true);
    }
    dict
}

proptest! {
    #[test]
    fn the_dictionary_agrees_with_a_map(
        actions in proptest::collection::vec((0_u8..5, 1_u64..60), 0..600),
        full in proptest::bool::ANY,
    ) {
        let (mut dict, mut map) = (Dict::default(), BTreeMap::new());
        for (i, (action, key)) in actions.into_iter().enumerate() {
            match (action, dict.find(key)) {
                (0 | 1, Some(place)) => {
                    prop_assert_eq!(map.remove(&key), Some(dict.remove(place).expires));
                }
                (0 | 1, None) => prop_assert_eq!(map.remove(&key), None),
                (2, _) => dict.shrink_if_sparse(),
                (_, Some(place)) => {
                    dict.at_mut(place).expires = i as u64;
                    map.insert(key, i as u64);
                }
                (_, None) => {
                    dict.insert(Entry::new(key, i as u64, 0, 0), |_| !full);
                    map.insert(key, i as u64);
                }
            }
            prop_assert_eq!(dict.len(), map.len());
        }
        for (&key, &expires) in &map {
            let place = dict.find(key);
            prop_assert_eq!(place.map(|place| dict.at(place).expires), Some(expires));
        }
    }
}

#[test]
fn a_table_doubles_at_one_key_a_bucket_where_memory_allows_and_at_the_golden_ratio_where_not() {
    let dict = filled(1024);
    assert_eq!(dict.buckets(), 1024);
    let mut dict = filled(1024);
    let mut more = 1024;
    while dict.buckets() == 1024 {
        more += 1;
        dict.insert(Entry::new(more, 0, 0, 0), |bytes| {
            assert_eq!(bytes, 2048 * 8);
            false
        });
    }
    assert_eq!(more, 1024 * 1618 / 1000 + 2, "the key after the one that passed the load");
}

#[test]
fn sampling_finds_as_many_as_it_is_asked_for_and_reaches_every_key() {
    // 3,000 keys in 4,096 buckets; half of them moved on.
    for (keys, moved) in [(3_000_u64, 0), (4_097, 2_000)] {
        let mut dict = filled(keys);
        dict.move_buckets(moved);
        let mut stream = Stream::new(Seed(4), Purpose::named("dict-test"), keys);
        let (mut counts, mut found) = (vec![0_u32; keys as usize + 1], Vec::new());
        let rounds = 40_000;
        for _ in 0..rounds {
            dict.some_keys(5, &mut stream, &mut found);
            assert!(found.len() <= 5);
            for &place in &found {
                counts[dict.at(place).key as usize] += 1;
            }
        }
        let mean = counts.iter().map(|c| f64::from(*c)).sum::<f64>() / keys as f64;
        assert!(mean > 0.95 * 5.0 * f64::from(rounds) / keys as f64, "{mean}");
        assert!(counts[1..].iter().all(|c| *c > 0), "no key is left out");
    }
}

#[test]
fn random_keys_of_random_buckets_favour_short_chains() {
    let mut dict = filled(4_096);
    let mut stream = Stream::new(Seed(4), Purpose::named("dict-test"), 0);
    let alone: Vec<bool> = {
        let mut alone = vec![false; 4_097];
        for bucket in 0..4_096 {
            let chain: Vec<u32> = dict.chain(0, bucket).collect();
            if let [only] = chain[..] {
                alone[dict.at(only).key as usize] = true;
            }
        }
        alone
    };
    let share = alone.iter().filter(|a| **a).count() as f64 / 4_096.0;
    let hits = (0..100_000)
        .filter(|_| {
            let place = dict.random_key(&mut stream).expect("there are keys");
            alone[dict.at(place).key as usize]
        })
        .count() as f64
        / 100_000.0;
    // With one key a bucket on average, e^-1 / (1 - e^-1) of the buckets in use have a single one.
    assert!((share - 0.368).abs() < 0.03, "{share}");
    assert!((hits - 0.582).abs() < 0.02, "{hits}");
}

#[test]
fn an_emptied_table_shrinks() {
    let mut dict = filled(1_000);
    for key in 1..=1_000 {
        let place = dict.find(key).expect("it is there");
        dict.remove(place);
    }
    dict.shrink_if_sparse();
    assert_eq!((dict.buckets(), dict.len()), (FEWEST_BUCKETS, 0));
}
