//! The rules of the house as a test of the tree: lengths, openings, names, unsafe, what depends on what.
//! Never judges what only a reader can judge; its lists of exceptions may only shrink.
//! Source of the idea: TigerBeetle's tidy test.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function, its signature included.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer for a reason: file, name. One that is no longer too long must go from here.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    // One arm for each kind of command that the model knows.
    ("crates/commands/tests/data/model.rs", "step"),
];
/// Files that are longer for a reason. One that is no longer too long must go from here.
const LONG_FILES: &[&str] = &[];
/// The only files with unsafe code.
const UNSAFE_FILES: &[&str] = &[
    "benches/src/load.rs",
    "benches/src/sys.rs",
    "crates/memory/src/heap/accounts.rs",
    "crates/memory/src/heap/areas.rs",
    "crates/memory/src/heap/blocks.rs",
    "crates/memory/src/heap/global.rs",
    "crates/memory/src/heap/large.rs",
    "crates/memory/src/heap/mimalloc.rs",
    "crates/memory/src/heap/pressed.rs",
    "crates/memory/src/heap/spaces.rs",
    "crates/memory/src/heap/sparse.rs",
    "crates/memory/src/heap/travel.rs",
    "crates/memory/src/pages.rs",
    "crates/memory/tests/allocator.rs",
    "crates/memory/tests/resident.rs",
    "crates/server/src/mesh/batch.rs",
    "crates/server/src/mesh/queue.rs",
    "crates/server/src/net/buffers.rs",
    "crates/server/src/net/ring.rs",
    "crates/store/src/entry/edit.rs",
    "crates/store/src/entry/mod.rs",
    "crates/store/src/heap.rs",
    "crates/store/src/index/bucket.rs",
    "crates/store/src/index/segment.rs",
    "crates/store/src/prefixes/rack.rs",
    "crates/store/src/prefixes/scan.rs",
    "crates/store/src/slab/mod.rs",
];
/// Crates of ours that a crate may depend on, apart from those for its tests.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("resp", &[]),
    ("memory", &[]),
    ("store", &["memory"]),
    ("rdb", &["resp", "store"]),
    ("commands", &["memory", "rdb", "resp", "store"]),
    ("watch", &["resp"]),
    ("server", &["commands", "memory", "resp", "store", "watch"]),
];

/// A source file: its path from the root, its text, and the text with comments and literals blanked.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let text = fs::read_to_string(path).expect("a source file is text");
        let path = path
            .strip_prefix(root)
            .expect("it is below the root")
            .to_string_lossy()
            .into_owned();
        let code = code_only(&text);
        Source { path, text, code }
    }

    /// How many lines stand before the file's own tests.
    fn lines_without_tests(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_start =
            |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
        lines.windows(2).position(is_start).unwrap_or(lines.len())
    }

    /// Whether it belongs to what is shipped, not to tests or benchmarks.
    fn is_product(&self) -> bool {
        let crates = self.path.starts_with("crates/") && !self.path.starts_with("crates/testkit/");
        (crates && self.path.contains("/src/")) || self.path.starts_with("src/")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory that is ours and ends so.
fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    const NOT_OURS: [&str; 6] = [
        "target",
        ".git",
        ".venv",
        "node_modules",
        "corpus",
        "artifacts",
    ];
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            files(&path, ending, found);
        } else if name.ends_with(ending) && path.is_file() {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for dir in ["src", "crates", "tests", "benches", "fuzz"] {
        files(&root().join(dir), ".rs", &mut found);
    }
    assert!(found.len() > 20, "the tree is somewhere else");
    found
        .iter()
        .map(|path| Source::read(&root(), path))
        .collect()
}

/// Fails with all findings at once.
fn assert_none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// The text with everything inside comments, strings and characters turned into blanks; lines stay.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + skipped_bytes(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("only whole literals were blanked")
}

/// How many bytes a comment or literal that starts here takes; 0 where none starts.
fn skipped_bytes(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let find = |what: &[u8], from: usize| {
        rest[from..]
            .windows(what.len())
            .position(|window| window == what)
            .map_or(rest.len(), |at| from + at + what.len())
    };
    match rest {
        [b'/', b'/', ..] => find(b"\n", 0) - 1,
        [b'/', b'*', ..] => find(b"*/", 2),
        [b'"', ..] => quoted_bytes(rest),
        [b'b', b'"', ..] if !in_word => 1 + quoted_bytes(&rest[1..]),
        [b'r' | b'b', ..] if !in_word => {
            let prefix = rest
                .iter()
                .take_while(|byte| matches!(byte, b'r' | b'b'))
                .count();
            let hashes = rest[prefix..]
                .iter()
                .take_while(|byte| **byte == b'#')
                .count();
            if !rest[..prefix].contains(&b'r') || rest.get(prefix + hashes) != Some(&b'"') {
                return usize::from(rest.starts_with(b"b'")) * (1 + character_bytes(&rest[1..]));
            }
            find(
                &[b"\"", &b"#".repeat(hashes)[..]].concat(),
                prefix + hashes + 1,
            )
        }
        [b'\'', ..] => character_bytes(rest),
        _ => 0,
    }
}

