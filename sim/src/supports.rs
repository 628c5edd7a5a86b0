//! What of a scenario's file the simulator implements: `scenarios::supports` refuses the rest with its place.
//!
//! One list for each part of the file; a component kind that is added brings its own. What looks at more than one key
//! is refused in [`check`].

use scenarios::Scenario;
use scenarios::diagnostic::Diagnostic;
use scenarios::law::DurationLaw;
use scenarios::scenario::{Breakdowns, ComponentKind};

const HOSTS: &[&str] = &[
    "hosts.*.{count, cores, memory, swap, nic, scheduling, speed}",
    // What the real stack does for the time that it takes.
    "hosts.*.cpu",
    "hosts.*.steal.{share, bursts, gaps}",
    "hosts.*.disk",
    "hosts.*.disk.{read, write, parallel, throughput}",
    "hosts.*.cpu_credits.{per_hour, at_most, launch}",
    // Of these, what does the work where it really runs is no matter of a simulator's.
    "components.*.{priority, restart, engine}",
    "components.*.breakdowns.{up, down}",
    "components.*.restarts.{after, at_most, times, within}",
    "hosts.*.breakdowns.{up, down}",
    "requests.*.priority",
    "jobs.*.{host, at, every, work, cores, memory, disk, priority}",
];

const LOAD_BALANCER: &[&str] = &[
    "components(kind=load-balancer).{host, to}",
    "components(kind=load-balancer).{balance, consistent, cookie, slow_start}",
    "components(kind=load-balancer).weights[*]",
    "components(kind=load-balancer).health_check.{http, tcp, interval, timeout, fall, rise}",
    "components(kind=load-balancer).health_check.{observe, error_limit, on_error}",
    "components(kind=load-balancer).{retries, redispatch, connect_timeout, server_timeout, queue_timeout}",
    "components(kind=load-balancer).{max_connections, server_max_connections, client_timeout}",
    "components(kind=load-balancer).vip.{advertise, check, preempt}",
];

const CDN: &[&str] = &[
    "components(kind=cdn).{host, to, latency, price}",
    "components(kind=cdn).hit_ratio.*",
    "components(kind=cdn).ttl.*",
];

const HTTP_CACHE: &[&str] = &[
    "components(kind=http-cache).{host, to, memory, grace, keep, coalesce, hit_for_miss, headers, normalise}",
    "components(kind=http-cache).{connect_timeout, first_byte_timeout, hit_for_pass}",
    "components(kind=http-cache).prefill.*",
    "components(kind=http-cache).probe.{http, interval, timeout, window, threshold, initial}",
    "components(kind=http-cache).threads.{pools, min, max, queue}",
    "requests.*.cache.{ttl, grace, keep}",
    "requests.*.cache.tags.**",
    "requests.*.cache.vary.**",
    "requests.*.esi.{include, count}",
    "requests.*.steps[*].purge.{in, soft, delay}",
    "requests.*.steps[*].purge.tags.**",
    "calibration.components.*.{request, wake, fetch}",
];

const SERVICE: &[&str] = &[
    "components(kind=service).{host, workers, backlog, when_full}",
    "components(kind=service).workers.{manager, max, start, min_spare, max_spare, idle_timeout, boot}",
    "components(kind=service).{worker_holds, keep_alive}",
    "components(kind=service).memory.{base, per_worker}",
    "components(kind=service).autoscale.{min, metric, target, interval, boot, drain, down_after, step}",
];

const POLICIES: &[&str] = &["policies.**"];

const KV_STORE: &[&str] = &[
    "components(kind=kv-store).{host, max_memory, eviction, samples}",
    "components(kind=kv-store).{replicas, replication_lag}",
    "components(kind=kv-store).shards.by",
    "components(kind=kv-store).failover.{detect, switch}",
    "components(kind=kv-store).snapshot.{every, fork_per_gb}",
];

const QUEUE: &[&str] = &[
    "components(kind=queue).{host, to, class, prefetch, max_length, overflow, durable, deliveries}",
    "components(kind=queue).{dead_letters, heartbeat}",
];

const SQL_STORE: &[&str] = &[
    "components(kind=sql-store).{host, connections, read, write, buffer_pool, lock_wait, statement_timeout}",
    "components(kind=sql-store).replicas.{lag, reads}",
    "components(kind=sql-store).vip.{advertise, check, preempt}",
    "components(kind=sql-store).hibernation.{after, wake}",
];

const KEYSPACES: &[&str] = &[
    "keyspaces.*.{in, keys, persistent, ttl, popularity, churn, value, prefill}",
    "keyspaces.*.ttl.{base, jitter}",
];

