//! A server's directory and its port.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::Identity;

/// A directory for one server, gone with it. Others may read it: a server may give up root.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let everyone = Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix("interop-").permissions(everyone).tempdir().unwrap();
        fs::create_dir(folder.path().join(DOCUMENTS)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file; `{dir}` in its text becomes this directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.file(name);
        fs::write(&file, text.replace("{dir}", &self.path().display().to_string())).unwrap();
        file
    }

    /// Writes something to be served.
    pub(crate) fn document(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(DOCUMENTS).join(name), bytes).unwrap();
    }

    /// Writes a certificate and its key: `cert.pem`, `key.pem`, and both in `both.pem`.
    pub(crate) fn identity(&self, identity: &Identity) {
        self.write("cert.pem", identity.certificate());
        self.write("key.pem", identity.key());
        self.write("both.pem", &format!("{}{}", identity.certificate(), identity.key()));
    }

    /// Whether this is root: then a server would change to another user.
    pub(crate) fn is_roots(&self) -> bool {
        fs::metadata(self.path()).unwrap().uid() == 0
    }
}

/// What is served lies here.
pub(crate) const DOCUMENTS: &str = "www";

/// A port that stays free for a server.
///
/// A socket is bound to it, so that nobody is given it by chance, and never listens, so that a server may (both allow
/// that by SO_REUSEADDR).
pub(crate) struct Port {
    _held: Socket,
    address: SocketAddr,
}

impl Port {
    pub(crate) fn free() -> Self {
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        held.set_reuse_address(true).unwrap();
        held.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = held.local_addr().unwrap().as_socket().unwrap();
        Self { _held: held, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
