//! From a scenario's machines to the world's.

use std::collections::BTreeSet;

use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Host, Scheduling};

use super::credits::Credits;
use super::disk::Disk;
use super::line::Line;
use super::memory::Memory;
use super::pace::Steal;
use super::processor::Order;
use super::{Cores, Due};
use crate::call::Fifo;
use crate::instance::Instance;
use crate::world::{Timer, World};

const DISK: Purpose = Purpose::named("sim-disk");
const STEAL: Purpose = Purpose::named("sim-steal");

/// Adds all machines. Priorities must be known before the first job.
pub(crate) fn add_hosts(world: &mut World, scenario: &Scenario) {
    let ranks = ranks(scenario);
    let levels = ranks.iter().copied().max().map_or(1, |worst| usize::from(worst) + 1);
    if levels > 1 {
        world.ranks = ranks;
    }
    for host in &scenario.hosts {
        for machine in 0..host.count {
            world.sampler.hosts.push((format!("host:{}", host.name), machine));
            let number = world.cores.len() as u16;
            world.cores.push(Cores {
                total: host.cores,
                line: Line::new(host.cores),
                queue: Fifo::new(),
                special: None,
            });
            let stream = Stream::new(world.seed, DISK, u64::from(number));
            world.disks.push(host.disk.map(|disk| {
                Disk::new(disk.read, disk.write, disk.parallel, disk.throughput.as_bytes_per_second(), stream)
            }));
            if is_special(host) {
                make_special(world, host, number, levels);
            }
        }
    }
}

/// The memory of the machines that say how much they have, once all instances are there.
pub(crate) fn add_memory(world: &mut World, scenario: &Scenario) {
    let machines = scenario.hosts.iter().flat_map(|host| (0..host.count).map(move |_| host));
    for (number, host) in machines.enumerate() {
        let number = number as u16;
        let memory = host.memory.map(|physical| {
            let here = |(_, instance): &(usize, &Instance)| instance.host == number;
            let instances =
                world.instances.iter().enumerate().filter(here).map(|(at, _)| at as u16).collect();
            let reads = host.disk.map_or((0.0, f64::INFINITY), |disk| {
                (disk.read.mean().as_nanos() as f64, f64::from(disk.parallel) / f64::from(host.cores))
            });
            Memory::new(physical.get(), host.swap.get(), reads, instances)
        });
        if let Some(memory) = &memory
            && world.memory_could_run_out(memory)
        {
            let timer = world.add_timer(Timer::Memory(number));
            world.events.schedule(0, timer);
        }
        world.memories.push(memory);
    }
}

/// Whether there is more to a machine's cores than first come, first served at speed 1.
fn is_special(host: &Host) -> bool {
    host.scheduling != Scheduling::Fcfs
        || host.speed != 1.0
        || host.steal.is_some()
        || host.cpu_credits.is_some()
}

fn make_special(world: &mut World, host: &Host, number: u16, levels: usize) {
    let (order, levels) = match host.scheduling {
        Scheduling::ProcessorSharing => (Order::Sharing, 1),
        Scheduling::Priority => (Order::Waiting, levels),
        Scheduling::PreemptivePriority => (Order::Preempting, levels),
        _ => (Order::Waiting, 1),
    };
    let mut special = world.new_special(number, order, levels);
    special.pace.own = host.speed;
    if let Some(steal) = host.steal {
        let mut stream = Stream::new(world.seed, STEAL, u64::from(number));
        if let Some((_, gap)) = steal.bursts {
            let first = gap.sample(&mut stream).as_nanos();
            world.events.schedule(first, special.timer(Due::Steal));
        }
        special.pace.steal = Some(Steal::new(steal.share.get(), steal.bursts, stream));
    }
    special.pace.credits = host.cpu_credits.map(|b| Credits::new(b.per_hour, b.at_most, b.launch));
    special.pace.apply(&mut special.processor, 0);
    world.cores[usize::from(number)].special = Some(Box::new(special));
}

/// The rank by component and class: by the component's priority first, then by the class's.
fn ranks(scenario: &Scenario) -> Vec<u8> {
    let pairs: Vec<(u8, u8)> = scenario
        .components
        .iter()
        .flat_map(|component| scenario.requests.iter().map(|class| (component.priority, class.priority)))
        .chain(scenario.jobs.iter().flat_map(|job| scenario.requests.iter().map(|_| (job.priority, 0))))
        .collect();
    let levels: BTreeSet<(u8, u8)> = pairs.iter().copied().collect();
    pairs.iter().map(|pair| levels.iter().rev().position(|level| level == pair).unwrap_or(0) as u8).collect()
}