const REQUESTS: &[&str] = &[
    "requests.*.{method, path, response}",
    // Words between a client and a server that reads them: a simulated request is its class.
    "requests.*.{headers, body, check, extract}",
    "requests.*.headers.*",
    "requests.*.check.**",
    "requests.*.extract.**",
    "feeds.**",
    "requests.*.steps[*].{work, wait, at, share, repeat, policy}",
    "requests.*.steps[*].serialize.per_kb",
    "requests.*.steps[*].policy.**",
    "requests.*.steps[*].call.{to, class, work, wait}",
    "requests.*.steps[*].publish.to",
    "requests.*.steps[*].third_party.{latency, error, timeout, required}",
    "requests.*.steps[*].parallel.**",
    "requests.*.steps[*].get.{keyspace, count}",
    "requests.*.steps[*].get.on_miss.{from, fill}",
    "requests.*.steps[*].mget.{keyspace, count}",
    "requests.*.steps[*].mget.on_miss.{from, fill}",
    "requests.*.steps[*].set.{keyspace, count}",
    "requests.*.steps[*].select.{from, keyspace, rows}",
    "requests.*.steps[*].update.{in, keyspace, rows}",
];

const CONSTANT_ARRIVAL_RATE: &[&str] = &[
    "traffic(executor=constant-arrival-rate).{to, timeout, arrivals, connections, max_in_flight, growth}",
    "traffic(executor=constant-arrival-rate).mix.*",
    "traffic(executor=constant-arrival-rate).burst.{size, within}",
    "traffic(executor=constant-arrival-rate).flash[*].{at, rise, hold, fall, times}",
    "traffic(executor=constant-arrival-rate).session.{requests, think, address_change, cookies, state}",
    "traffic(executor=constant-arrival-rate).session.returns.{share, after}",
    "traffic(executor=constant-arrival-rate).session.state.{in, keyspace}",
    "traffic(executor=constant-arrival-rate).rate",
];

const RAMPING_ARRIVAL_RATE: &[&str] = &[
    "traffic(executor=ramping-arrival-rate).{to, timeout, arrivals, connections, max_in_flight, growth}",
    "traffic(executor=ramping-arrival-rate).mix.*",
    "traffic(executor=ramping-arrival-rate).burst.{size, within}",
    "traffic(executor=ramping-arrival-rate).flash[*].{at, rise, hold, fall, times}",
    "traffic(executor=ramping-arrival-rate).session.{requests, think, address_change, cookies, state}",
    "traffic(executor=ramping-arrival-rate).session.returns.{share, after}",
    "traffic(executor=ramping-arrival-rate).session.state.{in, keyspace}",
    "traffic(executor=ramping-arrival-rate).start_rate",
    "traffic(executor=ramping-arrival-rate).stages[*].{for, to}",
];

const CURVE_ARRIVAL_RATE: &[&str] = &[
    "traffic(executor=curve-arrival-rate).{to, timeout, arrivals, connections, max_in_flight, growth}",
    "traffic(executor=curve-arrival-rate).mix.*",
    "traffic(executor=curve-arrival-rate).burst.{size, within}",
    "traffic(executor=curve-arrival-rate).flash[*].{at, rise, hold, fall, times}",
    "traffic(executor=curve-arrival-rate).session.{requests, think, address_change, cookies, state}",
    "traffic(executor=curve-arrival-rate).session.returns.{share, after}",
    "traffic(executor=curve-arrival-rate).session.state.{in, keyspace}",
    "traffic(executor=curve-arrival-rate).{expected, curve}",
];

const REPLAY: &[&str] = &[
    "traffic(executor=replay).{to, timeout, file, format, unmatched, speed, origin, share, connections, max_in_flight}",
];

const CLOSED_LOOPS: &[&str] = &[
    "traffic(executor=constant-vus).{engine, to, timeout, vus, think}",
    "traffic(executor=constant-vus).mix.*",
    "traffic(executor=ramping-vus).{engine, to, timeout, start_vus, think}",
    "traffic(executor=ramping-vus).stages[*].{for, to}",
    "traffic(executor=ramping-vus).mix.*",
    "traffic(executor=per-vu-iterations).{engine, to, timeout, vus, iterations, think}",
    "traffic(executor=per-vu-iterations).mix.*",
    "traffic(executor=shared-iterations).{engine, to, timeout, vus, iterations, think}",
    "traffic(executor=shared-iterations).mix.*",
];

const RETRIES: &[&str] = &[
    "traffic.*.retries.{times, backoff, factor, cap, jitter}",
    "traffic.*.retries.budget.{share, min_rate, window}",
    "traffic.*.retries",
];

const CURVES: &[&str] = &["curves.*.period", "curves.*.values.**", "curves.*.points.**"];

const NETWORK: &[&str] = &["hosts.*.zone", "network[*].{latency, bandwidth, loss}", "network[*].between.**"];

