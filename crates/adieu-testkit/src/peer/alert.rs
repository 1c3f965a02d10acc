//! The alerts of TLS, by their names.

use std::fmt;

/// The description of a TLS alert (RFC 8446, 6). It prints as in the RFC.
///
/// ```
/// use adieu_testkit::peer::Alert;
///
/// assert_eq!(Alert::BAD_CERTIFICATE.to_string(), "bad_certificate");
/// assert_eq!(Alert::from(42), Alert::BAD_CERTIFICATE);
/// assert_eq!(Alert::from(200).to_string(), "200");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert(u8);

impl Alert {
    /// Its number on the wire.
    ///
    /// ```
    /// # use adieu_testkit::peer::Alert;
    /// assert_eq!(Alert::UNKNOWN_CA.code(), 48);
    /// ```
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The name that the RFC gives it.
    ///
    /// ```
    /// # use adieu_testkit::peer::Alert;
    /// assert_eq!(Alert::from(80).name(), Some("internal_error"));
    /// assert_eq!(Alert::from(200).name(), None);
    /// ```
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(alert, _)| *alert == self).map(|(_, name)| *name)
    }
}

macro_rules! alerts {
    ($($constant:ident = $code:literal, $name:literal;)*) => {
        /// The alerts that have a name.
        impl Alert {
            $(
                #[doc = concat!("`", $name, "`, ", $code, ".")]
                pub const $constant: Self = Self($code);
            )*
        }

        const NAMES: &[(Alert, &str)] = &[$((Alert::$constant, $name)),*];
    };
}

alerts! {
    CLOSE_NOTIFY = 0, "close_notify";
    UNEXPECTED_MESSAGE = 10, "unexpected_message";
    BAD_RECORD_MAC = 20, "bad_record_mac";
    RECORD_OVERFLOW = 22, "record_overflow";
    HANDSHAKE_FAILURE = 40, "handshake_failure";
    BAD_CERTIFICATE = 42, "bad_certificate";
    UNSUPPORTED_CERTIFICATE = 43, "unsupported_certificate";
    CERTIFICATE_REVOKED = 44, "certificate_revoked";
    CERTIFICATE_EXPIRED = 45, "certificate_expired";
    CERTIFICATE_UNKNOWN = 46, "certificate_unknown";
    ILLEGAL_PARAMETER = 47, "illegal_parameter";
    UNKNOWN_CA = 48, "unknown_ca";
    ACCESS_DENIED = 49, "access_denied";
    DECODE_ERROR = 50, "decode_error";
    DECRYPT_ERROR = 51, "decrypt_error";
    PROTOCOL_VERSION = 70, "protocol_version";
    INSUFFICIENT_SECURITY = 71, "insufficient_security";
    INTERNAL_ERROR = 80, "internal_error";
    INAPPROPRIATE_FALLBACK = 86, "inappropriate_fallback";
    USER_CANCELED = 90, "user_canceled";
    NO_RENEGOTIATION = 100, "no_renegotiation";
    MISSING_EXTENSION = 109, "missing_extension";
    UNSUPPORTED_EXTENSION = 110, "unsupported_extension";
    UNRECOGNIZED_NAME = 112, "unrecognized_name";
    BAD_CERTIFICATE_STATUS_RESPONSE = 113, "bad_certificate_status_response";
    UNKNOWN_PSK_IDENTITY = 115, "unknown_psk_identity";
    CERTIFICATE_REQUIRED = 116, "certificate_required";
    NO_APPLICATION_PROTOCOL = 120, "no_application_protocol";
}

impl From<u8> for Alert {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alert({self})")
    }
}
