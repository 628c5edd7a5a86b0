use proptest::prelude::*;

use super::*;
use crate::cache::freshness::Life;

fn now(seconds: u64) -> Now {
    Now { running: Duration::from_secs(seconds), unix_seconds: 1_767_225_600 + seconds as i64 }
}

fn object(body_bytes: usize, tags: &str, ttl_seconds: u64, at: Now) -> Rc<Object> {
    let life =
        Life { ttl: Duration::from_secs(ttl_seconds), grace: Duration::from_secs(10), ..Life::default() };
    let headers = [Header { name: "xkey", value: tags.as_bytes() }];
    Rc::new(Object::new(200, "OK", &headers, vec![0; body_bytes].into(), life, at))
}

fn store(limit: usize) -> Store {
    Store::new(limit, 0, Normaliser::default())
}

fn keep(store: &mut Store, address: &str, object: &Rc<Object>, at: Now) {
    let end = object.born + object.life.stays();
    store.put(address.as_bytes(), &Names::from([]), &[], Kept::Object(Rc::clone(object)), end, at);
}

fn finds(store: &mut Store, address: &str, at: Now) -> bool {
    store.find(address.as_bytes(), &[], at).is_some()
}

#[test]
fn the_least_recently_used_goes_first() {
    let mut store = store(4_000);
    for address in ["a", "b", "c"] {
        keep(&mut store, address, &object(1_000, "", 60, now(0)), now(0));
    }
    assert!(finds(&mut store, "a", now(3)), "used after the interval, so it moves");
    keep(&mut store, "d", &object(1_000, "", 60, now(4)), now(4));
    assert!(!finds(&mut store, "b", now(5)) && finds(&mut store, "a", now(5)));
    assert_eq!(store.counts.evictions, 1);
    keep(&mut store, "e", &object(5_000, "", 60, now(5)), now(5));
    assert!(!finds(&mut store, "e", now(5)), "what does not fit is not kept, and evicts nothing");
    assert_eq!(store.len(), 3);
}

#[test]
fn answers_end_with_their_life() {
    let mut store = store(1 << 20);
    keep(&mut store, "a", &object(10, "", 60, now(0)), now(0));
    keep(&mut store, "b", &object(10, "", 60, now(0)), now(0));
    assert!(finds(&mut store, "a", now(69)) && !finds(&mut store, "a", now(70)));
    store.expire(now(70));
    assert_eq!((store.len(), store.bytes(), store.counts.expired), (0, 0, 2));
}

#[test]
fn tags_purge_hard_and_soft() {
    let mut store = store(1 << 20);
    keep(&mut store, "a", &object(10, "x y", 60, now(0)), now(0));
    keep(&mut store, "b", &object(10, "x", 60, now(0)), now(0));
    keep(&mut store, "c", &object(10, "z", 60, now(0)), now(0));
    assert_eq!(store.purge_tag(b"x", true, now(5)), 2);
    let Some(Kept::Object(soft)) = store.find(b"a", &[], now(6)) else { panic!("it is still there") };
    assert_eq!(soft.phase(now(6)), Phase::Grace);
    assert!(!finds(&mut store, "b", now(15)), "its grace began with the purge");
    assert_eq!(store.purge_tag(b"y", false, now(6)), 1);
    assert!(!finds(&mut store, "a", now(6)) && finds(&mut store, "c", now(6)));
    assert_eq!((store.purge_tag(b"y", false, now(6)), store.counts.purged), (0, 3));
}

#[test]
fn variants_live_side_by_side_and_go_together() {
    let mut store = store(1 << 20);
    let names = Names::from([Box::from("group")]);
    let one = object(10, "", 60, now(0));
    for group in ["1", "2"] {
        let headers = [Header { name: "Group", value: group.as_bytes() }];
        let kept = Kept::Object(Rc::clone(&one));
        store.put(b"a", &names, &headers, kept, Duration::from_secs(60), now(0));
    }
    let group = |value: &'static str| [Header { name: "group", value: value.as_bytes() }];
    assert!(
        store.find(b"a", &group("1"), now(1)).is_some() && store.find(b"a", &group("2"), now(1)).is_some()
    );
    assert!(store.find(b"a", &group("3"), now(1)).is_none() && store.find(b"a", &[], now(1)).is_none());
    assert_eq!(store.purge_address(b"a"), 2);
    assert_eq!((store.len(), store.bytes()), (0, 0));
}

