//! What lasts: a disk's log played up to a power cut.

use std::collections::BTreeMap;

use crate::disk::{FileId, Image, Operation, put};

/// What is written as a whole or not at all. Larger writes tear between sectors.
const SECTOR: usize = 512;

/// What a power cut leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of it.
    Nothing,
    /// All of it, as when only the process dies.
    Everything,
    /// Some of it, drawn by this seed: each sector as it was or as any of the later writes made it, each file as long as it
    /// was at any time since, each name with any part of its changes. What a file grew by and was not written is zeros in
    /// one half of the files and garbage in the other.
    Some(u64),
}

/// The disk behind its cache. Operations are played in their order; at any time [`Platter::cut`] shows a power cut.
#[derive(Default)]
pub struct Platter {
    names: BTreeMap<String, FileId>,
    unsynced_names: Vec<(String, Option<FileId>)>,
    files: BTreeMap<FileId, Stored>,
    lies: bool,
}

#[derive(Default)]
struct Stored {
    bytes: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write { offset: usize, bytes: std::sync::Arc<[u8]> },
    Truncate(usize),
}

impl Platter {
    /// A disk with these files, all of them lasting. File ids are those of [`crate::Disk::with`].
    pub fn with(image: Image) -> Self {
        let mut platter = Self::default();
        for (file, (name, bytes)) in (1..).zip(image) {
            platter.names.insert(name, file);
            platter.files.insert(file, Stored { bytes, unsynced: Vec::new() });
        }
        platter
    }

    /// The same disk, whose syncs do nothing.
    pub fn lying(self) -> Self {
        Self { lies: true, ..self }
    }

    /// Plays one operation.
    pub fn play(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { name, file } => {
                self.files.entry(*file).or_default();
                self.unsynced_names.push((name.clone(), Some(*file)));
            }
            Operation::Write { file, offset, bytes } => {
                self.change(*file, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Operation::Truncate { file, size } => self.change(*file, Change::Truncate(*size)),
            Operation::Sync { .. } if self.lies => {}
            Operation::Sync { file, names } => {
                if let Some(stored) = self.files.get_mut(file) {
                    stored.sync();
                }
                if *names {
                    self.sync_names();
                }
            }
            Operation::Delete { name, sync } => {
                self.unsynced_names.push((name.clone(), None));
                if *sync && !self.lies {
                    self.sync_names();
                }
            }
        }
    }

    /// The same as [`Platter::play`] for the operation in which the power goes: a sync that does not come back has done nothing.
    pub fn begin(&mut self, operation: &Operation) {
        match operation {
            Operation::Sync { .. } => {}
            Operation::Delete { name, .. } => self.unsynced_names.push((name.clone(), None)),
            other => self.play(other),
        }
    }

    /// What a power cut leaves now.
    pub fn cut(&self, survival: Survival) -> Image {
        let seed = if let Survival::Some(seed) = survival { seed } else { 0 };
        let mut random = Random(seed);
        let mut names = self.names.clone();
        let mut changes: BTreeMap<&str, Vec<Option<FileId>>> = BTreeMap::new();
        for (name, file) in &self.unsynced_names {
            changes.entry(name).or_default().push(*file);
        }
        for (name, changes) in changes {
            match changes[..survival.part(changes.len(), &mut random)].last() {
                None => {}
                Some(Some(file)) => drop(names.insert(name.to_owned(), *file)),
                Some(None) => drop(names.remove(name)),
            }
        }
        let content = |file: FileId, random: &mut Random| {
            self.files.get(&file).map(|stored| stored.after(survival, random)).unwrap_or_default()
        };
        names.into_iter().map(|(name, file)| (name, content(file, &mut random))).collect()
    }

    /// Whether anything is not synced: only then do power cuts differ.
    pub fn has_unsynced(&self) -> bool {
        !self.unsynced_names.is_empty() || self.files.values().any(|stored| !stored.unsynced.is_empty())
    }

    fn change(&mut self, file: FileId, change: Change) {
        self.files.entry(file).or_default().unsynced.push(change);
    }

    fn sync_names(&mut self) {
        for (name, file) in self.unsynced_names.drain(..) {
            match file {
                Some(file) => self.names.insert(name, file),
                None => self.names.remove(&name),
            };
        }
    }
}

impl Stored {
    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.bytes, offset, &bytes),
                Change::Truncate(size) => self.bytes.resize(size, 0),
            }
        }
    }

    fn after(&self, survival: Survival, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        match survival {
            Survival::Nothing => {}
            Survival::Everything => {
                let unsynced = self.unsynced.iter().map(Change::again).collect();
                let mut all = Self { bytes, unsynced };
                all.sync();
                bytes = all.bytes;
            }
            Survival::Some(_) => self.tear(&mut bytes, survival, random),
        }
        bytes
    }

    fn tear(&self, bytes: &mut Vec<u8>, survival: Survival, random: &mut Random) {
        if self.unsynced.is_empty() {
            return;
        }
        let mut sizes = vec![bytes.len()];
        let mut sectors: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
        for change in &self.unsynced {
            let size = sizes[sizes.len() - 1];
            match change {
                Change::Truncate(size) => sizes.push(*size),
                Change::Write { offset, bytes } => {
                    sizes.push(size.max(offset + bytes.len()));
                    for sector in offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR) {
                        sectors.entry(sector).or_default().push(change);
                    }
                }
            }
        }
        let most = sizes.iter().copied().max().unwrap_or(0);
        let old = bytes.len();
        bytes.resize(most.max(old), 0);
        if random.next().is_multiple_of(2) {
            bytes[old..].fill_with(|| random.next().to_le_bytes()[0]);
        }
        for (sector, changes) in sectors {
            let (start, end) = (sector * SECTOR, (sector + 1) * SECTOR);
            for change in &changes[..survival.part(changes.len(), random)] {
                if let Change::Write { offset, bytes: written } = change {
                    let (from, to) = (start.max(*offset), end.min(offset + written.len()));
                    bytes[from..to].copy_from_slice(&written[from - offset..to - offset]);
                }
            }
        }
        // The end of the file is more often where it was at last, so that what survived is seen.
        let size = if random.next().is_multiple_of(2) { sizes.len() - 1 } else { random.below(sizes.len()) };
        bytes.truncate(sizes[size]);
    }
}

