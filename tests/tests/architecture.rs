//! What the crates may not do, from their manifests and their sources: the edges that hold the design together.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// One crate: its normal dependencies and its sources without their tests.
struct Crate {
    dependencies: BTreeSet<String>,
    dir: PathBuf,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The workspace as cargo sees it.
async fn crates() -> BTreeMap<String, Crate> {
    let mut cargo = rt::process::command(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let output = cargo.output().await.expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("its answer");
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let normal = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
            let dependencies = normal.map(|d| d["name"].as_str().unwrap().to_owned()).collect();
            let dir = manifest.parent().unwrap().to_owned();
            (package["name"].as_str().unwrap().to_owned(), Crate { dependencies, dir })
        })
        .collect()
}

/// The lines of a crate's own code, with their place; tests in files or modules of their own are left out.
fn code(dir: &Path) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            lines.extend(code(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let place = path.strip_prefix(root()).unwrap().display().to_string();
            let numbered = own.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"));
            lines.extend(numbered.map(|(n, line)| (format!("{place}:{}", n + 1), line.to_owned())));
        }
    }
    lines
}

/// Refuses words in a crate's own code.
fn without(name: &str, a_crate: &Crate, words: &[&str], wrong: &mut Vec<String>) {
    for (place, line) in code(&a_crate.dir.join("src")) {
        for word in words.iter().filter(|w| line.contains(**w)) {
            wrong.push(format!("{name} uses {word} at {place}: {}", line.trim()));
        }
    }
}

/// Crates that compute and do nothing else.
const PURE: [&str; 3] = ["base", "api", "scheduler"];

#[tokio::test]
async fn pure_crates_do_nothing_but_compute() {
    let crates = crates().await;
    let mut wrong = Vec::new();
    for name in PURE {
        let a_crate = &crates[name];
        for forbidden in ["tokio", "rt", "store", "link", "reqwest", "hyper", "rustix", "tempfile"] {
            if a_crate.dependencies.contains(forbidden) {
                wrong.push(format!("{name} depends on {forbidden}"));
            }
        }
        let words = [
            "tokio::",
            "std::net::Tcp",
            "std::net::Udp",
            "std::fs",
            "std::process",
            "std::thread",
            "std::env",
        ];
        without(name, a_crate, &words, &mut wrong);
        without(name, a_crate, &["Instant::now", "SystemTime", "Timestamp::now"], &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn libraries_have_one_home() {
    let crates = crates().await;
    let mut wrong = Vec::new();
    for (library, homes) in [
        ("russh", &["ssh"][..]),
        ("russh-sftp", &["ssh"]),
        ("rusqlite", &["store"]),
        ("axum", &["server"]),
        ("bollard", &["docker"]),
        ("clap", &["cli", "hostler"]),
        ("clap_complete", &["cli", "hostler"]),
        ("rcgen", &["link"]),
        ("indicatif", &["cli"]),
        ("miette", &["cli"]),
    ] {
        for (name, a_crate) in &crates {
            if a_crate.dependencies.contains(library) && !homes.contains(&name.as_str()) {
                wrong.push(format!("{name} depends on {library}, whose home is {}", homes.join(" or ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn edges_between_crates_point_one_way() {
    let crates = crates().await;
    let mut wrong = Vec::new();
    for (name, forbidden) in [
        ("base", &["*"][..]),
        ("api", &["rt", "store", "controller", "server", "client", "cli", "worker", "link"]),
        ("scheduler", &["rt", "store", "controller", "server", "worker", "link"]),
        ("store", &["controller", "server", "worker", "api"]),
        ("link", &["controller", "server", "worker", "store"]),
        ("worker", &["controller", "server", "store", "cli"]),
        ("controller", &["server", "worker", "client", "cli", "axum", "reqwest"]),
        ("server", &["worker", "client", "cli", "reqwest"]),
        // The command line uses nothing but the public API.
        ("client", &["controller", "server", "store", "worker", "cli"]),
        ("cli", &["controller", "server", "store", "worker"]),
    ] {
        let dependencies = &crates[name].dependencies;
        for other in crates.keys().filter(|c| dependencies.contains(*c)) {
            if forbidden.contains(&"*") || forbidden.contains(&other.as_str()) {
                wrong.push(format!("{name} depends on {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn only_rt_starts_processes_and_tasks_and_reads_clocks() {
    let mut wrong = Vec::new();
    for (name, a_crate) in crates().await {
        // Benches and test libraries measure and start what they like.
        if ["rt", "testkit", "e2e", "bench"].contains(&name.as_str()) {
            continue;
        }
        let words = ["Command::new(", "tokio::spawn", "task::spawn_blocking", "thread::spawn"];
        without(&name, &a_crate, &words, &mut wrong);
        without(&name, &a_crate, &["Instant::now(", "SystemTime::now(", "Timestamp::now("], &mut wrong);
        if !["cli", "hostler"].contains(&name.as_str()) {
            without(&name, &a_crate, &["env::var", "env::args"], &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn only_the_server_mounts_and_only_the_store_knows_sql() {
    let mut wrong = Vec::new();
    for (name, a_crate) in crates().await {
        if !["store", "testkit", "e2e", "bench"].contains(&name.as_str()) {
            without(&name, &a_crate, &["SELECT ", "INSERT INTO", "CREATE TABLE", "PRAGMA "], &mut wrong);
        }
        if name == "server" {
            without(&name, &a_crate, &["\"/v1/"], &mut wrong); // the paths are in api::routes
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_map_names_every_crate() {
    let Ok(map) = fs::read_to_string(root().join("ARCHITECTURE.md")) else { return };
    for (name, a_crate) in crates().await {
        if a_crate.dir.starts_with(root().join("crates")) {
            let named = map.contains(&format!("{name}/")) || map.contains(&format!("`{name}`"));
            assert!(named, "ARCHITECTURE.md does not name {name}");
        }
    }
}
