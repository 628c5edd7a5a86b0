//! The HTTP cache in front of a service: what it spares the service, and what it gives when there is none.

use results::Failure;
use results::sample::{GRACE_HITS, HITS, MISSES, PASSES, PURGED};

use crate::support::{Run, run};

/// Two machines with a cache and a service each, behind a balancer.
fn stack(cache: &str, requests: &str, traffic: &str, faults: &str) -> String {
    format!(
        r#"
        title = "A cache"
        [run]
        duration = "60s"
        [hosts.edge]
        [hosts.app]
        count = 2
        cores = 4
        [hosts.data]
        [components.balancer]
        kind = "load-balancer"
        host = "edge"
        to = "varnish"
        [components.varnish]
        kind = "http-cache"
        host = "app"
        memory = "10MB"
        {cache}
        [components.php]
        kind = "service"
        host = "app"
        workers = 64
        [components.objects]
        kind = "kv-store"
        host = "data"
        [keyspaces.products]
        in = "objects"
        keys = 100
        value = "100B"
        {requests}
        [traffic.users]
        to = "balancer"
        executor = "constant-arrival-rate"
        timeout = "10s"
        connections = 1000
        {traffic}
        {faults}
        "#
    )
}

const PRODUCT: &str = r#"
    [requests.product]
    path = "/products/{products}"
    cache = { ttl = "10s", tags = ["product:{products}"] }
    [[requests.product.steps]]
    wait = "50ms"
"#;

const READS: &str = r#"
    rate = "100/s"
    mix = { product = 1 }
"#;

fn total(run: &Run, metric: &str) -> f64 {
    (0..2).flat_map(|instance| run.metric("varnish", instance, metric)).sum()
}

#[test]
fn each_cache_fetches_each_object_once_in_its_lifetime() {
    let run = run(&stack("to = \"php@same-host\"\ngrace = \"0s\"", PRODUCT, READS, ""));
    // 100 keys, two caches, six lifetimes; what happens not to be asked for at once at its end moves them apart.
    let misses = total(&run, MISSES);
    assert!((900.0..=1200.0).contains(&misses), "{misses} fetches");
    assert_eq!(total(&run, HITS) + total(&run, MISSES), run.outcome.counts.due as f64);
    assert_eq!(run.outcome.counts.failed, 0);
}

#[test]
fn a_prefilled_cache_is_warm_from_the_start_and_cold_after_a_death() {
    let long = r#"
        [requests.product]
        path = "/products/{products}"
        cache = { ttl = "600s", tags = ["product:{products}"], vary = { groups = { values = 3, raw = 12 } } }
        [[requests.product.steps]]
        wait = "50ms"
    "#;
    let misses = |cache: &str, faults: &str| {
        let run = run(&stack(&format!("to = \"php@same-host\"\n{cache}"), long, READS, faults));
        (0..2).map(|instance| run.metric("varnish", instance, MISSES)).collect::<Vec<_>>()
    };
    let sum = |misses: &[Vec<f64>]| misses.iter().flatten().sum::<f64>();
    let cold = sum(&misses("", ""));
    assert!((550.0..=600.0).contains(&cold), "100 keys in three variants, in two caches: {cold}");
    // A tenth of the lives ends within the run's tenth of their TTL; grace serves most of those.
    let all = misses("prefill = { product = 100 }\ngrace = \"0s\"", "");
    assert!((30.0..=90.0).contains(&sum(&all)), "{all:?}");
    let half = sum(&misses("prefill = { product = 50 }", ""));
    assert!((250.0..=330.0).contains(&half), "half of the keys: {half}");
    let kill = "[[faults]]\nat = \"30s\"\nfor = \"1s\"\nkill = \"component:varnish[1]\"";
    let killed = misses("prefill = { product = 100 }", kill);
    let after = |instance: usize| killed[instance][30..].iter().sum::<f64>();
    assert!(after(0) > 250.0 && after(1) < 20.0, "{killed:?}");
}

#[test]
fn what_is_prefilled_is_purged_by_its_tags_and_gives_way_to_others() {
    let write = r#"
        [requests.product]
        path = "/products/{products}"
        response = "12kB"
        cache = { ttl = "600s", tags = ["product:{products}"] }
        [[requests.product.steps]]
        wait = "50ms"
        [requests.change]
        method = "POST"
        path = "/change"
        [[requests.change.steps]]
        purge = { in = "varnish", tags = ["product:{products}"] }
    "#;
    let cache = "to = \"php@same-host\"\nprefill = { product = 100 }";
    let changed = run(&stack(cache, write, "rate = \"100/s\"\nmix = { change = 1 }", ""));
    assert_eq!(total(&changed, PURGED), 200.0, "each object of each cache, once");
    // There is room for 88 of them, which the last to be put in have.
    let small = run(&stack(cache, write, READS, "").replace("10MB", "1100kB"));
    let keys = small.metric("varnish", 0, results::sample::KEYS);
    assert!((80.0..=88.0).contains(&keys[0]), "{keys:?}");
}

