//! The program under test, and a scenario for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) fn sim(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.current_dir(directory).args(arguments).output().expect("the binary under test starts")
}

pub(crate) fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a temporary directory can be written");
    path
}

pub(crate) fn page(duration: &str, rate: &str, threshold: &str) -> String {
    format!(
        r#"
title = "One page"
[run]
duration = "{duration}"
[hosts.app]
cores = 4
[components.shop]
kind = "service"
host = "app"
workers = 64
[requests.page]
path = "/"
[[requests.page.steps]]
work = "exponential(mean=1ms)"
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "{rate}"
timeout = "10s"
[thresholds]
response_time = ["{threshold}"]
"#
    )
}

pub(crate) fn only_run(directory: &Path) -> PathBuf {
    let runs = std::fs::read_dir(directory.join("runs")).expect("the run made a directory");
    let mut runs: Vec<PathBuf> = runs.map(|e| e.expect("it can be listed").path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.remove(0)
}

/// The same with a service that has one core and a balancer before it.
pub(crate) fn stack(rate: &str, work: &str) -> String {
    page("20s", rate, "p(99)<10s")
        .replace("[components.shop]", "[hosts.edge]\n[components.balancer]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"shop\"\n[components.shop]")
        .replace("cores = 4", "cores = 1")
        .replace("to = \"shop\"\nmix", "to = \"balancer\"\nmix")
        .replace("exponential(mean=1ms)", work)
}
