//! Closed formulas of queueing theory: the truth that the simulator is held against.
//!
//! Owns mathematics alone, in one unit of time throughout; refuses to know scenarios or simulations. λ is written
//! `arrivals`, 1/μ `service`, c `servers`, and a = λ/μ `load` (in Erlang).
//!
//! Sources: Kleinrock, *Queueing Systems* I (1975) and II (1976); Gross, Shortle, Thompson, Harris, *Fundamentals of
//! Queueing Theory* (4th ed., 2008); Reiser and Lavenberg, "Mean-value analysis of closed multichain queuing networks",
//! JACM 27 (1980); Che, Tung, Wang, "Hierarchical web caching systems", IEEE JSAC 20 (2002).

/// Erlang's B: the share of arrivals that M/M/c/c (or M/G/c/c) turns away. By the recursion in the number of servers.
pub fn erlang_b(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, c| load * blocked / (f64::from(c) + load * blocked))
}

/// Erlang's C: the share of arrivals that wait in M/M/c.
pub fn erlang_c(servers: u32, load: f64) -> f64 {
    let blocked = erlang_b(servers, load);
    let utilisation = load / f64::from(servers);
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

/// The mean wait before service in M/M/c.
pub fn mmc_wait(servers: u32, load: f64, service: f64) -> f64 {
    erlang_c(servers, load) * service / (f64::from(servers) - load)
}

/// The share of requests of M/M/c whose sojourn is longer than `time`: the wait is zero or exponential with rate
/// c·μ − λ, the service exponential with rate μ, and the two are independent (Gross et al., 2.3).
pub fn mmc_sojourn_tail(servers: u32, load: f64, service: f64, time: f64) -> f64 {
    let waiting = erlang_c(servers, load);
    let (mu, drain) = (1.0 / service, (f64::from(servers) - load) / service);
    let alone = (-mu * time).exp();
    let both = if (drain - mu).abs() < 1e-9 * mu {
        (1.0 + mu * time) * alone
    } else {
        (drain * alone - mu * (-drain * time).exp()) / (drain - mu)
    };
    (1.0 - waiting) * alone + waiting * both
}

/// The time that the share `below` of all sojourns in M/M/c does not exceed.
pub fn mmc_sojourn_quantile(servers: u32, load: f64, service: f64, below: f64) -> f64 {
    root(0.0, 1e6 * service, |time| 1.0 - below - mmc_sojourn_tail(servers, load, service, time))
}

/// M/M/c/K: the share of arrivals lost, and the mean wait of those that are not.
pub fn mmck(servers: u32, places: u32, load: f64, service: f64) -> (f64, f64) {
    let mut weights = vec![1.0];
    for n in 1..=places {
        let last = weights[weights.len() - 1];
        weights.push(last * load / f64::from(n.min(servers)));
    }
    let total: f64 = weights.iter().sum();
    let lost = weights[places as usize] / total;
    let queue: f64 =
        (servers..=places).map(|n| f64::from(n - servers) * weights[n as usize]).sum::<f64>() / total;
    (lost, queue * service / (load * (1.0 - lost)))
}

/// The second moment of a law with this mean and coefficient of variation.
pub fn second_moment(mean: f64, cv: f64) -> f64 {
    mean * mean * (1.0 + cv * cv)
}

/// The mean wait in M/G/1 (Pollaczek 1930, Khinchin 1932), from the second moment of the service law.
pub fn mg1_wait(arrivals: f64, mean: f64, second: f64) -> f64 {
    arrivals * second / (2.0 * (1.0 - arrivals * mean))
}

/// The variance of the wait in M/G/1 (Takács), from the service law's second and third moments.
pub fn mg1_wait_variance(arrivals: f64, mean: f64, second: f64, third: f64) -> f64 {
    mg1_wait(arrivals, mean, second).powi(2) + arrivals * third / (3.0 * (1.0 - arrivals * mean))
}

/// The mean sojourn in M/G/1 under processor sharing of a request that needs `size`, whatever the service law (Kleinrock
/// 1967; Sakata, Noguchi, Oizumi 1971).
pub fn processor_sharing(utilisation: f64, size: f64) -> f64 {
    size / (1.0 - utilisation)
}

/// The mean waits of the classes of M/G/1 with priorities, the most urgent first, where a running service is never
/// interrupted (Cobham 1954). Classes are (arrival rate, mean, second moment).
pub fn priorities(classes: &[(f64, f64, f64)]) -> Vec<f64> {
    let residual: f64 = classes.iter().map(|(rate, _, second)| rate * second / 2.0).sum();
    let mut above = 0.0;
    let wait = |&(rate, mean, _): &(f64, f64, f64)| {
        let with = above + rate * mean;
        let wait = residual / ((1.0 - above) * (1.0 - with));
        above = with;
        wait
    };
    classes.iter().map(wait).collect()
}

/// The mean sojourns of the classes where the more urgent interrupts and the interrupted goes on later where it was (White
/// and Christie 1958). Classes as in [`priorities`].
pub fn preemptive_priorities(classes: &[(f64, f64, f64)]) -> Vec<f64> {
    let (mut above, mut residual) = (0.0, 0.0);
    let sojourn = |&(rate, mean, second): &(f64, f64, f64)| {
        let with = above + rate * mean;
        residual += rate * second / 2.0;
        let sojourn = mean / (1.0 - above) + residual / ((1.0 - above) * (1.0 - with));
        above = with;
        sojourn
    };
    classes.iter().map(sojourn).collect()
}

/// The mean sojourn in M/M/1 whose server breaks down at any time, busy or not, and then goes on where it was; times
/// between failures and repairs are exponential with means `up` and `down` (White and Christie 1958; Avi-Itzhak and Naor
/// 1963, their model A).
pub fn breakdowns(arrivals: f64, service: f64, up: f64, down: f64) -> f64 {
    let available = up / (up + down);
    let load = arrivals * service / available;
    (service / available + down * (1.0 - available)) / (1.0 - load)
}

/// The share of requests that fail, and the mean time that those that came in are there, answered or not, in M/M/1 whose
/// server dies at any time with all that is in it, and finds nothing when it is back; what comes in between fails. Times as in
/// [`breakdowns`].
///
/// While the server is up, the number in it is geometric, as it is in M/M/1 with disasters (Yechiali, "Queues with system
/// disasters and impatient customers when system is down", Queueing Systems 56, 2007): its ratio is the root below one of
/// μx² − (λ + μ + ξ)x + λ, for deaths at the rate ξ. The time is Little's law's. Who finds n there is answered if n + 1
/// services end before the next death.
pub fn disasters(arrivals: f64, service: f64, up: f64, down: f64) -> (f64, f64) {
    let (served, died) = (1.0 / service, 1.0 / up);
    let all = arrivals + served + died;
    let ratio = (all - (all * all - 4.0 * served * arrivals).sqrt()) / (2.0 * served);
    let survives = served / (served + died);
    let answered = (1.0 - ratio) * survives / (1.0 - ratio * survives);
    (1.0 - answered * up / (up + down), ratio / (1.0 - ratio) / arrivals)
}

/// A station of a network: (visits per request, mean service, servers).
pub type Station = (f64, f64, u32);

/// The mean sojourn in an open network of M/M/c stations (Jackson 1957): a request's, through all of its visits.
pub fn jackson(arrivals: f64, stations: &[Station]) -> f64 {
    let through = |&(visits, service, servers): &Station| {
        visits * (service + mmc_wait(servers, arrivals * visits * service, service))
    };
    stations.iter().map(through).sum()
}

/// The throughput and the mean response of a closed network of single-server stations with these demands, whose users
/// think for `think` between requests: exact mean-value analysis (Reiser and Lavenberg 1980).
pub fn mean_value_analysis(users: u32, think: f64, demands: &[f64]) -> (f64, f64) {
    let mut queues = vec![0.0; demands.len()];
    let (mut throughput, mut response) = (0.0, 0.0);
    for n in 1..=users {
        let responses: Vec<f64> = demands.iter().zip(&queues).map(|(d, q)| d * (1.0 + q)).collect();
        response = responses.iter().sum();
        throughput = f64::from(n) / (think + response);
        queues = responses.iter().map(|r| throughput * r).collect();
    }
    (throughput, response)
}

/// The hit ratio of an LRU cache of `places` over `keys` with popularity zipf(`exponent`), requests independent, by
/// Che's approximation: a key is there if it was asked for within the characteristic time.
pub fn che_lru(keys: u32, places: u32, exponent: f64) -> f64 {
    let weights: Vec<f64> = (1..=keys).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let total: f64 = weights.iter().sum();
    let held = |time: f64| weights.iter().map(|w| -(-w / total * time).exp_m1()).sum::<f64>();
    let time = root(0.0, 1e3 * f64::from(keys), |time| held(time) - f64::from(places));
    weights.iter().map(|w| -w / total * (-w / total * time).exp_m1()).sum()
}

/// Where an increasing function is zero, by bisection.
fn root(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    while high - low > 1e-13 * high {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published and independently computed values, to the digits given.
    fn same(found: f64, known: f64) {
        assert!((found / known - 1.0).abs() < 4e-8, "{found} instead of {known}");
    }

    #[test]
    fn waits_in_mmc_are_those_of_the_tables() {
        same(erlang_c(1, 0.8), 0.8);
        same(1.0 + mmc_wait(1, 0.8, 1.0), 5.0);
        same(erlang_c(2, 1.6), 0.711_111_11);
        same(mmc_wait(2, 1.6, 1.0), 1.777_777_8);
        same(erlang_c(8, 6.4), 0.457_644_93);
        same(mmc_wait(8, 6.4, 1.0), 0.286_028_08);
        same(erlang_c(64, 57.6), 0.310_663_32);
        same(mmc_wait(64, 57.6, 1.0), 0.048_541_143);
        same(jackson(6.4, &[(1.0, 1.0, 8); 3]), 3.858_084_2);
    }

    #[test]
    fn sojourns_in_mm1_are_exponential() {
        same(mmc_sojourn_quantile(1, 0.8, 1.0, 0.99), 23.025_851);
        // The removable singularity, c·μ − λ = μ.
        same(mmc_sojourn_tail(2, 1.0, 1.0, 3.0), mmc_sojourn_tail(2, 1.0 + 1e-8, 1.0, 3.0));
        // The wait's own p99 from the two that the sojourn is made of.
        same((erlang_c(8, 6.4) / 0.01).ln() / 1.6, 2.389_692_8);
    }

    #[test]
    fn losses_are_those_of_the_tables() {
        same(erlang_b(8, 6.4), 0.144_393_89);
        assert!((erlang_b(100, 90.0) - 0.026_957_38).abs() < 1e-8);
        let (lost, wait) = mmck(8, 16, 6.4, 1.0);
        same(lost, 0.016_360_973);
        same(wait, 0.174_671_76);
        same(mmck(8, 8, 6.4, 1.0).0, erlang_b(8, 6.4));
    }

    #[test]
    fn general_services_wait_as_pollaczek_and_khinchin_say() {
        same(mg1_wait(0.8, 1.0, 1.0), 2.0);
        same(mg1_wait_variance(0.8, 1.0, 1.0, 1.0), 5.333_333_333);
        same(mg1_wait(0.8, 1.0, second_moment(1.0, 2.0)), 10.0);
        same(processor_sharing(0.8, 1.0), 5.0);
        same(processor_sharing(0.8, 3.0), 15.0);
    }

    #[test]
    fn priorities_move_waits_and_keep_their_weighted_sum() {
        let waits = priorities(&[(0.3, 1.0, 2.0), (0.5, 1.0, 2.0)]);
        same(waits[0], 0.8 / 0.7);
        // Kleinrock's conservation law: Σ ρᵢ·Wᵢ is that without priorities.
        same((0.3 * waits[0] + 0.5 * waits[1]) / 0.8, mg1_wait(0.8, 1.0, 2.0));
    }

    #[test]
    fn the_most_urgent_see_nobody_else_where_they_interrupt() {
        let sojourns = preemptive_priorities(&[(0.3, 1.0, 2.0), (0.5, 1.0, 2.0)]);
        same(sojourns[0], 1.0 / 0.7);
        // With exponential services of one mean, who is served does not change how many there are.
        same((0.3 * sojourns[0] + 0.5 * sojourns[1]) / 0.8, 5.0);
    }

    #[test]
    fn breakdowns_have_the_limits_that_they_must() {
        same(breakdowns(0.8, 1.0, 1e9, 1e-9), 5.0);
        // Many short breakdowns only make the server slower: half as fast at half the load.
        same(breakdowns(0.4, 1.0, 1e-9, 1e-9), 10.0);
    }

    #[test]
    fn disasters_lose_what_is_there_and_what_comes() {
        let (failed, inside) = disasters(0.8, 1.0, 1e9, 1e-9);
        assert!(failed.abs() < 1e-6, "{failed}");
        assert!((inside - 5.0).abs() < 1e-6, "{inside}");
        // Of what comes, that fails which comes while it is down, and that which is there when it dies.
        let (failed, inside) = disasters(0.4, 1.0, 100.0, 25.0);
        same(failed, 0.2 + 0.8 * 0.01 * inside);
    }

    #[test]
    fn closed_networks_are_solved_exactly() {
        let (throughput, response) = mean_value_analysis(50, 10.0, &[0.10, 0.15, 0.25]);
        same(throughput, 3.872_935_1);
        same(response, 2.910_105_2);
        same(f64::from(50) / throughput, 10.0 + response);
    }

    #[test]
    fn che_agrees_with_the_known_hit_ratios() {
        same(che_lru(500_000, 100_000, 1.0), 0.834_455_26);
        same(che_lru(500_000, 100_000, 0.8), 0.602_937_06);
    }
}
