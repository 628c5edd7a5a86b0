//! What a broken scenario is told.

use scenarios::Scenario;

#[test]
fn quickstart_is_a_good_scenario() {
    if let Err(problems) = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART) {
        panic!("{problems}");
    }
}
