//! The page as a person meets it: a real browser, a real server with data, and then without the server.
//! Never looks into the page itself; tests/page/look.js does, and fails by its exit code.
//! The browser is Debian's chromium, driven over its own DevTools pipe.

use std::path::Path;
use std::process::Command;

use testkit::server::find_program;

use crate::fixture::{is_required, skipped};
use crate::watching::Watched;

/// Set where a missing browser is a failure.
const REQUIRED: &str = "PINYON_REQUIRE_BROWSER";
/// A key whose name would run where it is taken for markup.
const EVIL: &str =
    "evil:<img src=x onerror=\"window.harmed=1\"></script><script>window.harmed=1</script>";

#[test]
fn the_page_shows_where_the_memory_is() {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(find_program);
    let (Some(browser), Some(node)) = (browser, find_program("node")) else {
        assert!(!is_required(REQUIRED), "chromium or node is not installed");
        return skipped("the page", "chromium or node is not installed");
    };
    let Some(watched) = Watched::start(2, &["--maxmemory", "256mb"]) else {
        return;
    };
    let mut client = watched.server.client();
    let value = "v".repeat(20_000);
    let mut commands: Vec<Vec<&str>> = vec![vec!["SET", EVIL, &value]];
    let names: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    let sessions: Vec<String> = names.iter().map(|name| format!("session:{name}")).collect();
    for (session, name) in sessions.iter().zip(&names) {
        commands.push(vec!["SET", session, &value[..700], "EX", "1000"]);
        commands.push(vec!["ZADD", "board:weekly", name, name]);
        commands.push(vec!["HSET", "profile:all", name, &value[..40]]);
    }
    client.pipeline(&commands);
    drop(client);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/look.js");
    let output = Command::new(node)
        .arg(script)
        .env(
            "PINYON_PAGE",
            format!("http://127.0.0.1:{}/", watched.port()),
        )
        .env("PINYON_PORT", watched.server.port().to_string())
        .env("PINYON_SHARDS", "2")
        .env("PINYON_EVIL", EVIL)
        .env("PINYON_CHROMIUM", browser)
        .output()
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
