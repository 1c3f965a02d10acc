//! What a person reads: tables, with colours only on a terminal; and what a program reads: one JSON object.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use crate::Error;
use crate::count::{Counted, PerRequest};
use crate::idle::Idled;
use crate::rounds::{Spread, Timed};
use crate::row::Security;
use crate::targets::{Figure, Verdict};

/// Everything that was measured, as one object.
pub(crate) fn json(timed: &[Timed], counted: &[Counted], idled: Option<&Idled>) -> Result<(), Error> {
    let mut all = serde_json::Map::new();
    if !timed.is_empty() {
        all.insert("rounds".to_owned(), serde_json::to_value(timed)?);
    }
    if !counted.is_empty() {
        all.insert("counts".to_owned(), serde_json::to_value(counted)?);
    }
    if let Some(idled) = idled {
        all.insert("idle".to_owned(), serde_json::to_value(idled)?);
    }
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}

pub(crate) fn rounds(timed: &[Timed]) {
    for row in timed {
        let rounds = row.clients.first().map_or(0, |client| client.turns.len());
        let mut table = Table::new(
            format!("{}, {} connections, {rounds} rounds", row.row.about(), row.connections),
            &["", "median", "range"],
        );
        for client in &row.clients {
            table.spread(format!("{} requests/s", client.client), client.requests_per_second, thousands);
        }
        for ratio in &row.ratios {
            table.emphasised();
            table.spread(format!("{}/{}", ratio.of, ratio.to), ratio.throughput, fraction);
        }
        table.print();
        verdicts(&row.verdicts);
    }
}

pub(crate) fn counts(counted: &[Counted]) {
    for row in counted {
        let Some((first, others)) = row.clients.split_first() else { continue };
        let ratios: Vec<String> =
            others.iter().map(|other| format!("{}/{}", first.client, other.client)).collect();
        let mut columns = vec![""];
        columns.extend(row.clients.iter().map(|client| client.client.name()));
        columns.extend(ratios.iter().map(String::as_str));
        let title = format!(
            "{}, {} connections, per request of {}",
            row.row.about(),
            row.connections,
            thousands(row.requests as f64)
        );
        let mut table = Table::new(title, &columns);
        let mut line = |name: &str, show: fn(f64) -> String, figure: &dyn Fn(&PerRequest) -> Option<f64>| {
            let figures: Vec<Option<f64>> = row.clients.iter().map(figure).collect();
            let mut cells = vec![name.to_owned()];
            cells.extend(figures.iter().map(|figure| figure.map_or_else(|| "-".to_owned(), show)));
            cells.extend(figures[1..].iter().map(|other| match (figures[0], *other) {
                (Some(first), Some(other)) if other >= NEGLIGIBLE => fraction(first / other),
                _ => "-".to_owned(),
            }));
            table.line(cells);
        };
        line("instructions", thousands, &|client| client.figure(Figure::Instructions));
        if row.row.security() == Security::Tls {
            line("  cipher", thousands, &|client| Some(client.instructions.as_ref()?.cipher));
            line("  outside the cipher", thousands, &|client| client.figure(Figure::OutsideCipher));
        }
        line("allocations", fraction, &|client| client.figure(Figure::Allocations));
        line("allocated bytes", thousands, &|client| Some(client.allocated_bytes));
        line("system calls", fraction, &|client| client.figure(Figure::SystemCalls));
        let names: BTreeSet<&str> =
            (row.clients.iter().filter_map(|client| client.system_calls.as_ref()).flatten())
                .filter(|(_, calls)| calls.abs() >= NEGLIGIBLE)
                .map(|(name, _)| name.as_str())
                .collect();
        for name in names {
            line(&format!("  {name}"), fraction, &|client| {
                Some(client.system_calls.as_ref()?.get(name).copied().unwrap_or(0.0))
            });
        }
        table.print();
        verdicts(&row.verdicts);
        for client in &row.clients {
            functions(client);
        }
        notes(&row.notes);
    }
}

