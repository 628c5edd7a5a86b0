//! Charts as PNG.

use crate::run;
use crate::synthetic::{Play, SHOP};

#[test]
fn every_chart_of_a_run_is_a_picture() {
    let pictures = reports::pictures(&run(SHOP, Play::LOADGEN)).expect("they can be drawn");
    let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(&names[..3], ["01-the-stack", "02-offered-and-achieved-rate", "03-send-lag"]);
    for picture in &pictures {
        assert!(
            picture.png.starts_with(b"\x89PNG\r\n") && picture.png.len() > 5_000,
            "{}: {} bytes",
            picture.name,
            picture.png.len()
        );
    }
}
