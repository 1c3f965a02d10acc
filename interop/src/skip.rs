//! What becomes of a test whose program is not on this machine: a visible line, or a failure where `CI` is set.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where administrators' programs are, which the PATH of others may lack.
const MORE: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Looks for a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(MORE.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Looks for a program; without it the test is skipped.
#[track_caller]
pub(crate) fn need(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(&format!("no {program} on this machine"));
    }
    found
}

/// Tells that the test is skipped.
#[track_caller]
pub(crate) fn skip(why: &str) {
    let line = line(&test(), why);
    if is_forbidden(env::var_os("CI").as_deref()) {
        panic!("{line}, but CI is set");
    }
    tell(&line);
}

/// Tells that the test is skipped, and never fails: for what CI cannot install.
#[track_caller]
pub(crate) fn skip_even_in_ci(why: &str) {
    tell(&line(&test(), why));
}

fn tell(line: &str) {
    // The print macros are captured by the test harness, and forgotten when the test passes. This is not.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn line(test: &str, why: &str) -> String {
    format!("interop: SKIPPED {test}: {why}")
}

/// Whether a skip is a failure, going by the variable `CI`.
fn is_forbidden(ci: Option<&std::ffi::OsStr>) -> bool {
    ci.is_some_and(|value| !value.is_empty())
}

/// The name of the test, which is its thread's; where all run on one thread, where it is written.
#[track_caller]
fn test() -> String {
    let here = std::panic::Location::caller();
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", Path::new(here.file()).display(), here.line()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_told_in_one_line() {
        assert_eq!(
            line("plain::reuse", "no nginx on this machine"),
            "interop: SKIPPED plain::reuse: no nginx on this machine"
        );
        assert_eq!(test(), "skip::tests::a_skip_is_told_in_one_line");
    }

    #[test]
    fn where_ci_is_set_a_skip_is_a_failure() {
        assert!(is_forbidden(Some("true".as_ref())));
        assert!(!is_forbidden(Some("".as_ref())) && !is_forbidden(None));
    }

    #[test]
    fn a_program_is_found_where_it_is() {
        assert!(need("sh").unwrap().is_file());
    }
}
