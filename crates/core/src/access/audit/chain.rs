//! What holds the audit log together: a chain of hashes, and a signed head.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::AuditEntry;

/// Keeps these hashes apart from all others.
const ENTRY_DOMAIN: &[u8] = b"switchboard audit entry v1\0";
const HEAD_DOMAIN: &[u8] = b"switchboard audit head v1\0";

/// SHA-256 over an entry's canonical text and the hash before it; zeros before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainHash(pub [u8; 32]);

/// Signs the head. It comes from the pepper, so it is not in the database.
pub struct AuditKey(SecretBox<[u8; 32]>);

/// An entry as it is kept: bytes, whatever they say by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEntry {
    /// The number under which it is kept.
    pub sequence: u64,
    /// Its canonical text.
    pub record: Vec<u8>,
    /// Its hash; 32 bytes unless somebody changed it.
    pub hash: Vec<u8>,
}

/// The newest entry's number and hash, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number.
    pub sequence: u64,
    /// The hash.
    pub hash: Vec<u8>,
    /// The signature.
    pub mac: Vec<u8>,
}

/// What a check of the whole log came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Every entry is as it was written, and the newest is the one that was signed.
    Whole {
        /// How many entries there are.
        entries: u64,
        /// The newest hash, in hexadecimal: kept elsewhere, it shows later whether the log was rolled back.
        head: String,
    },
    /// Something was changed.
    Broken {
        /// The first number that is not as it should be.
        sequence: u64,
        /// What is wrong there.
        fault: Fault,
    },
}

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The entry's text or hash was changed, or an entry before it was replaced.
    Changed,
    /// The entry is missing, or others stand in its place.
    Missing,
    /// Entries at the end are missing: the head tells of more.
    Truncated,
    /// The entry was added without the key: the head does not tell of it.
    Foreign,
    /// The head is missing or was not signed with this server's key.
    Head,
    /// There is no entry at all.
    Empty,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "it was changed, or what stands before it was replaced",
            Self::Missing => "it is missing or out of its order",
            Self::Truncated => "it and what follows were cut off: the signed head tells of more entries",
            Self::Foreign => "it was added by somebody without the server's key: the signed head does not tell of it",
            Self::Head => "the signed head is missing or was not signed with this server's pepper",
            Self::Empty => "there is no entry at all, and a data folder that a server has worked on has some",
        })
    }
}

impl ChainHash {
    /// The hash of the entry with this canonical text after this one.
    pub fn then(&self, record: &[u8]) -> Self {
        Self(Sha256::new().chain_update(ENTRY_DOMAIN).chain_update(self.0).chain_update(record).finalize().into())
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl AuditKey {
    /// From 32 bytes that only this use has.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// The signed head of a log that ends so.
    pub fn sign(&self, sequence: u64, hash: &ChainHash) -> Head {
        Head { sequence, hash: hash.0.to_vec(), mac: self.mac(sequence, &hash.0).to_vec() }
    }

    /// Whether this head was signed with this key.
    pub fn has_signed(&self, head: &Head) -> bool {
        self.mac(head.sequence, &head.hash).ct_eq(&head.mac).into()
    }

    fn mac(&self, sequence: u64, hash: &[u8]) -> [u8; 32] {
        // invariant: HMAC takes a key of any length
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(HEAD_DOMAIN);
        mac.update(&sequence.to_be_bytes());
        mac.update(hash);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey([hidden])")
    }
}

/// Checks a log entry by entry, in the order of their numbers, so that it need not be in memory.
pub struct Check<'a> {
    key: &'a AuditKey,
    entries: u64,
    last: ChainHash,
    broken: Option<(u64, Fault)>,
}

impl<'a> Check<'a> {
    /// A check of a log whose head is signed with `key`.
    pub fn new(key: &'a AuditKey) -> Self {
        Self { key, entries: 0, last: ChainHash::default(), broken: None }
    }

    /// Looks at the next entry.
    pub fn entry(&mut self, kept: &KeptEntry) {
        if self.broken.is_some() {
            return;
        }
        let expected = self.entries + 1;
        if kept.sequence != expected {
            self.broken = Some((expected, Fault::Missing));
            return;
        }
        let hash = self.last.then(&kept.record);
        let says = serde_json::from_slice::<AuditEntry>(&kept.record).map(|entry| entry.sequence);
        if kept.hash != hash.0 || says.ok() != Some(expected) {
            self.broken = Some((expected, Fault::Changed));
            return;
        }
        (self.entries, self.last) = (expected, hash);
    }

