//! A content delivery network before a shop.

use crate::support::{Run, run};

fn shop(rules: &str, rest: &str) -> Run {
    run(&format!(
        r#"
title = "A content delivery network"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
cores = 4
[[network]]
between = ["clients", "edge"]
latency = "5ms"
[[network]]
between = ["edge", "app"]
latency = "40ms"
[components.cdn]
kind = "cdn"
host = "edge"
to = "shop"
{rules}
[components.shop]
kind = "service"
host = "app"
[components.objects]
kind = "kv-store"
host = "app"
[keyspaces.images]
in = "objects"
keys = 20
persistent = true
value = "1kB"
[requests.image]
path = "/images/{{images}}"
[[requests.image.steps]]
wait = "10ms"
[requests.page]
path = "/"
[[requests.page.steps]]
wait = "10ms"
[traffic.users]
to = "cdn"
mix = {{ image = 1, page = 1 }}
executor = "constant-arrival-rate"
rate = "100/s"
arrivals = "uniform"
connections = 1000
{rest}
"#
    ))
}

/// The mean response time of a class late in the run, in milliseconds: the connections to the origin are open by then.
fn late(run: &Run, class: usize) -> f64 {
    let means = run.class_means(class);
    1e3 * means[30..].iter().sum::<f64>() / means[30..].len() as f64
}

#[test]
fn a_share_is_answered_at_the_edge_and_the_rest_goes_the_long_way() {
    let run = shop("hit_ratio = { image = \"90%\" }\nlatency = \"1ms\"", "");
    // A page: 2 × 5 ms to the edge, 1 ms there, 2 × 40 ms to the origin, 10 ms of it. Of the images a tenth.
    assert!((late(&run, 1) - 101.0).abs() < 0.01, "{}", late(&run, 1));
    let image = late(&run, 0);
    assert!((11.0 + 0.07 * 90.0..11.0 + 0.13 * 90.0).contains(&image), "{image}");
    let (hits, misses) = (run.metric("cdn", 0, "hits"), run.metric("cdn", 0, "misses"));
    let share = hits.iter().sum::<f64>() / (hits.iter().sum::<f64>() + misses.iter().sum::<f64>());
    // 3,000 images: four standard deviations are 2.2%.
    assert!((0.878..0.922).contains(&share), "{share}");
}

#[test]
fn what_is_kept_is_a_hit_until_it_is_too_old_or_flushed() {
    let flush = "[[faults]]\nat = \"30s\"\nflush = \"component:cdn\"\n";
    let misses = shop("ttl = { image = \"1h\" }", flush).metric("cdn", 0, "misses");
    // Twenty images are fetched once, and again by those who ask while they are on their way.
    let (first, second): (f64, f64) = (misses[..30].iter().sum(), misses[30..].iter().sum());
    assert!((20.0..40.0).contains(&first) && (20.0..40.0).contains(&second), "{misses:?}");
    assert_eq!(misses[20..30].iter().sum::<f64>(), 0.0, "{misses:?}");
}

#[test]
fn edges_answer_what_they_can_while_the_origin_is_down() {
    let kill = "[[faults]]\nat = \"20s\"\nfor = \"20s\"\nkill = \"host:app\"\n";
    let run = shop("hit_ratio = { image = \"100%\" }", kill);
    let failed: u64 = run.failed()[21..39].iter().sum();
    // Half of the requests are pages.
    assert!((780..1_020).contains(&failed), "{failed}");
}
