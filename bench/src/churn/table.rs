//! The table of `churn`: a line for each client and method, printed as soon as it is known.

use super::measured::{Figures, Measured};

/// What is in the columns: a heading, and how wide it is.
const COLUMNS: [(&str, usize); 10] = [
    ("row", 29),
    ("client", 17),
    ("method", 6),
    ("requests", 8),
    ("failed", 6),
    ("processed", 9),
    ("twice", 5),
    ("replays", 7),
    ("opened", 6),
    ("seconds", 7),
];
/// So many of them are words, which begin where the column does; numbers end where it does.
const WORDS: usize = 3;

pub(crate) fn heading() -> String {
    line(&COLUMNS.map(|(heading, _)| heading.to_owned()), "failures")
}

/// The lines of one client in one row. What its connections and its time were is told once.
pub(crate) fn lines(measured: &Measured) -> Vec<String> {
    let opened = [measured.connections_opened.to_string(), String::new()];
    let seconds = [format!("{:.1}", measured.seconds), String::new()];
    let together = opened.into_iter().zip(seconds);
    let mut lines = Vec::new();
    for (figures, (opened, seconds)) in measured.methods.iter().zip(together) {
        let cells = [
            measured.row.to_string(),
            measured.client.to_string(),
            figures.method.name().to_owned(),
            figures.requests.to_string(),
            figures.failed.to_string(),
            figures.processed.to_string(),
            figures.processed_twice.to_string(),
            figures.replays.map_or_else(|| "-".to_owned(), |replays| replays.to_string()),
            opened,
            seconds,
        ];
        lines.push(line(&cells, &failures(figures)));
    }
    lines.extend(measured.broken.iter().map(|broken| format!("  must not be: {broken}")));
    lines
}

fn failures(figures: &Figures) -> String {
    let failures = figures.failures.iter().map(|(said, times)| format!("{times} {said}"));
    failures.collect::<Vec<_>>().join("; ")
}

fn line(cells: &[String; COLUMNS.len()], rest: &str) -> String {
    let mut line = String::new();
    for (index, (cell, (_, width))) in cells.iter().zip(COLUMNS).enumerate() {
        line.push_str(&match index {
            0..WORDS => format!("{cell:<width$}  "),
            _ => format!("{cell:>width$}  "),
        });
    }
    line.push_str(rest);
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::churn::contenders::Contender;
    use crate::churn::row::Row;

    #[test]
    fn words_and_numbers_stand_below_their_headings() {
        let cells = ["a", "b", "GET", "20", "0", "20", "0", "-", "9", "1.5"].map(str::to_owned);
        let (heading, line) = (heading(), line(&cells, "1 unknown Reset"));
        for (word, cell) in [("client", "b"), ("method", "GET"), ("failures", "1 unknown")] {
            assert_eq!(heading.find(word), line.find(cell));
        }
        assert_eq!(heading.find("seconds").unwrap() + 7, line.find("1.5").unwrap() + 3);
    }

    #[test]
    fn the_columns_are_wide_enough() {
        let widest = |names: &mut dyn Iterator<Item = String>| names.map(|name| name.len()).max().unwrap();
        assert_eq!(widest(&mut Row::all().map(|row| row.to_string())), COLUMNS[0].1);
        assert_eq!(widest(&mut Contender::value_variants().iter().map(ToString::to_string)), COLUMNS[1].1);
    }
}