const FAULTS: &[&str] = &[
    "faults[*].{at, for, kill, hang, unplug, serve_500, flush, disk_full}",
    "faults[*].slow.{target, times}",
    "faults[*].error_rate.{target, share}",
    "faults[*].cpu_steal.{target, share}",
    "faults[*].partition.**",
    "faults[*].delay.added",
    "faults[*].delay.between.**",
    "faults[*].loss.share",
    "faults[*].loss.between.**",
    "faults[*].deploy.{component, drain, down, warm_up, slower}",
];

const CALIBRATION: &[&str] = &[
    "calibration.{client, work}",
    "calibration.components.*.{latency, command, key, memory, read, write, read_latency, write_latency}",
];

/// Everything that the simulator implements.
const ALL: &[&[&str]] = &[
    HOSTS,
    NETWORK,
    LOAD_BALANCER,
    CDN,
    HTTP_CACHE,
    SERVICE,
    KV_STORE,
    SQL_STORE,
    QUEUE,
    KEYSPACES,
    POLICIES,
    REQUESTS,
    CONSTANT_ARRIVAL_RATE,
    RAMPING_ARRIVAL_RATE,
    CURVE_ARRIVAL_RATE,
    REPLAY,
    CLOSED_LOOPS,
    RETRIES,
    CURVES,
    FAULTS,
    CALIBRATION,
];

/// The most keys of a keyspace that churns and of which some are followed: blocks are numbered in 32 bits.
const MOST_CHURNING_KEYS: u64 = 8_000_000_000;

/// The most breakdowns in a run: they are drawn before it.
const MOST_BREAKDOWNS: f64 = 100_000.0;

/// The most pairs of a balancer's instance and a server: far below what the event list can name.
const MOST_PAIRS: u64 = 1_000_000;

/// Everything in the scenario that the simulator does not implement.
pub(crate) fn check(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut problems = scenario.refuse_unless_supported("sim", &ALL.concat());
    let mut refuse = |place: &str, hint: &str| problems.push(scenario.unsupported(place, "sim", hint));
    for id in scenario.component_ids() {
        let ComponentKind::KvStore(store) = &scenario.component(id).kind else { continue };
        let own = || scenario.keyspaces.iter().filter(|k| k.store == id);
        if scenario.run.sampling.one_in(own()) == 1 {
            continue;
        }
        for keyspace in own().filter(|k| k.churn.is_some() && !k.persistent) {
            let at = format!("keyspaces.{}.churn", keyspace.name);
            if store.shards.is_some() {
                refuse(&at, "in a store with shards every key must be followed: sampling = \"exact\"");
            } else if keyspace.keys > MOST_CHURNING_KEYS {
                refuse(
                    &at,
                    "the simulator follows a share of at most 8,000,000,000 keys whose popularity churns",
                );
            }
        }
    }
    let seconds = scenario.run.total().as_secs_f64();
    let expected = |breakdowns: &Option<Breakdowns>| {
        let one = |law: &DurationLaw| law.mean().as_secs_f64();
        breakdowns.as_ref().map_or(0.0, |b| seconds / (one(&b.up) + one(&b.down)).max(1e-9))
    };
    let of_hosts = scenario.hosts.iter().map(|host| (expected(&host.breakdowns), host.count));
    let of_components = scenario
        .component_ids()
        .map(|id| (expected(&scenario.component(id).breakdowns), scenario.instances(id)));
    let breakdowns: f64 = of_hosts.chain(of_components).map(|(each, count)| each * f64::from(count)).sum();
    if breakdowns > MOST_BREAKDOWNS {
        refuse(
            "hosts",
            "the simulator has at most 100,000 breakdowns in a run: make them rarer, or the run shorter",
        );
    }
    let instances: u64 = scenario.component_ids().map(|id| u64::from(scenario.instances(id))).sum();
    let jobs: u64 = scenario.jobs.iter().map(|job| u64::from(scenario.host(job.host).count)).sum();
    let machines: u64 = scenario.hosts.iter().map(|h| u64::from(h.count)).sum();
    if (instances + jobs).max(machines) >= u64::from(u16::MAX) {
        refuse("hosts", "the simulator has at most 65,534 machines and as many instances");
    }
    // Each balancer instance keeps connections to, and two timers for, every server.
    let pairs: u64 = scenario
        .component_ids()
        .filter_map(|id| match &scenario.component(id).kind {
            ComponentKind::LoadBalancer(b) => {
                Some(u64::from(scenario.instances(id)) * u64::from(scenario.instances(b.to)))
            }
            _ => None,
        })
        .sum();
    if pairs > MOST_PAIRS {
        refuse(
            "components",
            "the simulator has at most 1,000,000 pairs of a balancer's instance and a server",
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_pattern_names_something_in_the_format() {
        assert_eq!(scenarios::supports::patterns_of_nothing(&super::ALL.concat()), [""; 0]);
    }
}