#[test]
fn a_stale_object_is_served_while_one_request_fetches_it() {
    let grace = run(&stack("to = \"php\"\ngrace = \"1h\"", PRODUCT, READS, ""));
    let (misses, stale) = (total(&grace, MISSES), total(&grace, GRACE_HITS));
    assert!((190.0..=220.0).contains(&misses), "each object is waited for once: {misses}");
    assert!((700.0..=1000.0).contains(&stale), "the others are fetched in the background: {stale}");
    // Hits take no time here.
    let tallies = grace.outcome.delta.tallies();
    let slow: u64 = (40..60).map(|i| tallies.interval(i, None).response_sum_nanos).sum();
    assert_eq!(slow, 0, "after the first round nobody waits");
}

#[test]
fn a_herd_is_one_fetch_with_coalescing_and_a_stampede_without() {
    let traffic = r#"
        rate = "500/s"
        mix = { page = 1 }
    "#;
    let page = r#"
        [requests.page]
        path = "/"
        cache = { ttl = "20s" }
        [[requests.page.steps]]
        wait = "1s"
    "#;
    let fetches = |coalesce: bool| {
        let run = run(&stack(
            &format!("to = \"php@same-host\"\ngrace = \"0s\"\ncoalesce = {coalesce}"),
            page,
            traffic,
            "",
        ));
        (total(&run, MISSES), run.outcome.counts.failed)
    };
    assert_eq!(fetches(true), (6.0, 0), "two caches, three lifetimes");
    let (stampede, _) = fetches(false);
    assert!(stampede > 1000.0, "every request of a second, three times over: {stampede}");
}

#[test]
fn grace_bridges_a_dead_back_end_and_ends() {
    let fault = r#"
        [[faults]]
        at = "20s"
        for = "30s"
        kill = "component:php[1]"
    "#;
    let failed = |grace: &str| {
        let cache = format!("to = \"php@same-host\"\ngrace = \"{grace}\"");
        let run = run(&stack(&cache, PRODUCT, "rate = \"1000/s\"\nmix = { product = 1 }", fault));
        assert_eq!(run.outcome.counts.failed, run.failures(Failure::Status).iter().sum::<u64>());
        run.failed()
    };
    assert_eq!(failed("1h").iter().sum::<u64>(), 0, "stale is good enough");
    let short = failed("10s");
    assert_eq!(short[..28].iter().sum::<u64>(), 0, "ten seconds of TTL, ten of grace");
    let late: u64 = short[42..50].iter().sum();
    assert!((3800..4200).contains(&late), "half the requests meet the cache without a back end: {late}");
    assert!(short[52..].iter().sum::<u64>() == 0, "it is back");
}

#[test]
fn a_purge_reaches_every_instance_and_nothing_else() {
    let requests = format!(
        r#"{PRODUCT}
        [requests.write]
        method = "PUT"
        path = "/products/{{products}}"
        [[requests.write.steps]]
        purge = {{ in = "varnish", tags = ["product:{{products}}"], delay = "100ms" }}
        "#
    )
    .replace("ttl = \"10s\"", "ttl = \"1h\"");
    let traffic = r#"
        rate = "200/s"
        mix = { product = 199, write = 1 }
    "#;
    let run = run(&stack("to = \"php@same-host\"", &requests, traffic, ""));
    let writes = total(&run, PASSES);
    assert_eq!(writes, 0.0, "a write is no lookup");
    let (purged, fetched) = (total(&run, PURGED), total(&run, MISSES));
    assert!((80.0..=150.0).contains(&purged), "about sixty writes, two instances each: {purged}");
    // The last ones purged are not asked for again before the end.
    assert!((fetched - 200.0 - purged).abs() <= 10.0, "{fetched} fetches, {purged} purged");
}

#[test]
fn softly_purged_objects_are_served_for_their_grace() {
    let requests = format!(
        r#"{PRODUCT}
        [requests.write]
        method = "PUT"
        path = "/products/{{products}}"
        [[requests.write.steps]]
        purge = {{ in = "varnish", tags = ["product:{{products}}"], soft = true }}
        "#
    )
    .replace("ttl = \"10s\"", "ttl = \"1h\"");
    let traffic = r#"
        rate = "200/s"
        mix = { product = 199, write = 1 }
    "#;
    let run = run(&stack("to = \"php@same-host\"\ngrace = \"1h\"", &requests, traffic, ""));
    let fetched = total(&run, MISSES);
    assert!(fetched <= 200.0, "nobody waits for a purged object: {fetched}");
    assert!(total(&run, GRACE_HITS) >= total(&run, PURGED) - 10.0);
}

