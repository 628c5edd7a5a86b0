//! `sim whatif`: a file beside itself with some values changed.

use crate::support::{page, sim, write};

#[test]
fn what_is_changed_differs_and_what_changes_its_verdict_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = page("10s", "900/s", "p(99)<8ms").replace("cores = 4", "cores = 1\nprice = \"40 USD/month\"");
    write(directory.path(), "page.toml", &text);
    let arguments = ["whatif", "page.toml", "--quiet", "--replications", "4", "--set", "hosts.app.cores=4"];
    let output =
        sim(directory.path(), &[&arguments[..], &["--set", "hosts.app.price=100 USD/month"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("response_time p(99)<8ms now holds"), "{text}");
    assert!(text.contains("it costs 100.00 USD a month, +60.00"), "{text}");
    assert!(text.contains("0 of 4") && text.contains("4 of 4") && text.contains("differs"), "{text}");

    let arguments = [&arguments[..], &["--json", "--html", "page.html"]].concat();
    let output = sim(directory.path(), &arguments);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(object["thresholds"][0]["change"], "now holds");
    assert_eq!(object["cost_per_month"]["a"], object["cost_per_month"]["b"]);
    let html = std::fs::read_to_string(directory.path().join("page.html")).expect("the page was written");
    assert!(html.contains("now holds") && html.contains("hosts.app.cores = 4"), "{html}");
}

#[test]
fn what_is_set_must_be_there() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("5s", "100/s", "p(99)<10s"));
    for (set, expected) in [
        ("hosts.ap.cores=2", "hint: write \"hosts.app\""),
        ("hosts.app.cores=many", "hosts.app.cores: found \"many\""),
        ("hosts.app.cors=2", "the unknown key \"cors\""),
    ] {
        let output = sim(directory.path(), &["whatif", "page.toml", "--set", set]);
        assert_eq!(output.status.code(), Some(104), "{output:?}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(expected), "{set}: {message}");
    }
    assert_eq!(sim(directory.path(), &["whatif", "page.toml"]).status.code(), Some(2), "nothing is changed");
}
