//! The house: a module imports from the floors below it or from its own folder, never upward, and never from another
//! folder of the same floor. `adieu-proto` has its own, in `tests/house.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Bottom to top; those of one floor know nothing of each other.
const ADIEU: &[&[&str]] = &[
    &["error", "rt"],
    &["transport", "observe"],
    &["drive"],
    &["conn"],
    &["connect"],
    &["pool"],
    &["client"],
];

#[test]
fn imports_go_down_only() {
    let wrong = imports_upward(&crates().join("adieu/src"), ADIEU);
    assert!(wrong.is_empty(), "imports that go up, or across a floor:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_has_a_floor() {
    let src = crates().join("adieu/src");
    let known: BTreeSet<_> = ADIEU.iter().copied().flatten().map(ToString::to_string).collect();
    let found: BTreeSet<_> = sources(&src).iter().filter_map(|path| module_of(&src, path)).collect();
    assert_eq!(found, known);
}

#[test]
fn the_peer_of_the_testkit_depends_on_no_adieu_crate() {
    for folder in ["peer", "memory"] {
        for path in sources(&crates().join("adieu-testkit/src").join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("adieu_proto") && !text.contains("adieu::"), "{}", path.display());
        }
    }
    let manifest = fs::read_to_string(crates().join("adieu-testkit/Cargo.toml")).unwrap();
    assert!(manifest.contains("adieu-proto = { workspace = true, optional = true }"));
}

/// Only rt/ reads the clock or spawns, and only kernel.rs has `unsafe`.
#[test]
fn one_place_each_for_the_clock_for_tasks_and_for_unsafe() {
    for path in sources(&crates().join("adieu/src")) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.to_string_lossy().replace('\\', "/");
        if !name.ends_with("rt/mod.rs") {
            for word in ["Instant::now()", "tokio::spawn", "sleep_until", ".spawn(async"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
        if !name.ends_with("transport/kernel.rs") {
            assert!(!text.contains("unsafe {"), "{name} has unsafe code");
        }
    }
}

fn imports_upward(src: &Path, floors: &[&[&str]]) -> Vec<String> {
    let floor = |module: &str| floors.iter().position(|floor| floor.contains(&module));
    let mut wrong = Vec::new();
    for path in sources(src) {
        let Some(own) = module_of(src, &path) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for other in line.split("crate::").skip(1) {
                let other: String = other.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = floor(&other).is_some();
                if known && other != own && floor(&other) >= floor(&own) {
                    wrong.push(format!("{}:{}: {own} imports {other}", path.display(), number + 1));
                }
            }
        }
    }
    wrong
}

/// The folder or file below `src` to which a source belongs; `None` for `lib.rs`.
fn module_of(src: &Path, path: &Path) -> Option<String> {
    let first = path.strip_prefix(src).unwrap().components().next()?;
    let name = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
    (name != "lib").then_some(name)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
