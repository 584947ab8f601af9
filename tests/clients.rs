//! Client libraries as people use them, each in its own process against a real server.
//! Never speaks the protocol itself; a smoke script fails by its exit code and says why.
//! The scripts and their pinned libraries are in tests/clients; tests/clients/install fetches them.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::server::find_program;

use crate::fixture::{is_required, skipped, start};

/// Set where a library that is not installed is a failure.
const REQUIRED: &str = "PINYON_REQUIRE_CLIENTS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a smoke script, or says why it cannot be run.
fn smoke(library: &str, program: Option<PathBuf>, installed: &Path, script: &str) {
    let why = match &program {
        None => "its interpreter is not installed".to_string(),
        Some(_) if !installed.exists() => format!("{} is missing", installed.display()),
        Some(program) => return run(library, program, script),
    };
    assert!(
        !is_required(REQUIRED),
        "{library}: {why}; run tests/clients/install"
    );
    skipped(
        library,
        &format!("{why}; tests/clients/install installs it"),
    );
}

fn run(library: &str, program: &Path, script: &str) {
    for shards in [1, 2] {
        let server = start(shards, &["--maxmemory", "256mb"]);
        let output = Command::new(program)
            .arg(root().join("tests/clients").join(script))
            .env("PINYON_PORT", server.port().to_string())
            .env("PINYON_IS_REDIS", if server.is_redis() { "1" } else { "" })
            .output()
            .expect("the interpreter runs");
        assert!(
            output.status.success(),
            "{library} with {shards} shards: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn node_smoke(library: &str, dir: &str) {
    let installed = root().join("tests/clients").join(dir).join("node_modules");
    smoke(
        library,
        find_program("node"),
        &installed,
        &format!("{dir}/smoke.js"),
    );
}

#[test]
fn redis_py_works() {
    let python = root().join(".venv/bin/python");
    let program = python.exists().then(|| python.clone());
    smoke("redis-py", program, &root().join(".venv"), "smoke.py");
}

#[test]
fn redis_py_uses_every_data_type() {
    let python = root().join(".venv/bin/python");
    let program = python.exists().then(|| python.clone());
    smoke("redis-py", program, &root().join(".venv"), "data_types.py");
}

#[test]
fn node_redis_4_works() {
    node_smoke("node-redis 4", "node4");
}

#[test]
fn node_redis_5_works() {
    node_smoke("node-redis 5", "node5");
}

#[test]
fn ioredis_works() {
    node_smoke("ioredis", "ioredis");
}
