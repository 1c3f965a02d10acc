//! Ctrl-C: the first closes everything in order, the second ends the program where it stands.

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::exit::Exit;

/// Whether Ctrl-C came.
pub(super) struct Interrupt {
    seen: watch::Receiver<Pressed>,
    /// Dropped with it.
    _listener: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    No,
    Once,
}

impl Interrupt {
    /// Listens from now on.
    pub(super) fn listen() -> Self {
        let (tell, seen) = watch::channel(Pressed::No);
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                tell.send_replace(Pressed::Once);
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(Exit::INTERRUPTED.into());
                }
            }
            // Without signals there is nothing to tell, ever.
            std::future::pending::<()>().await;
        });
        Self { seen, _listener: listener }
    }

    /// Whether it came.
    pub(super) fn has_come(&self) -> bool {
        *self.seen.borrow() == Pressed::Once
    }

    /// Waits for it; done at once if it came before.
    pub(super) async fn came(&self) {
        let mut seen = self.seen.clone();
        if seen.wait_for(|pressed| *pressed == Pressed::Once).await.is_err() {
            std::future::pending().await
        }
    }
}
