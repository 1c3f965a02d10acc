//! The thread that accepts connections and gives each its script.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::clock::now;
use super::line::{Layer, SLICE};
use super::play::play;
use super::script::{Casting, Script};
use super::seen::Event;
use super::stage::{Log, Phase, Stage};
use super::wire::{Family, Wire};

/// What the thread needs to know.
pub(super) struct Listen {
    pub(super) listener: Socket,
    pub(super) family: Family,
    /// What is put over every connection before its script begins.
    pub(super) layer: Option<Arc<dyn Layer>>,
    pub(super) cast: Cast,
    pub(super) stage: Arc<Stage>,
    pub(super) patience: Duration,
    pub(super) max_connections: usize,
}

/// The scripts, in the order in which they are handed out.
pub(super) struct Cast {
    scripts: std::vec::IntoIter<Arc<Script>>,
    repeated: Option<Arc<Script>>,
}

impl Cast {
    /// Fails unless there is a script, and only the last is repeated.
    pub(super) fn new(mut scripts: Vec<Script>) -> io::Result<Self> {
        let Some(last) = scripts.pop_if(|last| last.casting == Casting::EveryFurther) else {
            return Self::of(scripts, None);
        };
        Self::of(scripts, Some(last))
    }

    fn of(scripts: Vec<Script>, repeated: Option<Script>) -> io::Result<Self> {
        if scripts.is_empty() && repeated.is_none() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a peer needs a script"));
        }
        if scripts.iter().any(|script| script.casting == Casting::EveryFurther) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "only the last script can be repeated"));
        }
        let scripts: Vec<_> = scripts.into_iter().map(Arc::new).collect();
        Ok(Self { scripts: scripts.into_iter(), repeated: repeated.map(Arc::new) })
    }

    fn next(&mut self) -> Option<Arc<Script>> {
        self.scripts.next().or_else(|| self.repeated.clone())
    }

    /// How many scripts still have to be played.
    fn owed(&self) -> usize {
        self.scripts.len()
    }
}

impl Listen {
    /// Sets the listener up for [`Listen::run`].
    ///
    /// Linux lets a blocking accept time out; elsewhere the thread asks and sleeps in turns.
    pub(super) fn prepare(listener: &Socket) -> io::Result<()> {
        if cfg!(target_os = "linux") {
            listener.set_read_timeout(Some(SLICE))
        } else {
            listener.set_nonblocking(true)
        }
    }

    /// Accepts until the peer finishes or is dropped. On finishing, who stands in the queue is still let in.
    pub(super) fn run(self) {
        // Declared first, dropped last: whatever happens, the listening socket is closed before this is told.
        let _told = NobodyListens(self.stage.clone());
        let mut listen = self;
        listen.accept_all();
        listen.tell_unplayed();
    }

    fn accept_all(&mut self) {
        let mut finishing: Option<Instant> = None;
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => self.admit(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !cfg!(target_os = "linux") {
                        thread::sleep(Duration::from_millis(1));
                    }
                    if finishing.is_some_and(|since| {
                        self.cast.owed() == 0 || now().duration_since(since) >= self.patience
                    }) {
                        break;
                    }
                }
                Err(error) if is_passing(error.kind()) => {}
                Err(error) => {
                    self.stage.fail(format!("accepting failed: {error}"));
                    break;
                }
            }
            match self.stage.phase() {
                Phase::Dropped => break,
                Phase::Finishing => finishing = finishing.or_else(|| Some(now())),
                Phase::Running | Phase::Released => {}
            }
        }
    }

    fn admit(&mut self, socket: Socket) {
        if self.stage.accepted() >= self.max_connections {
            self.stage
                .fail(format!("a connection beyond the limit of {} was turned away", self.max_connections));
            turn_away(socket);
            return;
        }
        let Some(script) = self.cast.next() else {
            let mut log = self.stage.admit(0);
            turn_away(socket);
            log.push(Event::SentReset);
            log.push(Event::Failed("no script is left for this connection".to_owned()));
            return;
        };
        let log = self.stage.admit(script.keep);
        self.start(socket, script, log);
    }

    fn start(&self, socket: Socket, script: Arc<Script>, mut log: Log) {
        let wire = match Wire::new(socket, self.family) {
            Ok(wire) => wire,
            Err(error) => {
                log.push(Event::Failed(format!("setting up the socket: {error}")));
                return;
            }
        };
        let layer = self.layer.clone();
        let spawned = thread::Builder::new()
            .name("peer connection".into())
            .spawn(move || play(Box::new(wire), layer.as_deref(), &script, log));
        if let Err(error) = spawned {
            self.stage.fail(format!("no thread for a connection: {error}"));
        }
    }

    fn tell_unplayed(&self) {
        let came = match self.stage.accepted() {
            1 => "1 connection came".to_owned(),
            count => format!("{count} connections came"),
        };
        match self.cast.owed() {
            0 => {}
            1 => self.stage.fail(format!("1 script was never played: {came}")),
            owed => self.stage.fail(format!("{owed} scripts were never played: {came}")),
        }
    }
}

/// Tells, when dropped, that nobody listens any more.
struct NobodyListens(Arc<Stage>);

impl Drop for NobodyListens {
    fn drop(&mut self) {
        self.0.stop_listening();
    }
}

/// Errors of accept that belong to a connection which is gone already.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

fn turn_away(socket: Socket) {
    // What fails here is a socket that is gone, which is what we want.
    let _gone = socket.set_linger(Some(Duration::ZERO));
}