#[test]
fn a_list_is_put_together_from_parts_that_are_objects_of_their_own() {
    let requests = format!(
        r#"{PRODUCT}
        [requests.list]
        path = "/lists/{{lists}}"
        cache = {{ ttl = "5s" }}
        esi = {{ include = "product", count = 20 }}
        [[requests.list.steps]]
        wait = "10ms"
        [requests.write]
        method = "PUT"
        path = "/products/{{products}}"
        [[requests.write.steps]]
        purge = {{ in = "varnish", tags = ["product:{{products}}"] }}
        [keyspaces.lists]
        in = "objects"
        keys = 10
        value = "100B"
        "#
    )
    .replace("ttl = \"10s\"", "ttl = \"1h\"");
    let lists = r#"
        rate = "20/s"
        mix = { list = 1 }
    "#;
    let cold = run(&stack("to = \"php@same-host\"", &requests, lists, ""));
    assert_eq!(cold.outcome.counts.failed, 0);
    let lookups = total(&cold, HITS) + total(&cold, GRACE_HITS) + total(&cold, MISSES);
    let due = cold.outcome.counts.due as f64;
    assert!(lookups >= 21.0 * due, "a list and its twenty parts: {lookups} lookups of {due} lists");
    // The very first list fetches itself and twenty parts one after the other, but for those that are there twice.
    let tallies = cold.outcome.delta.tallies();
    let worst = tallies.interval(0, None).response_times().percentile(100.0).expect("requests in it");
    assert!((0.8..=1.1).contains(&worst), "{worst} s");
    let later = tallies.interval(59, None).response_times().percentile(100.0).expect("requests in it");
    assert!(later < 0.001, "all is there: {later} s");
    // A write makes a list wait for one part only.
    let written = run(&stack(
        "to = \"php@same-host\"\ngrace = \"1h\"",
        &requests,
        "rate = \"40/s\"\nmix = { list = 39, write = 1 }",
        "",
    ));
    let tallies = written.outcome.delta.tallies();
    let worst = tallies.interval(55, None).response_times().percentile(100.0).expect("requests in it");
    assert!(worst < 0.21, "the list stays, a few parts are fetched: {worst} s");
    assert!(total(&written, PURGED) > 20.0);
}

#[test]
fn a_page_weighs_as_much_as_its_parts_from_the_cache_on_and_not_before() {
    let mean_ms = |ttl: &str, between: [&str; 2]| {
        let requests = format!(
            r#"{PRODUCT}
            [requests.list]
            path = "/lists/{{lists}}"
            cache = {{ ttl = "{ttl}" }}
            response = "4kB"
            esi = {{ include = "product", count = 5 }}
            [[requests.list.steps]]
            wait = "10ms"
            [keyspaces.lists]
            in = "objects"
            keys = 2
            value = "100B"
            [[network]]
            between = {between:?}
            bandwidth = "1Mbit/s"
            "#
        )
        .replace("ttl = \"10s\"", "ttl = \"1h\"")
        .replace("path = \"/products/{products}\"", "path = \"/products/{products}\"\nresponse = \"2kB\"");
        let traffic = "rate = \"4/s\"\narrivals = \"uniform\"\nmix = { list = 1 }";
        let text = stack("to = \"php\"\ngrace = \"0s\"", &requests, traffic, "");
        let text = text.replace("host = \"app\"\n        workers", "host = \"data\"\n        workers");
        let means = run(&text).means();
        1e3 * means[40..].iter().sum::<f64>() / means[40..].len() as f64
    };
    // 400 bytes of the request, 400 and 14,000 of the answer.
    for way in [["clients", "edge"], ["edge", "app"]] {
        let mean = mean_ms("1h", way);
        assert!((mean - (3.2 + 115.2)).abs() < 0.01, "{way:?}: {mean}");
    }
    // A list that is fetched each time: 400 bytes of the fetch, 400 and 4,000 of what comes, while its parts are there.
    let mean = mean_ms("1ms", ["app", "data"]);
    assert!((mean - (3.2 + 10.0 + 35.2)).abs() < 0.01, "{mean}");
}

