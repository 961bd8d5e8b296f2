//! The forward pass of a small BERT (Devlin et al., 2018), with mean pooling as sentence-transformers does it.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice, Zip, concatenate};

use super::{DIMENSIONS, EmbedError, weights::Tensors};

const LAYERS: usize = 6;
const HEADS: usize = 12;
const HEAD: usize = DIMENSIONS / HEADS;
/// As in the model's configuration.
const EPSILON: f32 = 1e-12;

/// The weights, laid out for `rows of tokens × weights`.
pub(super) struct Bert {
    words: Array2<f32>,
    /// Position and the one token type, added up.
    positions: Array2<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Query, key and value side by side.
    attention: Dense,
    attended: Dense,
    attended_norm: Norm,
    inner: Dense,
    outer: Dense,
    norm: Norm,
}

struct Dense {
    weights: Array2<f32>,
    bias: Array1<f32>,
}

struct Norm {
    weights: Array1<f32>,
    bias: Array1<f32>,
}

impl Bert {
    pub(super) fn new(file: &[u8]) -> Result<Self, EmbedError> {
        let tensors = Tensors::new(file)?;
        let types = tensors.matrix("embeddings.token_type_embeddings.weight")?;
        let positions = tensors.matrix("embeddings.position_embeddings.weight")? + types.row(0);
        Ok(Self {
            words: tensors.matrix("embeddings.word_embeddings.weight")?,
            positions,
            norm: Norm::new(&tensors, "embeddings.LayerNorm")?,
            layers: (0..LAYERS).map(|n| Layer::new(&tensors, n)).collect::<Result<_, _>>()?,
        })
    }

    /// The embedding of each text, given its tokens.
    pub(super) fn embed(&self, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let tokens: usize = texts.iter().map(Vec::len).sum();
        let mut state = Array2::zeros((tokens, DIMENSIONS));
        let places = texts.iter().flat_map(|text| text.iter().enumerate());
        for (mut row, (position, token)) in state.rows_mut().into_iter().zip(places) {
            row += &self.words.row(*token as usize);
            row += &self.positions.row(position);
        }
        self.norm.apply(&mut state);
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        for layer in &self.layers {
            layer.apply(&mut state, &lengths);
        }
        let mut start = 0;
        let pool = |length: &usize| {
            let mean = state.slice_axis(Axis(0), span(start..start + length)).mean_axis(Axis(0)).unwrap_or_default();
            start += length;
            let size = mean.dot(&mean).sqrt().max(EPSILON);
            (mean / size).to_vec()
        };
        lengths.iter().map(pool).collect()
    }
}

impl Layer {
    fn new(tensors: &Tensors<'_>, n: usize) -> Result<Self, EmbedError> {
        let name = |part: &str| format!("encoder.layer.{n}.{part}");
        let parts = ["query", "key", "value"].map(|part| Dense::new(tensors, &name(&format!("attention.self.{part}"))));
        let [query, key, value] = parts;
        let (query, key, value) = (query?, key?, value?);
        let misshaped = |_| EmbedError::Content(format!("layer {n} of the model has another shape"));
        let attention = Dense {
            weights: concatenate(Axis(1), &[query.weights.view(), key.weights.view(), value.weights.view()])
                .map_err(misshaped)?
                .as_standard_layout()
                .into_owned(),
            bias: concatenate(Axis(0), &[query.bias.view(), key.bias.view(), value.bias.view()]).map_err(misshaped)?,
        };
        Ok(Self {
            attention,
            attended: Dense::new(tensors, &name("attention.output.dense"))?,
            attended_norm: Norm::new(tensors, &name("attention.output.LayerNorm"))?,
            inner: Dense::new(tensors, &name("intermediate.dense"))?,
            outer: Dense::new(tensors, &name("output.dense"))?,
            norm: Norm::new(tensors, &name("output.LayerNorm"))?,
        })
    }

    fn apply(&self, state: &mut Array2<f32>, lengths: &[usize]) {
        let parts = self.attention.apply(state);
        let mut attended = Array2::zeros(state.raw_dim());
        let mut start = 0;
        for length in lengths {
            let rows = span(start..start + length);
            let text = parts.slice_axis(Axis(0), rows);
            let mut attended = attended.slice_axis_mut(Axis(0), rows);
            for head in 0..HEADS {
                let columns = |part: usize| {
                    let first = part * DIMENSIONS + head * HEAD;
                    span(first..first + HEAD)
                };
                let part = |n: usize| text.slice_axis(Axis(1), columns(n));
                attended.slice_axis_mut(Axis(1), columns(0)).assign(&attend(part(0), part(1), part(2)));
            }
            start += length;
        }
        *state += &self.attended.apply(&attended);
        self.attended_norm.apply(state);
        let mut inner = self.inner.apply(state);
        inner.mapv_inplace(gelu);
        *state += &self.outer.apply(&inner);
        self.norm.apply(state);
    }
}

/// A range of rows or columns; the `s!` macro of ndarray expands to code that this workspace forbids.
fn span(range: Range<usize>) -> Slice {
    Slice::from(range)
}

fn attend(query: ArrayView2<'_, f32>, key: ArrayView2<'_, f32>, value: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut scores = query.dot(&key.t()) / (HEAD as f32).sqrt();
    for mut row in scores.rows_mut() {
        if let Some(row) = row.as_slice_mut() {
            crate::learn::softmax(row);
        }
    }
    scores.dot(&value)
}

impl Dense {
    fn new(tensors: &Tensors<'_>, name: &str) -> Result<Self, EmbedError> {
        let weights = tensors.matrix(&format!("{name}.weight"))?;
        Ok(Self {
            weights: weights.t().as_standard_layout().into_owned(),
            bias: tensors.vector(&format!("{name}.bias"))?,
        })
    }

    fn apply(&self, rows: &Array2<f32>) -> Array2<f32> {
        rows.dot(&self.weights) + &self.bias
    }
}

impl Norm {
    fn new(tensors: &Tensors<'_>, name: &str) -> Result<Self, EmbedError> {
        Ok(Self { weights: tensors.vector(&format!("{name}.weight"))?, bias: tensors.vector(&format!("{name}.bias"))? })
    }

    fn apply(&self, rows: &mut Array2<f32>) {
        for mut row in rows.rows_mut() {
            let mean = row.sum() / DIMENSIONS as f32;
            row -= mean;
            let spread = (row.dot(&row) / DIMENSIONS as f32 + EPSILON).sqrt();
            Zip::from(&mut row)
                .and(&self.weights)
                .and(&self.bias)
                .for_each(|x, weight, bias| *x = *x / spread * weight + bias);
        }
    }
}

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function as a ratio of polynomials, right to single precision, without a branch or a call, so that the compiler
/// makes vectors of it. The coefficients are those of Eigen and XLA (`generic_fast_erf_float`).
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let above =
        ((((((-2.726_142e-10 * s + 2.770_681_4e-8) * s - 2.101_024e-6) * s - 5.692_506_5e-5) * s - 7.349_906e-4) * s
            - 2.954_6e-3)
            * s
            - 1.609_603_3e-2)
            * x;
    let below = (((-1.456_607_2e-5 * s - 2.133_740_6e-4) * s - 1.682_827e-3) * s - 7.373_329e-3) * s - 1.426_473_9e-2;
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_right_to_single_precision() {
        // Abramowitz and Stegun, table 7.1.
        for (x, expected) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
            (3.5, 0.999_999_3),
        ] {
            assert!((erf(x) - expected).abs() < 2e-6, "erf({x}) is {}", erf(x));
            assert!((erf(-x) + expected).abs() < 2e-6);
        }
    }
}
