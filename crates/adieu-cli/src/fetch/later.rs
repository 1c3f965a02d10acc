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
        flags.iter().find(|(given, _)| *given).map(|(_, flag)| (*flag).to_owned())
    }
}