proptest! {
    #[test]
    fn bytes_are_those_of_what_is_there_and_within_the_limit(
        steps in proptest::collection::vec((0_u8..6, 0_u8..12, 0_usize..900), 1..80)
    ) {
        let mut store = store(3_000);
        for (second, (what, name, size)) in steps.into_iter().enumerate() {
            let (at, address) = (now(second as u64), format!("address {name}"));
            match what {
                0..3 => keep(&mut store, &address, &object(size, &format!("t{}", name % 3), 5, at), at),
                3 => drop(store.find(address.as_bytes(), &[], at)),
                4 => drop(store.purge_tag(format!("t{}", name % 3).as_bytes(), size % 2 == 0, at)),
                _ => store.expire(at),
            }
            let sum: usize = store.slots.iter().flatten().map(|slot| slot.size).sum();
            prop_assert_eq!(store.bytes(), sum);
            prop_assert!(sum <= 3_000);
            prop_assert_eq!(store.by_end.len(), store.len());
            prop_assert_eq!(store.index.values().map(|v| v.slots.len()).sum::<usize>(), store.len());
        }
        store.flush();
        prop_assert_eq!((store.len(), store.bytes()), (0, 0));
        let tagged = ["t0", "t1", "t2"].map(|tag| store.tags.of(tag.as_bytes()).len());
        prop_assert_eq!(tagged, [0, 0, 0]);
    }
}

#[test]
fn an_address_with_many_variants_is_thrown_out_at_once_and_has_no_more_than_a_number() {
    let mut store = store(1 << 30);
    let names = Names::from([Box::from("x")]);
    let put = |store: &mut Store, number: usize| {
        let value = number.to_string();
        let headers = [Header { name: "x", value: value.as_bytes() }];
        let kept = Kept::Object(object(1, "", 60, now(0)));
        store.put(b"a", &names, &headers, kept, Duration::from_secs(60), now(0));
    };
    (0..VARIANTS_LIMIT + 5).for_each(|number| put(&mut store, number));
    assert_eq!((store.len(), store.counts.evictions), (VARIANTS_LIMIT, 5));
    assert_eq!(store.purge_address(b"a"), VARIANTS_LIMIT);
    assert_eq!((store.len(), store.bytes()), (0, 0));
}

#[test]
fn of_too_many_variants_the_one_longest_unused_goes() {
    let mut store = store(1 << 30);
    let names = Names::from([Box::from("x-v")]);
    let put = |store: &mut Store, variant: usize, at: Now| {
        let object = object(10, "", 600, at);
        let (value, end) = (variant.to_string(), object.born + object.life.stays());
        let headers = [Header { name: "x-v", value: value.as_bytes() }];
        store.put(b"a", &names, &headers, Kept::Object(object), end, at);
    };
    let finds = |store: &mut Store, variant: usize, at: Now| {
        let value = variant.to_string();
        store.find(b"a", &[Header { name: "x-v", value: value.as_bytes() }], at).is_some()
    };
    for variant in 0..VARIANTS_LIMIT {
        put(&mut store, variant, now(0));
    }
    assert!(finds(&mut store, 0, now(5)), "used after the interval, so it moves");
    put(&mut store, VARIANTS_LIMIT, now(6));
    put(&mut store, VARIANTS_LIMIT + 1, now(6));
    assert_eq!([0, 1, 2, 3].map(|variant| finds(&mut store, variant, now(7))), [true, false, false, true]);
    assert_eq!((store.len(), store.counts.evictions), (VARIANTS_LIMIT, 2));
    // What is thrown out by other ways leaves that order too.
    store.purge_address(b"a");
    put(&mut store, 7, now(8));
    assert_eq!(store.len(), 1);
}
