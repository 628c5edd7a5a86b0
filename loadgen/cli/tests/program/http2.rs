//! HTTP/2 between the generator and the reference stack's proxy.

use std::fs;
use std::io::Write as _;

use results::{RunRecord, Scope};

use crate::support::{Place, SHOP, errors};

#[test]
fn the_small_shop_is_played_over_http_2() {
    let place = Place::new();
    let text = SHOP.replace("DURATION", "3s").replace("FAULTS", "http2 = true");
    let text = text.replace("kind = \"load-balancer\"\n", "kind = \"load-balancer\"\nhttp2 = true\n");
    let text = text.replace("connections = 10\n", "connections = 2\n");
    fs::write(place.directory.path().join("shop.toml"), text).expect("it can be written");
    let output = place.run(&["run", "shop.toml", "--quiet", "--no-report"]);
    let said = errors(&output);
    if output.status.code() == Some(104) && said.contains("features") {
        let mut out = std::io::stdout().lock();
        writeln!(out, "SKIPPED: this build speaks no HTTP/2").expect("the harness takes the output");
        return;
    }
    // A machine that stood still makes the run invalid, which is no fault of HTTP/2's.
    assert!([Some(0), Some(111)].contains(&output.status.code()), "{said}");
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let all = record.tally(Scope::Run, None);
    assert!(all.due() > 200 && all.ok == all.due(), "{} of {}: {:?}", all.ok, all.due(), all.failures);
    place.all_gone();
}