    /// The verdict, with the head as it is kept.
    pub fn finish(self, head: Option<&Head>) -> Verdict {
        let broken = self.broken.or_else(|| match head {
            None if self.entries == 0 => Some((1, Fault::Empty)),
            None => Some((self.entries, Fault::Head)),
            Some(head) if !self.key.has_signed(head) => Some((self.entries, Fault::Head)),
            Some(head) if head.sequence > self.entries => Some((self.entries + 1, Fault::Truncated)),
            Some(head) if head.sequence < self.entries => Some((head.sequence + 1, Fault::Foreign)),
            Some(head) if head.hash != self.last.0 => Some((self.entries, Fault::Changed)),
            Some(_) if self.entries == 0 => Some((1, Fault::Empty)),
            Some(_) => None,
        });
        match broken {
            Some((sequence, fault)) => Verdict::Broken { sequence, fault },
            None => Verdict::Whole { entries: self.entries, head: self.last.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::audit::{Action, Actor, By, Details, Label},
        time::Timestamp,
    };

    fn key() -> AuditKey {
        AuditKey::new([7; 32])
    }

    fn log(count: u64) -> (Vec<KeptEntry>, Head) {
        let by = By::new(Actor::CommandLine { user: Label::new("ada"), uid: Some(1000) });
        let mut last = ChainHash::default();
        let entries = (1..=count)
            .map(|sequence| {
                let details = Details { count: Some(sequence), ..Details::default() };
                let entry = by.did(Action::EventReplay, None).to(sequence).with(details);
                let record = serde_json::to_vec(&entry.at(sequence, Timestamp::from_millis(1))).unwrap();
                last = last.then(&record);
                KeptEntry { sequence, record, hash: last.0.to_vec() }
            })
            .collect();
        (entries, key().sign(count, &last))
    }

    fn verdict(entries: &[KeptEntry], head: Option<&Head>) -> Verdict {
        let key = key();
        let mut check = Check::new(&key);
        entries.iter().for_each(|entry| check.entry(entry));
        check.finish(head)
    }

    fn broken(sequence: u64, fault: Fault) -> Verdict {
        Verdict::Broken { sequence, fault }
    }

    #[test]
    fn a_log_as_it_was_written_is_whole() {
        let (entries, head) = log(5);
        assert!(matches!(verdict(&entries, Some(&head)), Verdict::Whole { entries: 5, .. }));
    }

    #[test]
    fn any_changed_byte_is_found_at_its_entry() {
        let (entries, head) = log(4);
        for (at, entry) in entries.iter().enumerate() {
            for byte in 0..entry.record.len() {
                for bit in 0..8 {
                    let mut changed = entries.clone();
                    changed[at].record[byte] ^= 1 << bit;
                    assert_eq!(verdict(&changed, Some(&head)), broken(at as u64 + 1, Fault::Changed));
                }
            }
            for byte in 0..32 {
                let mut changed = entries.clone();
                changed[at].hash[byte] ^= 1;
                assert_eq!(verdict(&changed, Some(&head)), broken(at as u64 + 1, Fault::Changed));
            }
            let mut changed = entries.clone();
            changed[at].sequence += 1;
            assert_eq!(verdict(&changed, Some(&head)), broken(at as u64 + 1, Fault::Missing));
        }
        for byte in 0..32 {
            let (mut hash, mut mac) = (head.clone(), head.clone());
            hash.hash[byte] ^= 1;
            mac.mac[byte] ^= 1;
            assert_eq!(verdict(&entries, Some(&hash)), broken(4, Fault::Head));
            assert_eq!(verdict(&entries, Some(&mac)), broken(4, Fault::Head));
        }
    }

    #[test]
    fn removed_reordered_added_and_cut_off_entries_are_found() {
        let (entries, head) = log(5);
        let without = |at: usize| [&entries[..at], &entries[at + 1..]].concat();
        for at in 0..4 {
            assert_eq!(verdict(&without(at), Some(&head)), broken(at as u64 + 1, Fault::Missing));
        }
        assert_eq!(verdict(&entries[..4], Some(&head)), broken(5, Fault::Truncated));
        assert_eq!(verdict(&[], Some(&head)), broken(1, Fault::Truncated));
        assert_eq!(verdict(&entries, None), broken(5, Fault::Head));
        assert_eq!(verdict(&[], None), broken(1, Fault::Empty));
        let mut swapped = entries.clone();
        swapped.swap(1, 2);
        assert_eq!(verdict(&swapped, Some(&head)), broken(2, Fault::Missing));
        let mut renumbered = swapped;
        (renumbered[1].sequence, renumbered[2].sequence) = (2, 3);
        assert_eq!(verdict(&renumbered, Some(&head)), broken(2, Fault::Changed));
        let longer = log(6).0;
        assert_eq!(verdict(&longer, Some(&head)), broken(6, Fault::Foreign));
    }

    #[test]
    fn a_log_that_was_written_anew_needs_the_key() {
        let (entries, _) = log(3);
        let last = ChainHash(entries[2].hash.clone().try_into().unwrap());
        let forged = AuditKey::new([8; 32]).sign(3, &last);
        assert_eq!(verdict(&entries, Some(&forged)), broken(3, Fault::Head));
    }
}
