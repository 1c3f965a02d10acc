//! Closing on purpose, as the caller, the report and the peer see it.
//!
//! | file | what it shows |
//! |---|---|
//! | `matrix` | each mode at each moment of an exchange, over TCP, Unix sockets and opaque I/O |
//! | `carried` | uploads that outlive their response, upgrades, requests that wait; nothing spins |
//! | `gentle` | graceful and half: what still arrives, and how long it may take |
//! | `strict` | now and abort: at once, whoever polls or does not |
//! | `within` | from within hooks, bodies and wakers; callers that panic |
//! | `handles` | many closes, many threads, watching, asking |

mod carried;
mod gentle;
mod handles;
mod matrix;
mod strict;
mod within;