pub(crate) fn idle(idled: &Idled) {
    let columns = ["", "sockets", "heap", "above bare", "resident", "above bare"];
    let title = format!("{} idle connections, bytes for each", thousands(f64::from(idled.connections)));
    let mut table = Table::new(title, &columns);
    for cost in &idled.clients {
        let above = |bytes: Option<f64>| bytes.map_or_else(|| "-".to_owned(), thousands);
        table.line(vec![
            cost.client.to_string(),
            thousands(cost.sockets as f64),
            thousands(cost.heap),
            above(cost.heap_above_bare),
            thousands(cost.resident),
            above(cost.resident_above_bare),
        ]);
    }
    table.print();
    let columns = ["", "CPU ms", "context switches", "system calls"];
    let title = format!("their work while nothing happens for {} seconds, together", idled.quiet_seconds);
    let mut table = Table::new(title, &columns);
    for cost in &idled.clients {
        let calls = cost.system_calls.as_ref().map(|calls| calls.values().sum::<u64>().to_string());
        table.line(vec![
            cost.client.to_string(),
            fraction(cost.cpu_seconds * 1e3),
            cost.context_switches.to_string(),
            calls.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.print();
    verdicts(&idled.verdicts);
    notes(&idled.notes);
}

fn verdicts(verdicts: &[Verdict]) {
    let coloured = std::io::stdout().is_terminal();
    for Verdict { target, measured, met } in verdicts {
        let (style, met) = if *met { ("32", "met") } else { ("31", "missed") };
        let met = if coloured { format!("\x1b[{style}m{met}\x1b[0m") } else { met.to_owned() };
        println!("  {target}: {}, {met}", fraction(*measured));
    }
}

fn notes(notes: &[String]) {
    for note in notes {
        println!("{note}");
    }
}

fn functions(client: &PerRequest) {
    let functions = client.instructions.iter().flat_map(|instructions| &instructions.functions);
    let mut table =
        Table::new(format!("{}, outside the cipher", client.client), &["function", "instructions"]);
    for function in functions {
        table.line(vec![function.name.clone(), thousands(function.instructions)]);
    }
    if table.lines.len() > 1 {
        table.print();
    }
}

struct Table {
    title: String,
    lines: Vec<(Style, Vec<String>)>,
    next: Style,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Style {
    Plain,
    Faint,
    Emphasised,
}

impl Table {
    fn new(title: String, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title, lines: vec![(Style::Faint, columns)], next: Style::Plain }
    }

    /// The next line is what matters.
    fn emphasised(&mut self) {
        self.next = Style::Emphasised;
    }

    fn spread(&mut self, name: String, spread: Spread, show: fn(f64) -> String) {
        self.line(vec![name, show(spread.median), format!("{} - {}", show(spread.low), show(spread.high))]);
    }

    fn line(&mut self, cells: Vec<String>) {
        self.lines.push((self.next, cells));
        self.next = Style::Plain;
    }

    fn print(&self) {
        let coloured = std::io::stdout().is_terminal();
        let paint = |style: &str, text: &str| {
            if coloured { println!("\x1b[{style}m{text}\x1b[0m") } else { println!("{text}") }
        };
        let columns = self.lines.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let width =
            |column: usize| self.lines.iter().filter_map(|(_, cells)| cells.get(column)?.len().into()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        println!();
        paint("1", &self.title);
        for (style, cells) in &self.lines {
            let mut text = String::new();
            for (index, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                match index {
                    0 => text.push_str(&format!("  {cell:<width$}")),
                    _ => text.push_str(&format!("  {cell:>width$}")),
                }
            }
            match style {
                Style::Plain => println!("{text}"),
                Style::Faint => paint("2", &text),
                Style::Emphasised => paint("36", &text),
            }
        }
    }
}

fn fraction(number: f64) -> String {
    format!("{number:.2}")
}

fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::from(if number <= -0.5 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Fewer per request are what the two runs did not share by chance.
const NEGLIGIBLE: f64 = 0.005;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0.4, 999.0, 1000.0, 1_234_567.4, -1500.0].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-1,500"]);
    }
}
