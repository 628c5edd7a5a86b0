//! The manifests that place a fleet on Kubernetes: each document is read as the API's own types, and nothing of it may be lost on
//! the way back, so that a misspelt field or one in the wrong place is found without a cluster. And the image that they start is held
//! against the workspace.

use std::fs;
use std::path::Path;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PodSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/fleet/deploy");

fn documents(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(PLACE).join(name)).expect("the manifest can be read");
    let parts = text.split("\n---\n");
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{name}: {e}"))).collect()
}

/// What is left of a document that went through the API's type.
fn through<T: DeserializeOwned + Serialize>(document: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(document.clone())?)
}

/// What is wrong with a document, if anything is.
fn problem(document: &Value) -> Option<String> {
    let kind = (document["apiVersion"].as_str()?, document["kind"].as_str()?);
    let known = match kind {
        ("v1", "Namespace") => through::<Namespace>(document),
        ("v1", "Service") => through::<Service>(document),
        ("apps/v1", "StatefulSet") => through::<StatefulSet>(document),
        ("batch/v1", "Job") => through::<Job>(document),
        ("networking.k8s.io/v1", "NetworkPolicy") => through::<NetworkPolicy>(document),
        other => return Some(format!("{other:?} is no kind that is used here")),
    };
    match known {
        Ok(known) => first_lost(document, &known, "").map(|at| format!("{at} means nothing there")),
        Err(error) => Some(error.to_string()),
    }
}

/// The path of the first field that the other does not have as it is here.
fn first_lost(written: &Value, known: &Value, at: &str) -> Option<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written.iter().find_map(|(key, value)| {
            let at = format!("{at}.{key}");
            known.get(key).map_or(Some(at.clone()), |known| first_lost(value, known, &at))
        }),
        (Value::Array(written), Value::Array(known)) if written.len() == known.len() => {
            let mut pairs = written.iter().zip(known).enumerate();
            pairs.find_map(|(i, (written, known))| first_lost(written, known, &format!("{at}[{i}]")))
        }
        _ => (written != known).then(|| at.to_owned()),
    }
}

fn job(name: &str) -> (Job, PodSpec) {
    let job: Job = serde_json::from_value(documents(name).remove(0)).expect("it is a job");
    let pod = job.spec.clone().and_then(|spec| spec.template.spec).expect("it has pods");
    (job, pod)
}

#[test]
fn every_manifest_is_what_kubernetes_knows() {
    for name in ["nats.yaml", "agents.yaml", "workers.yaml"] {
        for document in documents(name) {
            assert_eq!(problem(&document), None, "{name}: {}", document["kind"]);
        }
    }
}

#[test]
fn a_field_that_is_misspelt_or_misplaced_is_found() {
    let mut agents = documents("agents.yaml").remove(0);
    agents["spec"]["paralellism"] = 4.into();
    assert_eq!(problem(&agents).as_deref(), Some(".spec.paralellism means nothing there"));
    let mut agents = documents("agents.yaml").remove(0);
    agents["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = true.into();
    let at = ".spec.template.spec.containers[0].readOnlyRootFilesystem means nothing there";
    assert_eq!(problem(&agents).as_deref(), Some(at));
    let mut agents = documents("agents.yaml").remove(0);
    agents["spec"]["completions"] = "four".into();
    assert!(problem(&agents).is_some(), "a number is none");
}

#[test]
fn pods_are_guaranteed_what_they_ask_for_and_may_do_nothing_else() {
    for name in ["agents.yaml", "workers.yaml"] {
        let (job, pod) = job(name);
        let spec = job.spec.expect("it says what it is");
        assert_eq!(spec.completion_mode.as_deref(), Some("Indexed"), "{name}");
        assert_eq!(spec.completions, spec.parallelism, "{name}: all of them at once");
        let context = pod.security_context.expect("it says who it is");
        assert_eq!(context.run_as_non_root, Some(true), "{name}");
        for container in &pod.containers {
            let resources = container.resources.as_ref().expect("it says what it takes");
            assert_eq!(resources.requests, resources.limits, "{name}: class Guaranteed");
            let context = container.security_context.as_ref().expect("it says what it may do");
            assert_eq!(context.read_only_root_filesystem, Some(true), "{name}");
            assert_eq!(context.allow_privilege_escalation, Some(false), "{name}");
        }
    }
}

#[test]
fn no_agent_is_started_again() {
    let (job, pod) = job("agents.yaml");
    let spec = job.spec.expect("it says what it is");
    // A limit for all of them would end the others with the first that dies.
    assert_eq!((spec.backoff_limit_per_index, spec.backoff_limit), (Some(0), None));
    assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
}

#[test]
fn the_image_has_every_crate_and_a_user_without_rights() {
    let text = fs::read_to_string(Path::new(PLACE).join("Containerfile")).expect("it can be read");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).expect("it is from another image");
    let user = lines[last..].iter().find_map(|line| line.strip_prefix("USER ")).expect("it says who it is");
    // A name would not do: Kubernetes cannot tell that it is not root's.
    let ids: Vec<i64> = user.split(':').map(|id| id.parse().expect("a number")).collect();
    for name in ["agents.yaml", "workers.yaml"] {
        let context = job(name).1.security_context.expect("it says who it is");
        assert_eq!(ids, [context.run_as_user, context.run_as_group].map(Option::unwrap_or_default), "{name}");
    }
    assert!(ids.iter().all(|id| *id > 0), "{user}");

    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let workspace = fs::read_to_string(workspace).expect("the workspace has a manifest");
    let of = |key: &str| workspace.lines().find_map(|line| line.strip_prefix(key)).expect("it says so");
    for member in of("members = [").split('"').skip(1).step_by(2) {
        let place = member.split('/').next().unwrap_or(member);
        let copied = format!("COPY {place} {place}");
        assert!(lines.contains(&copied.as_str()), "{copied:?} is missing");
    }
    let version = of("rust-version = ").trim_matches('"');
    assert!(lines[0].contains(&format!("/rust:{version}-")), "{}: expected Rust {version}", lines[0]);
}
