//! What a program said, and a wait for what it will say.

use std::io::Read;
use std::time::Duration;

use tokio::sync::watch;

/// What a server says comes within this time or not at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a program has said so far: its standard output and error, and what it logs.
#[derive(Clone, Debug)]
pub struct Output {
    said: watch::Receiver<Vec<u8>>,
    whose: &'static str,
}

impl Output {
    /// Reads on from `pipe`, on a thread of its own, until all who could write to it are gone.
    pub(crate) fn of(whose: &'static str, mut pipe: impl Read + Send + 'static) -> Self {
        let (say, said) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = pipe.read(&mut buffer) {
                say.send_modify(|said| said.extend_from_slice(&buffer[..bytes]));
            }
        });
        Self { said, whose }
    }

    /// All of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.borrow()).into_owned()
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.said.borrow().clone()
    }

    /// How many times it says this.
    #[must_use]
    pub fn count(&self, wanted: &str) -> usize {
        self.text().matches(wanted).count()
    }

    /// Waits until it says this.
    ///
    /// # Panics
    ///
    /// If it does not, or stops talking.
    pub async fn until(&self, wanted: &str) {
        self.until_times(wanted, 1).await;
    }

    /// Waits until it has said this so many times.
    ///
    /// # Panics
    ///
    /// If it does not, or stops talking.
    pub async fn until_times(&self, wanted: &str, times: usize) {
        let came = self.says(wanted, times).await;
        assert!(came, "{} did not say {wanted:?} {times} times but:\n{}", self.whose, self.text());
    }

    /// Whether it says this so many times, in the end.
    pub(crate) async fn says(&self, wanted: &str, times: usize) -> bool {
        let mut said = self.said.clone();
        let wait = said.wait_for(|said| count(said, wanted.as_bytes()) >= times);
        matches!(tokio::time::timeout(PATIENCE, wait).await, Ok(Ok(_)))
    }
}

fn count(said: &[u8], wanted: &[u8]) -> usize {
    said.windows(wanted.len()).filter(|window| *window == wanted).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_said_and_what_is_said_later_are_both_heard() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let output = Output::of("a test", reader);
        std::io::Write::write_all(&mut writer, b"ready\n").unwrap();
        output.until("ready").await;
        let (again, ()) = tokio::join!(output.until_times("ready", 2), async {
            std::io::Write::write_all(&mut writer, b"ready\n").unwrap();
        });
        assert_eq!((again, output.count("ready")), ((), 2));
    }

    #[tokio::test]
    #[should_panic(expected = "a test did not say \"ready\" 1 times but:\nsorry")]
    async fn what_is_never_said_is_a_failure_with_what_was_said_instead() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let output = Output::of("a test", reader);
        std::io::Write::write_all(&mut writer, b"sorry").unwrap();
        drop(writer);
        output.until("ready").await;
    }
}
