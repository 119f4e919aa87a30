//! A model of the paper's recipe, and its file: safetensors that say of themselves what they are.

use super::encoding::Encoding;
use super::parameters::Layout;
use super::trainer::Optimizer;
use crate::model::checkpoint::{
    CheckpointError, PAPER_KEY, Precision, entry, foreign, read, tensor, write,
};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Changes whenever the meaning of a weight does.
const VERSION: &str = "1";

/// A model of the paper's recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperModel {
    pub encoding: Encoding,
    pub layout: Layout,
    /// As `layout` says.
    pub weights: Vec<f32>,
    pub training: PaperTraining,
}

/// How it was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaperTraining {
    /// Name of the recording.
    pub file: String,
    pub seed: u64,
    pub optimizer: Optimizer,
    pub epochs: u32,
    /// Of all switches, the share at the end that was not trained on, and how many switches came before.
    pub test: f64,
    pub trained_switches: u64,
    /// Sequences, and switches in each.
    pub sequences: u64,
    pub length: u64,
    /// Mean squared errors after the last epoch, in the units of the encoded vectors.
    pub train_mse: f64,
    pub test_mse: f64,
}

/// `trained on nginx, 30 epochs of L-BFGS, 28 tasks, 40000 weights`
impl fmt::Display for PaperModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "paper's recipe, trained on {}, {} epochs of {}, {} tasks, {} weights",
            self.training.file,
            self.training.epochs,
            self.training.optimizer.name(),
            self.encoding.tasks.len(),
            self.layout.count()
        )
    }
}

/// What the metadata says, as JSON.
#[derive(Serialize, Deserialize)]
struct About {
    version: String,
    writer: String,
    encoding: Encoding,
    training: PaperTraining,
}

impl PaperModel {
    /// Reads a model.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = read(path)?;
        let entry = entry(path, &bytes, PAPER_KEY).map_err(|error| match error {
            CheckpointError::Foreign { path } => CheckpointError::NotRecipe { path },
            other => other,
        })?;
        let about: About =
            serde_json::from_str(&entry).map_err(|source| CheckpointError::About {
                path: path.to_owned(),
                source,
            })?;
        if about.version != VERSION {
            return Err(CheckpointError::Version {
                path: path.to_owned(),
                found: about.version,
            });
        }
        let file = SafeTensors::deserialize(&bytes).map_err(foreign(path))?;
        let layout = Layout::new(about.encoding.width());
        let mut weights = Vec::with_capacity(layout.count());
        for (name, shape, _) in layout.tensors() {
            weights.extend(tensor(path, &file, name, &shape)?);
        }
        Ok(Self {
            encoding: about.encoding,
            layout,
            weights,
            training: about.training,
        })
    }

    /// Writes the model aside, syncs it and puts it in place.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers always have a form in JSON"
    )]
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let about = About {
            version: VERSION.to_owned(),
            writer: concat!("kernoracle ", env!("CARGO_PKG_VERSION")).to_owned(),
            encoding: self.encoding.clone(),
            training: self.training.clone(),
        };
        let about = serde_json::to_string(&about).expect("plain fields");
        let arrays = self
            .layout
            .tensors()
            .map(|(name, shape, range)| (name.to_owned(), shape, self.weights[range].to_vec()));
        write(path, PAPER_KEY, about, arrays.into(), Precision::F32)
    }
}
