//! `--report`: a JSON line for each request, and one for each connection that is gone.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use adieu::{CloseReport, ConnectionId};
use serde::Serialize;

use super::failure::Failure;
use crate::clock;
use crate::exit::Exit;

/// Where report lines go.
#[derive(Default)]
pub(super) struct Report {
    out: Option<Mutex<Box<dyn Write + Send>>>,
    /// The first line that could not be written: why.
    lost: OnceLock<Failure>,
}

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Request(RequestLine<'a>),
    Connection(&'a CloseReport),
}

/// How one request went.
#[derive(Serialize)]
pub(super) struct RequestLine<'a> {
    /// The number of this request, from 1; a redirect is a request of its own.
    n: u64,
    method: &'a str,
    url: &'a str,
    /// The response came whole, and with `--fail` it was no error.
    ok: bool,
    status: Option<u16>,
    error: Option<&'a str>,
    fate: Option<&'static str>,
    connection: Option<u64>,
    reused: bool,
    replays: u32,
    ms: f64,
}

/// What is known of a request when it is over.
pub(super) struct Ended<'a> {
    pub(super) n: u64,
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) status: Option<u16>,
    pub(super) failure: Option<&'a Failure>,
    pub(super) connection: Option<(ConnectionId, adieu::Use)>,
    pub(super) replays: u32,
    pub(super) took: Duration,
}

impl Report {
    /// Opens `path`, `-` being standard error; without a path nothing is written.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let to = |out: Box<dyn Write + Send>| Self { out: Some(Mutex::new(out)), ..Self::default() };
        let Some(path) = path else { return Ok(Self::default()) };
        if path == Path::new("-") {
            return Ok(to(Box::new(io::stderr())));
        }
        let file = File::create(path).map_err(|error| {
            Failure::before(Exit::USAGE, format!("opening {} for the report: {error}", path.display()))
        })?;
        Ok(to(Box::new(file)))
    }

    pub(super) fn request(&self, ended: &Ended<'_>) {
        self.write(&Line::Request(RequestLine {
            n: ended.n,
            method: ended.method,
            url: ended.url,
            ok: ended.failure.is_none(),
            status: ended.status,
            error: ended.failure.map(|failure| failure.what.as_str()),
            fate: ended.failure.map(|failure| failure.fate.code()),
            connection: ended.connection.map(|(id, _)| id.number()),
            reused: ended.connection.is_some_and(|(_, used)| used == adieu::Use::Reused),
            replays: ended.replays,
            ms: clock::millis(ended.took),
        }));
    }

    pub(super) fn connection(&self, report: &CloseReport) {
        self.write(&Line::Connection(report));
    }

    /// Why not all lines were written, if that is so.
    pub(super) fn lost(&self) -> Option<&Failure> {
        self.lost.get()
    }

    /// Each line in one piece, at once: whoever follows the file sees whole lines.
    fn write(&self, line: &Line<'_>) {
        let Some(out) = &self.out else { return };
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(&text).and_then(|()| out.flush())
        });
        if let Err(error) = written {
            self.lost.get_or_init(|| Failure::write(&error, "the report"));
        }
    }
}
