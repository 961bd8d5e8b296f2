//! The safetensors format: a length, a header in JSON, the numbers. <https://huggingface.co/docs/safetensors>

use std::collections::HashMap;

use ndarray::{Array1, Array2};
use serde::Deserialize;

use super::EmbedError;

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// The tensors of a file.
pub(super) struct Tensors<'a> {
    found: HashMap<String, Tensor>,
    data: &'a [u8],
}

impl<'a> Tensors<'a> {
    pub(super) fn new(file: &'a [u8]) -> Result<Self, EmbedError> {
        let broken = || EmbedError::Content("model.safetensors has no header".to_owned());
        let (length, rest) = file.split_first_chunk::<8>().ok_or_else(broken)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| broken())?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(broken)?;
        let mut header: HashMap<String, serde_json::Value> = serde_json::from_slice(header).map_err(|_| broken())?;
        header.remove("__metadata__");
        let found = header
            .into_iter()
            .map(|(name, value)| serde_json::from_value(value).map(|tensor| (name, tensor)))
            .collect::<Result<_, _>>()
            .map_err(|_| broken())?;
        Ok(Self { found, data })
    }

    /// A matrix, as it is kept: one row an output.
    pub(super) fn matrix(&self, name: &str) -> Result<Array2<f32>, EmbedError> {
        let (shape, numbers) = self.numbers(name)?;
        let &[rows, columns] = shape else { return Err(misshaped(name)) };
        Array2::from_shape_vec((rows, columns), numbers).map_err(|_| misshaped(name))
    }

    /// A vector.
    pub(super) fn vector(&self, name: &str) -> Result<Array1<f32>, EmbedError> {
        let (_, numbers) = self.numbers(name)?;
        Ok(Array1::from_vec(numbers))
    }

    fn numbers(&self, name: &str) -> Result<(&[usize], Vec<f32>), EmbedError> {
        let tensor = self.found.get(name).filter(|tensor| tensor.dtype == "F32").ok_or_else(|| misshaped(name))?;
        let (start, end) = tensor.data_offsets;
        let bytes = self.data.get(start..end).ok_or_else(|| misshaped(name))?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok((&tensor.shape, words.iter().map(|word| f32::from_le_bytes(*word)).collect()))
    }
}

fn misshaped(name: &str) -> EmbedError {
    EmbedError::Content(format!("model.safetensors has no {name} of the expected shape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzzed_files_give_tensors_or_an_error() {
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
        let whole = |header: &[u8]| [&(header.len() as u64).to_le_bytes()[..], header, &[0; 12]].concat();
        let read = |file: &[u8]| {
            let tensors = Tensors::new(file)?;
            let (matrix, vector) = (tensors.matrix("a")?, tensors.vector("b")?);
            assert!(4 * (matrix.len() + vector.len()) <= 2 * file.len());
            Ok::<_, EmbedError>(matrix)
        };
        assert_eq!(read(&whole(header)).unwrap().dim(), (2, 1));
        switchboard_testkit::fuzz::fuzz("safetensors", &[&whole(header)], |file| drop(read(file)));
        // With the length that belongs to it: else nearly all ends at the first eight bytes.
        switchboard_testkit::fuzz::fuzz("safetensors-header", &[header], |header| drop(read(&whole(header))));
    }
}
