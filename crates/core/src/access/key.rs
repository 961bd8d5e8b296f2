use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::audit::chain::AuditKey;
use crate::{ids::KeyId, ports::Ids};

const PREFIX: &str = "sb_live_";
const SECRET_BYTES: usize = 32;
const CHECKSUM_CHARS: usize = 8;

/// An API key in full, as its holder has it.
pub struct ApiKey {
    id: KeyId,
    secret: SecretBox<[u8; SECRET_BYTES]>,
}

/// What is kept of a key's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

/// The server's own secret in every key hash: a stolen table alone checks nothing.
pub struct Pepper(SecretBox<[u8; 32]>);

/// The text is no API key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no API key")]
pub struct NotAKey;

impl ApiKey {
    /// A new key of 256 random bits.
    pub fn generate(ids: &dyn Ids) -> Self {
        let mut id = [0; 8];
        let mut secret = [0; SECRET_BYTES];
        ids.fill(&mut id);
        ids.fill(&mut secret);
        Self { id: KeyId::from_bytes(id), secret: SecretBox::new(Box::new(secret)) }
    }

    /// The public part.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key as its holder will send it. To be shown once.
    pub fn reveal(&self) -> SecretString {
        let secret = URL_SAFE_NO_PAD.encode(self.secret.expose_secret());
        let checksum = crc32fast::hash(format!("{}_{secret}", self.id).as_bytes());
        format!("{PREFIX}{}_{secret}{checksum:08x}", self.id).into()
    }

    /// What to keep.
    pub fn hash(&self, pepper: &Pepper) -> KeyHash {
        KeyHash(pepper.mac(self.secret.expose_secret()))
    }

    /// Whether this is the key of that hash, in constant time.
    pub fn matches(&self, pepper: &Pepper, hash: &KeyHash) -> bool {
        self.hash(pepper).0.ct_eq(&hash.0).into()
    }
}

impl FromStr for ApiKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let rest = text.strip_prefix(PREFIX).ok_or(NotAKey)?;
        let (id, rest) = rest.split_once('_').ok_or(NotAKey)?;
        if !rest.is_ascii() || rest.len() <= CHECKSUM_CHARS {
            return Err(NotAKey);
        }
        let (secret, checksum) = rest.split_at(rest.len() - CHECKSUM_CHARS);
        if format!("{:08x}", crc32fast::hash(format!("{id}_{secret}").as_bytes())) != checksum {
            return Err(NotAKey);
        }
        let bytes = URL_SAFE_NO_PAD.decode(secret).map_err(|_| NotAKey)?;
        let secret: [u8; SECRET_BYTES] = bytes.try_into().map_err(|_| NotAKey)?;
        Ok(Self { id: id.parse().map_err(|_| NotAKey)?, secret: SecretBox::new(Box::new(secret)) })
    }
}

impl Pepper {
    /// From 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// The key that signs the head of the audit log. No other use of the pepper takes so many bytes.
    pub fn audit_key(&self) -> AuditKey {
        AuditKey::new(self.mac(b"switchboard audit key v1"))
    }

    pub(super) fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        // invariant: HMAC takes a key of any length
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, [hidden])", self.id)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash([hidden])")
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Ids for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }

        fn ulid(&self, now: Timestamp) -> ulid::Ulid {
            ulid::Ulid::from_parts(now.as_millis() as u64, 0)
        }
    }

    #[test]
    fn a_key_is_recognised_and_a_changed_one_is_not() {
        let key = ApiKey::generate(&Counting(7.into()));
        let pepper = Pepper::new([1; 32]);
        let hash = key.hash(&pepper);
        let text = key.reveal().expose_secret().to_owned();
        assert!(text.parse::<ApiKey>().unwrap().matches(&pepper, &hash));
        assert!(!key.matches(&Pepper::new([2; 32]), &hash));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            let accepted = changed.parse::<ApiKey>().is_ok_and(|key| key.matches(&pepper, &hash));
            assert!(!accepted, "{changed}");
        }
        assert!(!format!("{key:?} {hash:?} {pepper:?}").contains(&text[25..40]));
    }

    #[test]
    fn rubbish_is_no_key() {
        for text in ["", "sb_live_", "sb_live__", "sb_live_0011223344556677_", "Bearer x", "sb_live_é_ééééééééé"]
        {
            assert!(text.parse::<ApiKey>().is_err(), "{text}");
        }
    }
}