#[test]
fn what_cannot_be_cached_is_not_waited_for_once_that_is_known() {
    let page = r#"
        [requests.page]
        path = "/account"
        [[requests.page.steps]]
        wait = "100ms"
    "#;
    let traffic = r#"
        rate = "40/s"
        mix = { page = 1 }
    "#;
    let mean = |hit_for_miss: &str| {
        let cache = format!("to = \"php@same-host\"\nhit_for_miss = \"{hit_for_miss}\"");
        let run = run(&stack(&cache, page, traffic, ""));
        let tallies = run.outcome.delta.tallies();
        let late: Vec<_> = (40..60).map(|i| tallies.interval(i, None)).collect();
        let (sum, ok) = late.iter().fold((0, 0), |(s, n), t| (s + t.response_sum_nanos, n + t.ok));
        (sum as f64 / ok as f64 / 1e9, total(&run, PASSES))
    };
    let (known, passes) = mean("2m");
    assert!((known - 0.1).abs() < 0.001, "each for itself: {known} s");
    assert!(passes > 2300.0);
    let (serial, _) = mean("0s");
    assert!(
        serial > 2.0,
        "twenty a second and cache, of which it can fetch ten, one after another: {serial} s"
    );
}

#[test]
fn normalised_languages_share_their_objects() {
    let misses = |normalise: bool, languages: &str| {
        let vary = format!("vary = {{ groups = 2, languages = {{ {languages}, raw = 30 }} }}, tags =");
        let requests = PRODUCT.replace("tags =", &vary);
        let requests = requests.replace("ttl = \"10s\"", "ttl = \"1h\"");
        let cache = format!("to = \"php@same-host\"\nnormalise = {normalise}");
        let run = run(&stack(&cache, &requests, "rate = \"1000/s\"\nmix = { product = 1 }", ""));
        total(&run, MISSES)
    };
    for languages in ["values = 3", "accept_language = [\"en\", \"de\", \"fr\"]"] {
        let (alike, raw) = (misses(true, languages), misses(false, languages));
        assert!((1190.0..=1200.0).contains(&alike), "100 products × 2 × 3, in two caches: {alike}");
        assert!((11_000.0..=12_000.0).contains(&raw), "100 products × 2 × 30, in two caches: {raw}");
    }
}

#[test]
fn requests_take_processor_time_where_calibration_says_so() {
    let requests = PRODUCT.replace("ttl = \"10s\"", "ttl = \"1h\"");
    let calibration = "[calibration]\ncomponents.varnish = { request = \"10ms\" }";
    let run = run(&stack("to = \"php@same-host\"", &requests, READS, calibration));
    let busy: f64 = run.metric("varnish", 0, results::sample::UTILISATION).iter().sum::<f64>() / 60.0;
    // Fifty a second, 10 ms each, of four cores.
    assert!((busy - 0.125).abs() < 0.02, "{busy}");
}

#[test]
fn waking_a_cache_takes_processor_time_that_no_answer_waits_for() {
    let requests = PRODUCT.replace("ttl = \"10s\"", "ttl = \"1h\"");
    let with = |calibration| run(&stack("to = \"php@same-host\"", &requests, READS, calibration));
    let (plain, woken) = (with(""), with("[calibration]\ncomponents.varnish = { wake = \"10ms\" }"));
    let busy: f64 = woken.metric("varnish", 0, results::sample::UTILISATION).iter().sum::<f64>() / 60.0;
    // Every second one of a Poisson stream of a hundred a second comes here, and those that come while it is at work wake nobody. In
    // those 10 ms one comes to the balancer on average, so that the next one here is the second from then on where an even number came,
    // (1 + e⁻²) / 2 of the times, and else the first.
    let even = (1.0 + (-2.0_f64).exp()) / 2.0;
    let asleep = even * 0.02 + (1.0 - even) * 0.01;
    let expected = 0.01 / (0.01 + asleep) / 4.0;
    // What is fetched at first wakes it twice.
    assert!((-0.001..0.003).contains(&(busy - expected)), "{busy} for {expected}");
    assert_eq!(plain.percentiles(50.0).last(), woken.percentiles(50.0).last());
}

#[test]
fn a_calibrated_fetch_delays_who_is_answered_by_the_back_end_and_nobody_else() {
    let requests = PRODUCT.replace("ttl = \"10s\"", "ttl = \"1h\"");
    let with = |calibration| run(&stack("to = \"php@same-host\"", &requests, READS, calibration));
    let (plain, late) = (with(""), with("[calibration]\ncomponents.varnish = { fetch = \"300ms\" }"));
    let greatest = |run: &crate::support::Run, interval: usize| run.percentiles(100.0)[interval];
    assert!(greatest(&late, 0) - greatest(&plain, 0) > 0.29, "the first ones are misses");
    let last = late.percentiles(50.0);
    assert!(last[last.len() - 1] < 0.05, "most products are there in the end: {last:?}");
}
