//! From the command line to a plan: everything is checked here, once.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adieu::CloseMode;
use adieu::transport::tls::TlsBuilder;
use bytes::Bytes;
use http::{HeaderValue, Method, Version};

use super::args::{Close, FetchArgs, Pause, Payload, Replay};
use super::draft::{Draft, Field};
use super::failure::Failure;
use super::progress::Bars;
use super::reach::Reach;
use super::redirect::Follow;
use super::target::Target;
use super::tls;
use super::upload::Source;
use super::voice::{Voice, Volume};
use crate::exit::Exit;

/// What is to be done.
pub(super) struct Plan {
    pub(super) jobs: Vec<Job>,
    pub(super) repeat: u64,
    pub(super) parallel: usize,
    pub(super) pause: Option<Pause>,
    pub(super) draft: Draft,
    pub(super) reach: Reach,
    pub(super) tls: TlsBuilder,
    pub(super) follow: Follow,
    pub(super) heads: Heads,
    pub(super) errors: StatusErrors,
    /// `-m`
    pub(super) limit: Option<Duration>,
    pub(super) close: CloseMode,
    pub(super) replay: adieu::Replay,
}

/// One URL of the list.
pub(super) struct Job {
    /// A URL that cannot be fetched fails in its turn.
    pub(super) target: Result<Target, Failure>,
    /// As typed, for reports of what is no URL.
    pub(super) typed: String,
    pub(super) output: Whereto,
}

/// Where a body goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whereto {
    Stdout,
    File(PathBuf),
}

/// Whether response heads are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    Hidden,
    Shown,
}

/// What becomes of a status of 400 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusErrors {
    /// It is a response like others.
    Taken,
    /// `--fail`
    Fail,
}

/// Who speaks, and how loudly.
pub(super) fn voice(args: &FetchArgs) -> Voice {
    let volume = |on: bool| if on { Volume::On } else { Volume::Off };
    let bars = if args.silent || args.verbose { Bars::none() } else { Bars::on_terminal() };
    Voice::new(volume(!args.silent || args.show_error), volume(args.verbose), bars)
}

impl Whereto {
    /// Whether people read standard output along.
    pub(super) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }
}

impl Plan {
    /// Checks everything that can be checked before the first connection.
    pub(super) fn new(args: &FetchArgs) -> Result<Self, Failure> {
        Ok(Self {
            jobs: jobs(args),
            repeat: args.repeat,
            parallel: usize::try_from(args.parallel).unwrap_or(usize::MAX),
            pause: args.pause,
            draft: draft(args)?,
            reach: Reach::new(&args.reach)?,
            tls: tls::settings(&args.tls)?,
            follow: match u64::try_from(args.max_redirs) {
                _ if !args.location => Follow::Never,
                Ok(most) => Follow::UpTo(most),
                Err(_) => Follow::Always,
            },
            heads: if args.include || args.head { Heads::Shown } else { Heads::Hidden },
            errors: if args.fail { StatusErrors::Fail } else { StatusErrors::Taken },
            limit: args.max_time.filter(|limit| !limit.is_zero()),
            close: close_mode(args),
            replay: match args.replay {
                Replay::Never => adieu::Replay::Never,
                Replay::Proven => adieu::Replay::Proven,
                Replay::Safe => adieu::Replay::Safe,
                Replay::Idempotent => adieu::Replay::Idempotent,
            },
        })
    }
}

fn jobs(args: &FetchArgs) -> Vec<Job> {
    let upload_name = args.upload_file.as_deref().filter(|path| *path != Path::new("-"));
    let upload_name = upload_name.and_then(Path::file_name).map(|name| name.to_string_lossy());
    let mut outputs = args.outputs.iter();
    let job = |typed: &String| {
        let target = Target::parse(typed);
        Job {
            target: match &upload_name {
                Some(name) => target.and_then(|target| target.with_file_name(name)),
                None => target,
            },
            typed: typed.clone(),
            output: match outputs.next() {
                Some(path) if path != Path::new("-") => Whereto::File(path.clone()),
                _ => Whereto::Stdout,
            },
        }
    };
    args.urls.iter().map(job).collect()
}

fn close_mode(args: &FetchArgs) -> CloseMode {
    let mode = match args.close {
        Close::Graceful => CloseMode::graceful(),
        Close::Half => CloseMode::half(),
        Close::Now => CloseMode::now(),
        Close::Abort => CloseMode::abort(),
    };
    mode.drain(args.drain).linger(args.linger)
}

fn draft(args: &FetchArgs) -> Result<Draft, Failure> {
    let source = match &args.upload_file {
        Some(path) => Source::file(path)?,
        None => payload(&args.payload)?,
    };
    let posts = !args.payload.is_empty();
    let method = match &args.method {
        Some(method) => Method::from_bytes(method.as_bytes())
            .map_err(|_| Failure::before(Exit::USAGE, format!("-X {method:?} is no method")))?,
        None if args.head => Method::HEAD,
        None if args.upload_file.is_some() => Method::PUT,
        None if posts => Method::POST,
        None => Method::GET,
    };
    Ok(Draft {
        method,
        version: if args.http10 { Version::HTTP_10 } else { Version::HTTP_11 },
        fields: fields(&args.headers)?,
        source,
        content_type: posts.then(|| HeaderValue::from_static("application/x-www-form-urlencoded")),
        user: args.user.as_ref().map(|user| match user.contains(':') {
            true => user.clone().into_bytes(),
            false => format!("{user}:").into_bytes(),
        }),
    })
}

fn fields(lines: &[String]) -> Result<Vec<Field>, Failure> {
    let mut fields = Vec::new();
    for line in lines {
        let Some(path) = line.strip_prefix('@') else {
            fields.push(Field::parse(line)?);
            continue;
        };
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            fields.push(Field::parse(line)?);
        }
    }
    Ok(fields)
}

/// What `-d` and `--data-binary` say, joined by `&`; a single binary file is streamed.
fn payload(parts: &[Payload]) -> Result<Source, Failure> {
    if let [Payload::Binary(only)] = parts
        && let Some(path) = only.strip_prefix('@').filter(|path| *path != "-")
    {
        return Source::file(Path::new(path));
    }
    let mut whole = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            whole.push(b'&');
        }
        match part {
            Payload::Text(text) => match text.strip_prefix('@') {
                Some(path) => whole.extend(read(path)?.into_iter().filter(|byte| !b"\r\n\0".contains(byte))),
                None => whole.extend_from_slice(text.as_bytes()),
            },
            Payload::Binary(text) => match text.strip_prefix('@') {
                Some(path) => whole.extend(read(path)?),
                None => whole.extend_from_slice(text.as_bytes()),
            },
        }
    }
    Ok(if parts.is_empty() { Source::Empty } else { Source::Bytes(Bytes::from(whole)) })
}

/// A whole file; `-` is standard input.
fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    let read = match path {
        "-" => io::stdin().read_to_end(&mut whole).map(|_| ()),
        path => fs::read(path).map(|bytes| whole = bytes),
    };
    read.map_err(|error| Failure::before(Exit::USAGE, format!("reading {path}: {error}")))?;
    Ok(whole)
}
