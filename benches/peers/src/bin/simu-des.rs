//! simu-des: a process per customer, a resource per station.

use std::cell::RefCell;
use std::rc::Rc;

use peers::{BETWEEN, Draws, Histogram, SERVERS, SERVICE, STATIONS};
use simu::{Resource, SimEnv};

fn simulate(customers: u64, seed: u64) -> Histogram {
    let mut env = SimEnv::with_seed(seed);
    let draws = Rc::new(RefCell::new(Draws::new(seed)));
    let responses = Rc::new(RefCell::new(Histogram::default()));
    let stations: Rc<[Resource; STATIONS]> =
        Rc::new(std::array::from_fn(|_| Resource::new(SERVERS as usize)));
    let handle = env.handle();
    let found = Rc::clone(&responses);
    env.spawn(async move {
        for _ in 0..customers {
            let between = draws.borrow_mut().exponential(BETWEEN) as f64;
            handle.timeout(between).await;
            let (handle, draws, responses, stations) =
                (handle.clone(), Rc::clone(&draws), Rc::clone(&responses), Rc::clone(&stations));
            let spawner = handle.clone();
            spawner.spawn(async move {
                let came = handle.now();
                for station in stations.iter() {
                    let _held = station.request().await;
                    let service = draws.borrow_mut().exponential(SERVICE) as f64;
                    handle.timeout(service).await;
                }
                responses.borrow_mut().add((handle.now() - came) as u64);
            });
        }
    });
    env.run();
    drop(env);
    let responses = found.borrow().clone();
    responses
}

fn main() {
    peers::program(simulate);
}
