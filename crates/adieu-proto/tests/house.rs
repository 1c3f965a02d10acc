//! The rules of the house: what this crate may depend on, mention and import.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be read fails it")]

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, bottom to top; a module imports from lower floors and from its own folder only.
const FLOORS: [&[&str]; 3] = [&["lifecycle", "codec"], &["fate", "shelf"], &["h1"]];

/// What knows a clock, a socket, a task or a lock.
const BANNED: [&str; 11] = [
    "Instant::now",
    "SystemTime",
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "std::thread",
    "Mutex",
    "RwLock",
    "Atomic",
    "async fn",
    "tokio::",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file outside tests, without the tests at its end: path within `src`, text.
fn sources() -> Vec<(String, String)> {
    let (mut sources, mut folders) = (Vec::new(), vec![root().join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                folders.push(path);
            } else if !is_test(&name) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                sources.push((name, code.to_owned()));
            }
        }
    }
    assert!(sources.len() > 15, "the sources are not where they were");
    sources
}

fn is_test(name: &str) -> bool {
    let name = Path::new(name).with_extension("");
    name.iter().any(|part| part == "tests" || part == "walk")
}

#[test]
fn it_depends_on_a_handful_of_crates() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    // Packaged for a registry, the manifest is written anew in another form.
    let Some((_, section)) = manifest.split_once("\n[dependencies]\n") else { return };
    let section = section.split("\n[").next().unwrap();
    let mut names: Vec<_> = section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["bytes", "http", "httparse", "serde", "slotmap"]);
    assert!(section.lines().any(|line| line.starts_with("serde ") && line.contains("optional = true")));
    assert!(!manifest.contains("[target."), "dependencies of some platforms only are dependencies, too");
}

#[test]
fn it_knows_no_clock_no_socket_no_task_and_no_lock() {
    for (name, text) in sources() {
        for (line, code) in (1..).zip(text.lines()) {
            let code = code.split("//").next().unwrap_or_default();
            for banned in BANNED {
                assert!(!code.contains(banned), "src/{name}:{line} mentions {banned}");
            }
        }
    }
}

#[test]
fn imports_go_down() {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    for (name, text) in sources() {
        let Some(own) = name.split('/').next().and_then(|folder| floor(folder).map(|floor| (folder, floor)))
        else {
            assert_eq!(name, "lib.rs", "a folder without a floor");
            continue;
        };
        for (line, code) in (1..).zip(text.lines()) {
            let code = code.split("//").next().unwrap_or_default();
            for path in code.split("crate::").skip(1) {
                let module: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(theirs) = floor(&module) else {
                    panic!("src/{name}:{line} imports crate::{module}: name one module a line");
                };
                assert!(
                    module == own.0 || theirs < own.1,
                    "src/{name}:{line} imports upward: crate::{module}"
                );
            }
        }
    }
}
