//! The snapshots of `export`, read with the types of Kubernetes and of the compose specification: nothing is of a wrong
//! type, and nothing is unknown there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use proptest::prelude::*;
use serde::Deserialize as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use xtask::tasks::export::yaml;

fn snapshot(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// Reads an object as its type and writes it again: what is not the same was not known there.
fn typed<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    serde_json::to_value(typed).unwrap()
}

fn check(object: &Value) -> Value {
    match object["kind"].as_str().unwrap() {
        "ConfigMap" => typed::<ConfigMap>(object),
        "CronJob" => typed::<CronJob>(object),
        "Deployment" => typed::<Deployment>(object),
        "Job" => typed::<Job>(object),
        "Role" => typed::<Role>(object),
        "RoleBinding" => typed::<RoleBinding>(object),
        "Secret" => typed::<Secret>(object),
        "Service" => typed::<Service>(object),
        "ServiceAccount" => typed::<ServiceAccount>(object),
        other => panic!("{other}"),
    }
}

#[test]
fn kubernetes_knows_every_object_and_every_field() {
    let mut kinds = BTreeSet::new();
    for name in ["prod.kubernetes", "every-key.kubernetes"] {
        for object in documents(&snapshot(name)) {
            assert_eq!(check(&object), object, "{name}");
            kinds.insert(object["kind"].as_str().unwrap().to_owned());
        }
    }
    for kind in ["ConfigMap", "Deployment", "Job", "Secret", "Service"] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_would_be_seen() {
    let mut object = documents(&snapshot("prod.kubernetes")).remove(1);
    object["spec"]["template"]["spec"]["hostNetwrok"] = json!(true);
    assert_ne!(check(&object), object);
}

#[test]
fn every_container_of_a_pod_and_what_refers_to_it_fit_together() {
    for name in ["prod.kubernetes", "every-key.kubernetes"] {
        let objects = documents(&snapshot(name));
        let has = |kind: &str, name: &Value| {
            objects
                .iter()
                .any(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
        };
        for object in &objects {
            let pod = &object["spec"]["template"];
            if object["kind"] == "Deployment" {
                assert_eq!(object["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
            }
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                for source in container["envFrom"].as_array().into_iter().flatten() {
                    let (map, secret) = (&source["configMapRef"]["name"], &source["secretRef"]["name"]);
                    assert!(has("ConfigMap", map) || has("Secret", secret), "{source}");
                }
            }
        }
    }
}

#[test]
fn compose_knows_every_key() {
    for name in ["prod.compose", "every-key.compose"] {
        // The specification knows `on-failure:TRIES`; these types are older.
        let text = snapshot(name).replace("\"on-failure:4\"", "on-failure");
        let compose: compose_spec::Compose =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        compose.validate_all().unwrap();
        let unknown = text.replacen("    restart: ", "    restrat: ", 1);
        assert_ne!(unknown, text);
        assert!(serde_yaml::from_str::<compose_spec::Compose>(&unknown).is_err());
    }
}

proptest! {
    #[test]
    fn every_text_reads_back_as_itself(text: String, key in "[a-z0-9:#'\"\\\\ \\-\u{85}\u{2028}\u{7f}]{0,12}", number: i64) {
        let value = json!({ "plain": text, key.clone(): [text, { "n": number, "empty": {} }, [key]], "list": [] });
        prop_assert_eq!(documents(&yaml::document(&value)), [value]);
    }
}
