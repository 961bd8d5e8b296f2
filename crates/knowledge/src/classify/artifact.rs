//! The file of a trained model: what it is, its hash, its content. What does not hash right is never decoded.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// What the file begins with: the kind and the version of the layout.
const MAGIC: &[u8; 8] = b"SBMODEL1";
const HASH_BYTES: usize = 32;
/// No model of ours is larger.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// Why an artifact is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// It does not begin as a model does.
    #[error("this is no model of this version of Switchboard")]
    Kind,
    /// Its content is not what was written.
    #[error("its SHA-256 is another one than when it was written: the file is damaged")]
    Hash,
    /// It was written whole and does not make sense.
    #[error("its content does not fit together")]
    Content,
}

/// The file of `content`.
pub(super) fn write(content: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    let body = postcard::to_allocvec(content).map_err(|_| ArtifactError::Content)?;
    let mut file = Vec::with_capacity(MAGIC.len() + HASH_BYTES + body.len());
    file.extend(MAGIC);
    file.extend(Sha256::digest(&body));
    file.extend(body);
    Ok(file)
}

/// The content of a file.
pub(super) fn read<T: DeserializeOwned>(file: &[u8]) -> Result<T, ArtifactError> {
    let rest = file.strip_prefix(MAGIC).filter(|_| file.len() <= MOST_BYTES).ok_or(ArtifactError::Kind)?;
    let (hash, body) = rest.split_at_checked(HASH_BYTES).ok_or(ArtifactError::Hash)?;
    if Sha256::digest(body).as_slice() != hash {
        return Err(ArtifactError::Hash);
    }
    postcard::from_bytes(body).map_err(|_| ArtifactError::Content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let file = write(&vec![1.5f32, 2.5]).expect("floats can be written");
        assert_eq!(read::<Vec<f32>>(&file), Ok(vec![1.5, 2.5]));
        assert_eq!(read::<Vec<f32>>(b"PK\x03\x04"), Err(ArtifactError::Kind));
        assert_eq!(read::<Vec<f32>>(b"SBMODEL1short"), Err(ArtifactError::Hash));
        for at in 8..file.len() {
            let mut broken = file.clone();
            broken[at] ^= 1;
            assert_eq!(read::<Vec<f32>>(&broken), Err(ArtifactError::Hash), "bit flipped at {at}");
        }
        assert_eq!(read::<Vec<f32>>(&file[..file.len() - 1]), Err(ArtifactError::Hash));
    }
}
