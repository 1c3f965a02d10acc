//! The flags of `adieu fetch`: curl's names where both programs have the thing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args, ValueEnum};

use super::later::LaterArgs;
use super::reach::ReachArgs;
use super::tls::TlsArgs;

/// What stands on the command line; `Plan` is what follows from it.
#[derive(Args)]
pub(crate) struct FetchArgs {
    /// What to fetch; without a scheme, http:// is put in front
    #[arg(required = true, value_name = "URL")]
    pub(super) urls: Vec<String>,

    /// The method
    #[arg(short = 'X', long = "request", value_name = "METHOD", help_heading = REQUEST)]
    pub(super) method: Option<String>,
    /// A header field; `Name:` leaves out one that is sent by default, `Name;` sends an empty one, @FILE reads lines
    #[arg(short = 'H', long = "header", value_name = "LINE", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) headers: Vec<String>,
    /// POSTs DATA, as a form; @FILE and @- read a file or standard input, without its newlines; several are joined by &
    #[arg(short = 'd', long = "data", visible_alias = "data-ascii", value_name = "DATA", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) data: Vec<String>,
    /// As --data, with newlines kept; a single @FILE is streamed
    #[arg(long = "data-binary", value_name = "DATA", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) data_binary: Vec<String>,
    /// PUTs FILE, streamed, to every URL; `-` is standard input, chunked. A URL that ends in / gets the file's name
    #[arg(short = 'T', long = "upload-file", value_name = "FILE", conflicts_with_all = ["data", "data_binary", "head"], help_heading = REQUEST)]
    pub(super) upload_file: Option<PathBuf>,
    /// Sends HEAD and prints the response head
    #[arg(short = 'I', long = "head", conflicts_with_all = ["data", "data_binary"], help_heading = REQUEST)]
    pub(super) head: bool,
    /// Basic credentials; they never follow a redirect to another origin
    #[arg(short = 'u', long = "user", value_name = "USER:PASSWORD", allow_hyphen_values = true, help_heading = REQUEST)]
    pub(super) user: Option<String>,
    /// Speaks HTTP/1.0
    #[arg(long = "http1.0", conflicts_with = "http11", help_heading = REQUEST)]
    pub(super) http10: bool,
    /// Speaks HTTP/1.1, as it does anyway
    #[arg(long = "http1.1", help_heading = REQUEST)]
    pub(super) http11: bool,

    /// Puts the response head before the body
    #[arg(short = 'i', long = "include", visible_alias = "show-headers", help_heading = RESPONSE)]
    pub(super) include: bool,
    /// Writes the body to FILE: the first -o is for the first URL, and so on; `-` is standard output
    #[arg(short = 'o', long = "output", value_name = "FILE", help_heading = RESPONSE)]
    pub(super) outputs: Vec<PathBuf>,
    /// Follows redirects: POST becomes GET on 301, 302 and 303 (also with -X), 307 and 308 keep all
    #[arg(short = 'L', long = "location", help_heading = RESPONSE)]
    pub(super) location: bool,
    /// The most redirects to follow; -1 is no limit
    #[arg(long = "max-redirs", value_name = "N", default_value_t = 50, allow_negative_numbers = true, help_heading = RESPONSE)]
    pub(super) max_redirs: i64,
    /// Fails with code 22, without the body, on a status of 400 or more
    #[arg(short = 'f', long = "fail", help_heading = RESPONSE)]
    pub(super) fail: bool,

    #[command(flatten)]
    pub(super) reach: ReachArgs,
    /// For each URL from beginning to end, redirects included [default: none]
    #[arg(short = 'm', long = "max-time", value_name = "S", value_parser = seconds, help_heading = CONNECTING)]
    pub(super) max_time: Option<Duration>,

    #[command(flatten)]
    pub(super) tls: TlsArgs,

    /// Fetches the list of URLs N times: all of that is one queue
    #[arg(long = "repeat", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), help_heading = QUEUE)]
    pub(super) repeat: u64,
    /// Pauses after each URL, at random within the range
    #[arg(long = "pause", value_name = "S[-S]", value_parser = pause, help_heading = QUEUE)]
    pub(super) pause: Option<Pause>,
    /// How many take from the queue at once, over connections that they share; mixes bodies on standard output
    #[arg(long = "parallel", value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), help_heading = QUEUE)]
    pub(super) parallel: u64,

    /// Which requests that failed are sent again; see below
    #[arg(long = "replay", value_name = "RULE", value_enum, default_value_t = Replay::Safe, help_heading = QUEUE)]
    pub(super) replay: Replay,

    /// How to close each connection at the end; see below
    #[arg(long = "close", value_name = "MODE", value_enum, default_value_t = Close::Graceful, help_heading = CLOSING)]
    pub(super) close: Close,
    /// How long an exchange in flight may go on after --close half
    #[arg(long = "drain", value_name = "S", default_value = "30", value_parser = seconds, help_heading = CLOSING)]
    pub(super) drain: Duration,
    /// How long to wait for the peer's end after our goodbye
    #[arg(long = "linger", value_name = "S", default_value = "2", value_parser = seconds, help_heading = CLOSING)]
    pub(super) linger: Duration,

