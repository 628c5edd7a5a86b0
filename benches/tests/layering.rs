//! The arrows between the crates: what may depend on what. `sim` and `reference` never know each other, so that their
//! agreement is evidence.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Every package of the workspace with the packages of the workspace that its code may use. Tests may use more.
const ALLOWED: &[(&str, &[&str])] = &[
    ("scenarios", &[]),
    ("results", &["scenarios"]),
    ("sim", &["scenarios", "results"]),
    ("loadgen", &["scenarios", "results"]),
    ("reports", &["scenarios", "results", "programs"]),
    ("reference", &["scenarios"]),
    ("programs", &["scenarios", "results"]),
    ("fleet", &[]),
    ("sim-cli", &["scenarios", "results", "sim", "reports", "programs", "fleet"]),
    ("loadgen-cli", &["scenarios", "results", "loadgen", "reference", "reports", "programs", "fleet"]),
    ("benches", &["scenarios", "results", "sim"]),
];

/// Tests and benches may look further, but never from one world into the other.
const NEVER: &[(&str, &str)] =
    &[("sim", "reference"), ("reference", "sim"), ("sim", "loadgen"), ("loadgen", "sim")];

/// Package name -> (dependencies of its code, dependencies of its tests), within the workspace.
fn arrows() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace");
    let members: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let of = |kind_is_dev: bool| {
                package
                    .dependencies
                    .iter()
                    .filter(|d| {
                        (d.kind == DependencyKind::Development) == kind_is_dev && members.contains(&d.name)
                    })
                    .map(|d| d.name.clone())
                    .collect::<BTreeSet<_>>()
            };
            (package.name.to_string(), (of(false), of(true)))
        })
        .collect()
}

#[test]
fn dependencies_follow_the_allowed_arrows() {
    let arrows = arrows();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    for (package, (code, tests)) in &arrows {
        assert!(known.contains(package.as_str()), "package {package} has no row in ALLOWED");
        let allowed = ALLOWED.iter().find(|(name, _)| name == package).map_or(&[][..], |(_, to)| to);
        for dependency in code {
            assert!(allowed.contains(&dependency.as_str()), "{package} must not depend on {dependency}");
        }
        for dependency in tests {
            let pair = (package.as_str(), dependency.as_str());
            assert!(!NEVER.contains(&pair), "the tests of {package} must not use {dependency}");
        }
    }
    assert_eq!(arrows.len(), ALLOWED.len(), "ALLOWED names a package that is gone");
}

#[test]
fn a_forbidden_arrow_would_be_seen() {
    // The alarm's own proof: the arrows that exist are read, so a further one would be.
    let arrows = arrows();
    assert!(arrows["results"].0.contains("scenarios"), "the arrow from results to scenarios was not read");
    assert!(
        arrows["loadgen-cli"].0.contains("reference"),
        "the arrow from loadgen-cli to reference was not read"
    );
}
