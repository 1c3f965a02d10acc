//! Ciphers that can be tapped: what rustls has no method for, they send and overhear.
//!
//! rustls decides by itself which alerts it sends, and sends tickets in the handshake only. A test wants to say. So each
//! cipher suite of the provider is wrapped: data written inside of [`disguised`] leaves as a record of another type, and
//! [`overheard`] tells what passed that rustls keeps to itself. Key, nonce and sequence number stay those of rustls.
//!
//! A suite is `'static` and knows no connection, so both go by way of the thread: a connection is played on one thread,
//! and both are called around one call into rustls.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock};

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage, Tls12AeadAlgorithm, Tls13AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite,
};

/// What passed under encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overheard {
    /// rustls sent an alert of this description.
    SentAlert(u8),
    /// The other side changed its keys.
    KeyUpdate,
}

/// Lets the data that `write` encrypts leave as one record of this type.
pub(crate) fn disguised<T>(as_type: ContentType, write: impl FnOnce() -> T) -> T {
    DISGUISE.set(Some(as_type));
    let outcome = write();
    DISGUISE.set(None);
    outcome
}

/// What passed on this thread since the last call.
pub(crate) fn overheard() -> Vec<Overheard> {
    OVERHEARD.take()
}

thread_local! {
    static DISGUISE: Cell<Option<ContentType>> = const { Cell::new(None) };
    static OVERHEARD: RefCell<Vec<Overheard>> = const { RefCell::new(Vec::new()) };
}

/// aws-lc-rs with each suite tapped.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    // Suites are `'static`: a handful is leaked, once in a process.
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        for suite in &mut provider.cipher_suites {
            *suite = tapped(*suite);
        }
        Arc::new(provider)
    });
    PROVIDER.clone()
}

fn tapped(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: Box::leak(Box::new(Tapped12(suite.aead_alg))),
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: Box::leak(Box::new(Tapped13(suite.aead_alg))),
                quic: suite.quic,
            })))
        }
    }
}

fn common(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: common.confidentiality_limit,
    }
}

struct Tapped12(&'static dyn Tls12AeadAlgorithm);

impl Tls12AeadAlgorithm for Tapped12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Encrypter(self.0.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter(self.0.decrypter(key, iv)))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

struct Tapped13(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Tapped13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Encrypter(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter(self.0.decrypter(key, iv)))
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

struct Encrypter(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        mut message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        if message.typ == ContentType::ApplicationData {
            if let Some(disguise) = DISGUISE.take() {
                message.typ = disguise;
            }
        } else if message.typ == ContentType::Alert
            && let Some(description) = message.payload.to_vec().get(1)
        {
            overhear(Overheard::SentAlert(*description));
        }
        self.0.encrypt(message, sequence)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}

struct Decrypter(Box<dyn MessageDecrypter>);

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let plain = self.0.decrypt(message, sequence)?;
        if plain.typ == ContentType::Handshake && plain.payload.first() == Some(&KEY_UPDATE) {
            overhear(Overheard::KeyUpdate);
        }
        Ok(plain)
    }
}

fn overhear(what: Overheard) {
    OVERHEARD.with_borrow_mut(|overheard| overheard.push(what));
}

/// RFC 8446, 4: `key_update(24)`.
const KEY_UPDATE: u8 = 24;