    /// Writes a JSON line for each request and each connection to FILE; `-` is standard error
    #[arg(long = "report", value_name = "FILE", help_heading = TELLING)]
    pub(super) report: Option<PathBuf>,
    /// No progress bar, no error messages
    #[arg(short = 's', long = "silent", help_heading = TELLING)]
    pub(super) silent: bool,
    /// Error messages also with -s
    #[arg(short = 'S', long = "show-error", help_heading = TELLING)]
    pub(super) show_error: bool,
    /// Tells every step: names, addresses, proxies, TLS, heads, exchanges, how each connection leaves, its close report
    #[arg(short = 'v', long = "verbose", help_heading = TELLING)]
    pub(super) verbose: bool,

    #[command(flatten)]
    pub(super) later: LaterArgs,

    /// All of --data and --data-binary, in the order of the command line.
    #[arg(skip)]
    pub(super) payload: Vec<Payload>,
}

/// One `--data` or `--data-binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// Newlines of files are left out.
    Text(String),
    /// As it is.
    Binary(String),
}

/// `--replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Replay {
    Never,
    Proven,
    Safe,
    Idempotent,
}

/// `--close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Close {
    Graceful,
    Half,
    Now,
    Abort,
}

/// `--pause`: from, to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pause {
    from: Duration,
    to: Duration,
}

impl FetchArgs {
    /// Puts `--data` and `--data-binary` in the order of the command line, which two lists do not tell.
    pub(crate) fn keep_order(&mut self, matches: &ArgMatches) {
        let places = |name| matches.indices_of(name).into_iter().flatten();
        let text = places("data").zip(self.data.drain(..).map(Payload::Text));
        let mut payload: Vec<_> = text.collect();
        payload.extend(places("data_binary").zip(self.data_binary.drain(..).map(Payload::Binary)));
        payload.sort_by_key(|(place, _)| *place);
        self.payload = payload.into_iter().map(|(_, payload)| payload).collect();
    }
}

impl Pause {
    /// One pause, at random within the range.
    pub(super) fn draw(self) -> Duration {
        self.from + (self.to - self.from).mul_f64(fastrand::f64())
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "not a length of time".to_owned())
}

fn pause(text: &str) -> Result<Pause, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (seconds(from)?, seconds(to)?);
    if from > to {
        return Err("the second number is smaller than the first".to_owned());
    }
    Ok(Pause { from, to })
}

const REQUEST: &str = "The request";
const RESPONSE: &str = "The response";
const CONNECTING: &str = "Connecting";
const QUEUE: &str = "The queue";
const CLOSING: &str = "Closing";
const TELLING: &str = "Telling";

/// Stands at the end of `adieu fetch --help`.
pub(crate) const AFTER_HELP: &str = "\
Connections:
  A connection is kept and used again for every URL, redirect and repetition of its origin; there are as many at most
  as are fetched at once (--parallel). One that is gone is replaced, also under a request of which nothing was sent.
  At the end each is closed as --close says and awaited; --report tells how each one ended, also those that ended by
  themselves.

  --close graceful  say goodbye (FIN; over TLS close_notify, then FIN), wait for the peer's within --linger
  --close half      end our side while the last exchange of each connection is still in flight: its request is
                    finished, our goodbye is sent, the response is read. Servers may take that for a cancellation;
                    on TLS 1.2, which has no half-close, as graceful
  --close now       as graceful: at the end nothing is in flight. Ctrl-C closes like this at any time
  --close abort     reset (RST), say nothing

  A URL that is cut short (-m, --fail, a broken pipe) is closed as now by itself: an unread rest closes the
  connection, and a request that was cut short resets it.

Sending again:
  --replay never       no request is sent twice
  --replay proven      one that was certainly not processed: nothing of it was sent, its head not whole, or the server
                       had closed before it arrived, which Linux can tell
  --replay safe        the same; and GET, HEAD, OPTIONS, TRACE and what has an Idempotency-Key once more if they may have
                       been processed
  --replay idempotent  the same; and PUT and DELETE

  A time limit, a close or a violation is never a reason, nor an end after the first byte of a response; a body from a
  file or standard input comes only once. `fate` in the report says what became of a request that failed: not_sent,
  not_processed, unknown (it may have been processed) or answered.

Proxies:
  http:// (also where no scheme is named) and https:// forward plain requests and make tunnels for https (CONNECT).
  socks5:// is given addresses, socks5h:// names. Ports where none is named: 80, 443, 1080. Without -x the environment
  counts: http_proxy, https_proxy, all_proxy, no_proxy. What forwards can answer for itself: see the status (--fail).

TLS:
  https offers TLS 1.3 and 1.2, and http/1.1 by ALPN; sessions are resumed from one connection to the next. A
  certificate must be vouched for by the platform's authorities, or by those of --cacert alone. A response without
  a length that ends without close_notify may have been cut off by anybody: code 18.

Report lines, one a request (a redirect is one of its own) and one a connection, as each ends:
  {\"type\":\"request\",n,method,url,ok,status,error,fate,connection,reused,replays,ms}
  {\"type\":\"connection\",id,origin,protocol,tls,reason,began_by,ended,sent,received,layers,...}

Exit codes (several URLs: the last failure):
   2 usage, or a file that cannot be opened    28 timeout
   3 URL that cannot be fetched                35 TLS handshake failed
   5 proxy unreadable, or without an address   47 too many redirects
   6 host name without an address              52 not a byte of a response
   7 no connection                             55 sending failed
   8 bad response head                         56 receiving failed, or a proxy made no tunnel
  18 partial body                              58 --cert or --key not usable
  22 --fail, and a status of 400 or more       60 certificate not accepted
  23 the response cannot be written            77 authorities not usable
  97 SOCKS failed                             130 Ctrl-C

Known, but not there yet: --compressed, --http2, --http2-prior-knowledge, --trace.";