fn quoted_bytes(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += 1 + usize::from(rest[at] == b'\\');
    }
    (at + 1).min(rest.len())
}

/// The bytes of a character literal; 0 for a lifetime.
fn character_bytes(rest: &[u8]) -> usize {
    match rest {
        [b'\'', b'\\', ..] => {
            4 + rest[3..]
                .iter()
                .position(|byte| *byte == b'\'')
                .expect("a character ends")
        }
        [b'\'', ..] => {
            let close = rest.iter().skip(1).take(5).position(|byte| *byte == b'\'');
            // A lifetime has no closing quote after one character.
            match close {
                Some(len @ 1..)
                    if std::str::from_utf8(&rest[1..=len])
                        .is_ok_and(|text| text.chars().count() == 1) =>
                {
                    len + 2
                }
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// The functions of blanked code: name, first line from 0, lines.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word =
            at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let name: String = code[at + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let Some(end) = body_end(bytes, at).filter(|_| starts_word && !name.is_empty()) else {
            continue;
        };
        let first = code[..at].matches('\n').count();
        found.push((name, first, code[at..end].matches('\n').count() + 1));
    }
    found
}

/// Where the body of a function that starts here ends; None where it has none.
fn body_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' if braces == 1 && brackets == 0 => return Some(at),
            b'}' => braces -= 1,
            b';' if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The words of blanked code.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let sources = sources();
    let long: Vec<_> = sources
        .iter()
        .filter(|source| source.lines_without_tests() > FILE_LINES_MAX)
        .collect();
    let finding =
        |source: &&Source| format!("{} has {} lines", source.path, source.lines_without_tests());
    let new = long
        .iter()
        .filter(|source| !LONG_FILES.contains(&source.path.as_str()));
    assert_none(
        "a file has at most 600 lines without its tests",
        new.map(finding).collect(),
    );
    let old = LONG_FILES
        .iter()
        .filter(|path| !long.iter().any(|source| source.path == **path));
    assert_none(
        "no exception is needed for",
        old.map(ToString::to_string).collect(),
    );
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for source in sources() {
        let tests_start = source.lines_without_tests();
        for (name, first, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX && first < tests_start {
                long.push((source.path.clone(), name, lines));
            }
        }
    }
    let is_known = |path: &str, name: &str| LONG_FUNCTIONS.contains(&(path, name));
    let new = long.iter().filter(|(path, name, _)| !is_known(path, name));
    let finding =
        |(path, name, lines): &(String, String, usize)| format!("{path}: {name} has {lines}");
    assert_none(
        "a function has at most 70 lines",
        new.map(finding).collect(),
    );
    let is_long = |known: &&(&str, &str)| {
        long.iter()
            .any(|(path, name, _)| (path.as_str(), name.as_str()) == **known)
    };
    let old = LONG_FUNCTIONS.iter().filter(|known| !is_long(known));
    assert_none(
        "no exception is needed for",
        old.map(|known| format!("{known:?}")).collect(),
    );
}

#[test]
fn every_module_opens_with_three_lines_about_itself() {
    let opens_badly = |source: &Source| {
        source
            .text
            .lines()
            .take(3)
            .filter(|line| line.starts_with("//! "))
            .count()
            < 3
    };
    // The tests of a crate have its own opening to go by.
    let is_room =
        |source: &Source| !source.path.starts_with("crates/") || source.path.contains("/src/");
    let findings = sources()
        .into_iter()
        .filter(is_room)
        .filter(opens_badly)
        .map(|source| source.path)
        .collect();
    assert_none(
        "a module says what it owns, what never happens in it, and its source",
        findings,
    );
}

#[test]
fn nothing_is_left_for_later() {
    let words_of_delay = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("TO", "DO"),
    ];
    let mut findings = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let delayed = words_of_delay
                .iter()
                .any(|word| words(line).any(|found| found == *word));
            let code = source.code.lines().nth(number).unwrap_or_default();
            let missing = ["todo!", "unimplemented!", "#[ignore"]
                .iter()
                .any(|word| code.contains(word));
            if delayed || missing {
                findings.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    assert_none(
        "nothing is left for later, and no test is ignored",
        findings,
    );
}

#[test]
fn only_the_server_knows_its_runtime() {
    let outside = |source: &&Source| !source.path.starts_with("crates/server/");
    let uses = |source: &&Source| words(&source.code).any(|word| word == "glommio");
    let sources = sources();
    let findings = sources
        .iter()
        .filter(outside)
        .filter(uses)
        .map(|source| source.path.clone())
        .collect();
    assert_none("glommio is named in crates/server only", findings);
}

#[test]
fn unsafe_code_is_only_where_the_list_says() {
    let mut findings = Vec::new();
    let mut with_unsafe = Vec::new();
    for source in sources() {
        let has_unsafe = words(&source.code).any(|word| word == "unsafe");
        if has_unsafe && !UNSAFE_FILES.contains(&source.path.as_str()) {
            findings.push(format!("{} has unsafe code", source.path));
        }
        if has_unsafe {
            with_unsafe.push(source.path);
        }
    }
    for path in UNSAFE_FILES {
        if !with_unsafe.iter().any(|found| found == path) {
            findings.push(format!("{path} needs no place in the list"));
        }
    }
    for (name, _) in DEPENDENCIES {
        let dir = format!("crates/{name}/");
        let lib =
            fs::read_to_string(root().join(&dir).join("src/lib.rs")).expect("every crate has one");
        let is_safe = !with_unsafe.iter().any(|path| path.starts_with(&dir));
        if is_safe && !lib.contains("#![forbid(unsafe_code)]") {
            findings.push(format!("{dir} is safe and does not say so"));
        }
    }
    assert_none("unsafe code is in named modules only", findings);
}

#[test]
fn names_say_what_a_thing_is() {
    let vague = ["Manager", "Helper", "Util", "Common"];
    let mut findings = Vec::new();
    for source in sources() {
        let stem = Path::new(&source.path)
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        if vague.iter().any(|word| {
            stem.split('_')
                .any(|part| part.trim_end_matches('s') == word.to_lowercase())
        }) {
            findings.push(source.path.clone());
        }
        let all: Vec<&str> = words(&source.code).collect();
        for pair in all.windows(2) {
            let declares = ["struct", "enum", "trait", "type", "union", "mod"].contains(&pair[0]);
            let getter = pair[0] == "fn" && pair[1].starts_with("get_") && source.is_product();
            if getter || (declares && vague.iter().any(|word| pair[1].contains(word))) {
                findings.push(format!("{}: {} {}", source.path, pair[0], pair[1]));
            }
        }
    }
    assert_none("no Manager, Helper, Util, Common, and no get_", findings);
}

#[test]
fn dependencies_run_one_way() {
    let mut findings = Vec::new();
    for (name, allowed) in DEPENDENCIES {
        let manifest = fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml")))
            .expect("every crate has one");
        let (_, after) = manifest.split_once("[dependencies]").unwrap_or_default();
        let section = after.split("\n[").next().unwrap_or_default();
        let depends_on = |other: &str| {
            let names = |line: &str| {
                line.strip_prefix(other)
                    .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
            };
            section.lines().any(names)
        };
        for (other, _) in DEPENDENCIES.iter().chain(&[("testkit", &[][..])]) {
            if depends_on(other) && !allowed.contains(other) {
                findings.push(format!("{name} depends on {other}"));
            }
        }
    }
    assert_none(
        "dependencies run from the server to the wire and the memory",
        findings,
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    files(&root().join("docs"), ".md", &mut documents);
    let mut findings = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document)
            .unwrap_or_else(|why| panic!("{}: {why}", document.display()));
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..]
                .split([')', ' ', '#'])
                .next()
                .unwrap_or_default();
            let elsewhere =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            let file = document
                .parent()
                .expect("a file is in a directory")
                .join(target);
            if !elsewhere && !file.exists() {
                findings.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert_none("a link leads to a file", findings);
}

#[test]
fn the_blanker_of_this_test_blanks_what_is_no_code() {
    let text = "let a = \"unsafe \\\" {\"; // unsafe {\nlet b = r#\"fn \"x\" {\"#; let c = '{'; fn d<'a>(e: &'a u8) {}\n";
    let code = code_only(text);
    assert_eq!(code.len(), text.len());
    assert!(
        words(&code).all(|word| word != "unsafe" && word != "x"),
        "{code}"
    );
    assert_eq!(functions(&code), [("d".to_string(), 1, 1)]);
    assert_eq!(
        functions("fn a();\nfn b(x: [u8; 2]) -> u8 {\n  1\n}\n"),
        [("b".to_string(), 1, 3)]
    );
    let only_literals = "b'\"' '\\'' 'é' b\"\\\"\" /* fn */ x";
    assert_eq!(code_only(only_literals).trim_start(), "x");
    assert_eq!(code_only(only_literals).len(), only_literals.len());
}
