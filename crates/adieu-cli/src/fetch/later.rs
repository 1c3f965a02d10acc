//! Flags that the parser knows and the program does not have yet: each answers with one clear line.

use std::path::PathBuf;

use clap::Args;

/// The flags that do not exist yet.
#[derive(Args)]
pub(super) struct LaterArgs {
    #[arg(long, hide = true)]
    compressed: bool,
    #[arg(long, hide = true)]
    http2: bool,
    #[arg(long, hide = true)]
    http2_prior_knowledge: bool,
    #[arg(long, hide = true)]
    trace: Option<PathBuf>,
    #[arg(long, hide = true, value_parser = ["never", "proven", "safe", "idempotent"])]
    replay: Option<String>,
}

impl LaterArgs {
    /// The first of them that was given.
    pub(super) fn given(&self) -> Option<String> {
        let flags = [
            (self.compressed, "--compressed"),
            (self.http2, "--http2"),
            (self.http2_prior_knowledge, "--http2-prior-knowledge"),
            (self.trace.is_some(), "--trace"),
        ];
        if let Some((_, flag)) = flags.iter().find(|(given, _)| *given) {
            return Some((*flag).to_owned());
        }
        // Nothing is replayed today.
        let replay = self.replay.as_deref().filter(|mode| *mode != "never")?;
        Some(format!("--replay {replay}"))
    }
}
