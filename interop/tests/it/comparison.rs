//! `docs/comparison.md` says which test shows what: each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: usize = 102;

#[test]
fn each_row_has_an_answer_and_each_test_that_it_names_exists() {
    let page = fs::read_to_string(root().join("docs/comparison.md")).unwrap();
    let known: BTreeSet<_> = PACKAGES.into_iter().flat_map(tests_of).collect();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| # ")) {
        rows += 1;
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, answer, shown] = cells[..] else { panic!("not a row: {line}") };
        assert_eq!(number, rows.to_string(), "{line}");
        assert!(["yes", "partly", "no"].contains(&answer), "{line}");
        let named: Vec<_> = shown.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
        assert_eq!(answer == "no", named.is_empty(), "{line}");
        for name in named {
            assert!(known.contains(name), "there is no test {name}");
        }
    }
    assert_eq!(rows, ROWS);
}

const PACKAGES: [&str; 4] = ["adieu", "adieu-proto", "adieu-testkit", "interop"];

/// The tests of a package, each by package, modules and name, as `adieu::client::closing::one_connection_can_be_closed`.
fn tests_of(package: &str) -> BTreeSet<String> {
    let folder =
        if package == "interop" { root().join(package) } else { root().join("crates").join(package) };
    let mut tests = BTreeSet::new();
    for top in ["src", "tests/it"].map(|top| folder.join(top)) {
        for file in sources(&top) {
            let within = file.strip_prefix(&top).unwrap().with_extension("");
            let modules =
                within.iter().map(|module| module.to_str().unwrap()).filter(|module| *module != "mod");
            let place = [package].into_iter().chain(modules).collect::<Vec<_>>().join("::");
            let text = fs::read_to_string(&file).unwrap();
            tests.extend(names_in(&text).map(|name| format!("{place}::{name}")));
        }
    }
    tests
}

/// The tests in a file: functions with an attribute that says so, and scenes that are played in several ways.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let attribute = |attribute: &str| {
        let after = text.match_indices(attribute).map(|(at, _)| &text[at..]).collect::<Vec<_>>();
        after.into_iter().filter_map(|after| after.split_once("fn ")?.1.split('(').next())
    };
    let scenes = ["each_way!(", "all_ways!("].into_iter().flat_map(|list| text.split(list).skip(1));
    let scenes = scenes.flat_map(|list| list.split(')').next().unwrap_or_default().split(',').map(str::trim));
    attribute("\n#[test]").chain(attribute("\n#[tokio::test")).chain(scenes).collect::<Vec<_>>().into_iter()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
