//! The quick table of `sim verify`.

use sim::verify::{Effort, verify};

#[test]
fn every_system_with_a_closed_solution_agrees_with_it() {
    let found = verify(Effort::Quick, 2, &|_, _| {});
    assert!(found.agrees(), "replications are seeded 1, 2, 3, …\n{found}");
}
