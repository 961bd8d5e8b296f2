//! The operator's password: Argon2id, and rules that let people choose a good one.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::{
    error::{Error, ErrorKind, Result},
    ports::Ids,
};

/// The shortest password, in characters (NIST SP 800-63B-4, 3.1.1.2: 15 where it is the only factor).
pub const PASSWORD_CHARS_LEAST: usize = 15;
/// The longest password, in bytes: enough for any phrase, and no burden.
pub const PASSWORD_BYTES_MOST: usize = 1_024;
/// Memory in KiB, passes, and lanes: the OWASP password storage cheat sheet's `m=19456, t=2, p=1` for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What is kept of a password, with all that is needed to check it later, whatever the figures are by then.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// Random, of this password alone.
    pub salt: [u8; 16],
    /// The result.
    pub hash: [u8; 32],
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash([hidden])")
    }
}

impl PasswordHash {
    /// Hashes a new password; `Invalid` with the rule when it breaks one. Tens of milliseconds and 19 MiB: for a thread
    /// that may block.
    pub fn of(password: &SecretString, ids: &dyn Ids) -> Result<Self> {
        let text = password.expose_secret();
        if text.chars().count() < PASSWORD_CHARS_LEAST {
            let message =
                format!("the password must have at least {PASSWORD_CHARS_LEAST} characters; a phrase is fine");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if text.len() > PASSWORD_BYTES_MOST {
            let message = format!("the password may have at most {PASSWORD_BYTES_MOST} bytes");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut salt = [0; 16];
        ids.fill(&mut salt);
        let mut made = Self { salt, hash: [0; 32], memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        made.hash = made.hash_of(password)?;
        Ok(made)
    }

    /// Whether this is the password, in a time that does not tell how near it comes. For a thread that may block.
    pub fn matches(&self, password: &SecretString) -> Result<bool> {
        if password.expose_secret().len() > PASSWORD_BYTES_MOST {
            return Ok(false);
        }
        Ok(self.hash_of(password)?.ct_eq(&self.hash).into())
    }

    /// A hash that no password has, to be checked where there is none: it takes as long and tells nothing.
    pub fn of_nobody(ids: &dyn Ids) -> Self {
        let (mut salt, mut hash) = ([0; 16], [0; 32]);
        ids.fill(&mut salt);
        ids.fill(&mut hash);
        Self { salt, hash, memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }
    }

    fn hash_of(&self, password: &SecretString) -> Result<[u8; 32]> {
        let failed = || Error::new(ErrorKind::Internal, "the password's hash has figures that Argon2 does not take");
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| failed())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hash = [0; 32];
        argon2.hash_password_into(password.expose_secret().as_bytes(), &self.salt, &mut hash).map_err(|_| failed())?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    struct Sevens;

    impl Ids for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }

        fn ulid(&self, _now: Timestamp) -> ulid::Ulid {
            ulid::Ulid::from(7)
        }
    }

    #[test]
    fn the_password_matches_and_no_other_does() {
        let password: SecretString = "correct horse battery".into();
        let hash = PasswordHash::of(&password, &Sevens).unwrap();
        assert!(hash.matches(&password).unwrap());
        for wrong in ["", "correct horse batterY", "correct horse battery ", &"x".repeat(2_000)] {
            assert!(!hash.matches(&wrong.into()).unwrap(), "{wrong}");
        }
        assert!(!PasswordHash::of_nobody(&Sevens).matches(&password).unwrap());
        assert_eq!(format!("{hash:?}"), "PasswordHash([hidden])");
    }

    #[test]
    fn rules_name_themselves() {
        let refused = |text: &str| PasswordHash::of(&text.into(), &Sevens).unwrap_err().to_string();
        assert!(refused("too short").contains("at least 15 characters"));
        assert!(refused(&"x".repeat(1_025)).contains("at most 1024 bytes"));
        assert!(PasswordHash::of(&"fünfzehn Zeiche".into(), &Sevens).is_ok());
    }
}
