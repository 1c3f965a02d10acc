//! What a server processed, by its own log: a line of status and number for each request.

use std::collections::HashMap;

use super::traffic::{Method, Number};

/// How often each request was processed; of those that never were nothing is known.
pub(crate) struct Processed(HashMap<Number, u32>);

/// Reads a log. Requests that a server refused, as it does with what it could not read whole, are not processed.
pub(crate) fn read(log: &str) -> Processed {
    let mut times = HashMap::new();
    for line in log.lines() {
        if let Some(("200", number)) = line.split_once(' ')
            && let Ok(number) = number.parse()
        {
            *times.entry(Number(number)).or_default() += 1;
        }
    }
    Processed(times)
}

impl Processed {
    pub(crate) fn has(&self, number: Number) -> bool {
        self.0.contains_key(&number)
    }

    /// How many requests of a method were processed at least so often.
    pub(crate) fn at_least(&self, times: u32, method: Method) -> u64 {
        self.0.iter().filter(|&(number, &often)| number.method() == method && often >= times).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_what_was_processed_and_what_more_than_once() {
        let processed = read("200 0\n200 1\n200 2\n400 4\n200 2\n200 3\n499 5\n200 -\nbroken");
        let figures = [Method::Get, Method::Post]
            .map(|method| [processed.at_least(1, method), processed.at_least(2, method)]);
        assert_eq!(figures, [[2, 1], [2, 0]]);
        assert!(processed.has(Number(3)) && !processed.has(Number(4)));
    }
}