impl Change {
    fn again(&self) -> Self {
        match self {
            Self::Write { offset, bytes } => Self::Write { offset: *offset, bytes: bytes.clone() },
            Self::Truncate(size) => Self::Truncate(*size),
        }
    }
}

impl Survival {
    /// How many of `all` changes, the first ones, survive.
    fn part(self, all: usize, random: &mut Random) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything => all,
            Self::Some(_) => random.below(all + 1),
        }
    }
}

/// SplitMix64 of Steele, Lea and Flood.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = 1;

    fn platter() -> Platter {
        let mut platter = Platter::default();
        platter.play(&Operation::Create { name: "a".to_owned(), file: FILE });
        platter
    }

    fn write(offset: usize, byte: u8, length: usize) -> Operation {
        Operation::Write { file: FILE, offset, bytes: vec![byte; length].into() }
    }

    #[test]
    fn what_is_synced_lasts_and_nothing_else_has_to() {
        let mut platter = platter();
        platter.play(&write(0, 1, 2_048));
        assert_eq!(platter.cut(Survival::Nothing), Image::new(), "neither name nor content");
        platter.play(&Operation::Sync { file: FILE, names: false });
        assert_eq!(platter.cut(Survival::Nothing), Image::new(), "a file without a name");
        platter.play(&Operation::Sync { file: FILE, names: true });
        platter.play(&write(512, 2, 1_024));
        assert_eq!(platter.cut(Survival::Nothing)["a"], [1; 2_048]);
        let all = [vec![1; 512], vec![2; 1_024], vec![1; 512]].concat();
        assert_eq!(platter.cut(Survival::Everything)["a"], all);
        let mut torn = 0;
        for seed in 0..100 {
            let bytes = platter.cut(Survival::Some(seed)).remove("a").unwrap();
            assert_eq!(bytes.len(), 2_048);
            assert!(bytes.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "whole sectors");
            torn += usize::from(bytes[512] != bytes[1_024]);
            assert_eq!(bytes, platter.cut(Survival::Some(seed))["a"], "the same seed, the same cut");
        }
        assert!((20..80).contains(&torn), "{torn} torn writes of 100");
    }

    #[test]
    fn a_sync_in_which_the_power_goes_has_done_nothing() {
        let mut platter = platter();
        platter.play(&Operation::Sync { file: FILE, names: true });
        platter.play(&write(0, 1, 512));
        platter.begin(&Operation::Sync { file: FILE, names: true });
        assert_eq!(platter.cut(Survival::Nothing)["a"], []);
        platter.begin(&Operation::Delete { name: "a".to_owned(), sync: true });
        assert!(platter.cut(Survival::Nothing).contains_key("a") && platter.has_unsynced());
        assert!(!platter.cut(Survival::Everything).contains_key("a"));
    }

    #[test]
    fn a_lying_disk_syncs_nothing() {
        let mut platter = Platter::with(Image::from([("a".to_owned(), vec![0; 512])])).lying();
        platter.play(&write(0, 1, 512));
        platter.play(&Operation::Sync { file: FILE, names: true });
        assert_eq!(platter.cut(Survival::Nothing)["a"], [0; 512]);
    }

    #[test]
    fn what_grew_may_be_cut_zeros_or_garbage() {
        let mut platter = platter();
        platter.play(&Operation::Sync { file: FILE, names: true });
        platter.play(&write(1_024, 7, 512));
        let cuts: Vec<_> = (0..200).map(|seed| platter.cut(Survival::Some(seed)).remove("a").unwrap()).collect();
        let has = |what: &dyn Fn(&Vec<u8>) -> bool| cuts.iter().any(what);
        assert!(has(&Vec::is_empty) && has(&|bytes| bytes.ends_with(&[7; 512])));
        assert!(has(&|bytes| bytes.len() == 1_536 && bytes[..1_024] == [0; 1_024]));
        assert!(has(&|bytes| bytes.len() == 1_536 && bytes[..1_024] != [0; 1_024]));
    }
}
