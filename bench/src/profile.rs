//! What callgrind wrote: how many instructions each function executed itself, and which of them are the cipher's.
//!
//! The cipher is what aws-lc executes: C and assembly of its own, told by the file that its line tables name, or by the
//! prefix of its symbols where assembly has none. Its wrapper in Rust, rustls, and the C library's `memcpy` on behalf of
//! either are not part of it.
//!
//! Of callgrind's format this reads: `fl=`, `fi=`, `fe=` (the file from here on), `fn=` (the function), lines of cost,
//! and `calls=`, whose following line is what the callee cost and is not the caller's own. Names are numbered and written
//! once: `fn=(7) main`, later `fn=(7)`.

use std::collections::{BTreeMap, HashMap};

/// Instructions by function.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Profile {
    functions: BTreeMap<(Place, String), u64>,
}

/// Whose a function is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    Cipher,
    Outside,
}

impl Profile {
    /// Of the text of one run; `None` if it is not understood, or does not add up to the total that it tells.
    pub(crate) fn read(output: &str) -> Option<Self> {
        let mut profile = Self::default();
        let (mut files, mut functions) = (Names::default(), Names::default());
        let (mut file, mut function) = ("", "");
        let mut lines = output.lines();
        while let Some(line) = lines.next() {
            if let Some((key, name)) = line.split_once('=') {
                match key {
                    "fl" | "fi" | "fe" => file = files.resolve(name)?,
                    "fn" => function = functions.resolve(name)?,
                    "cfi" | "cfl" => drop(files.resolve(name)?),
                    "cfn" => drop(functions.resolve(name)?),
                    "calls" => drop(lines.next()),
                    _ => {}
                }
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
                *profile.functions.entry((Place::of(function, file), function.to_owned())).or_default() +=
                    cost;
            }
        }
        (profile.total() == told_total(output)?).then_some(profile)
    }

    pub(crate) fn total(&self) -> u64 {
        self.functions.values().sum()
    }

    pub(crate) fn of(&self, place: Place) -> u64 {
        self.functions.iter().filter(|((its, _), _)| *its == place).map(|(_, cost)| cost).sum()
    }

    /// Of every function outside the cipher, in this run and in `longer`.
    pub(crate) fn outside<'a>(&'a self, longer: &'a Self) -> Vec<(&'a str, u64, u64)> {
        let mut both: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let outside = |profile: &'a Self| {
            (profile.functions.iter())
                .filter(|((place, _), _)| *place == Place::Outside)
                .map(|((_, name), cost)| (name.as_str(), *cost))
        };
        for (name, cost) in outside(self) {
            both.entry(name).or_default().0 = cost;
        }
        for (name, cost) in outside(longer) {
            both.entry(name).or_default().1 = cost;
        }
        both.into_iter().map(|(name, (short, long))| (name, short, long)).collect()
    }
}

impl Place {
    fn of(function: &str, file: &str) -> Self {
        if function.starts_with("aws_lc_") || file.contains("/aws-lc/") {
            Self::Cipher
        } else {
            Self::Outside
        }
    }
}

/// Names that were written once.
#[derive(Default)]
struct Names<'a>(HashMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    /// `(7) main` is new, `(7)` is known, and without a number a name stands for itself.
    fn resolve(&mut self, written: &'a str) -> Option<&'a str> {
        let Some(numbered) = written.strip_prefix('(') else { return Some(written) };
        let (number, name) = numbered.split_once(')')?;
        if let Some(name) = name.strip_prefix(' ') {
            self.0.insert(number, name);
        }
        self.0.get(number).copied()
    }
}

/// One event is collected, and its total is on the line `totals:`, or in older versions `summary:`.
fn told_total(output: &str) -> Option<u64> {
    let total = |key: &str| output.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    total("totals:").or_else(|| total("summary:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "\
# callgrind format
version: 1
positions: line
events: Ir
summary: 167

ob=(1) /bin/bench
fl=(1) /src/main.rs
fn=(1) main
10 5
+2 7
cob=(1)
cfi=(2) /aws-lc/crypto/gcm.c
cfn=(2) seal
calls=3 40
* 100
fi=(3) /src/inlined.rs
4 20
fe=(1)
-1 2

fl=(2)
fn=(2)
40 100

fl=(4) ???
fn=(3) aws_lc_0_47_0_aes_hw_encrypt
0 30
fn=(1)
0 3
";

    #[test]
    fn self_costs_go_to_their_functions_and_calls_to_nobody() {
        let profile = Profile::read(RUN).unwrap();
        assert_eq!((profile.total(), profile.of(Place::Cipher), profile.of(Place::Outside)), (167, 130, 37));
        assert_eq!(profile.outside(&profile), [("main", 37, 37)]);
    }

    #[test]
    fn a_total_that_differs_is_not_believed() {
        assert_eq!(Profile::read(&RUN.replace("summary: 167", "summary: 166")), None);
        assert_eq!(Profile::read(&RUN.replace("summary: 167", "")), None);
        assert!(
            Profile::read(&format!("{}totals: 167\n", RUN.replace("summary: 167", "summary: 1"))).is_some()
        );
    }

    #[test]
    fn a_function_of_one_run_only_costs_nothing_in_the_other() {
        let (short, long) = (Profile::default(), Profile::read(RUN).unwrap());
        assert_eq!(short.outside(&long), [("main", 0, 37)]);
        assert_eq!(long.outside(&short), [("main", 37, 0)]);
    }
}
