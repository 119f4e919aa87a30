//! Weights on disk: safetensors with a version, shapes checked on loading. And the default model, which the binary holds.

use super::linear::Linear;
use super::mixer::Mixer;
use super::model::{Model, Training};
use super::run_mixer::RunMixer;
use super::weights::{
    TENSORS, Weights,
    shape::{FEATURES, QUANTILES, SITUATION},
};
use super::without::Without;
use crate::aside;
use crate::runqueue::Roles;
use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Changes whenever the meaning of a weight does: other features, other shapes.
pub const VERSION: &str = "4";
/// The one entry of the file's metadata. More would be written in the order of a hash map: a file would not be the same twice.
const FORMAT_KEY: &str = "kernoracle_model";
/// The same of a model of the paper's recipe.
pub const PAPER_KEY: &str = "kernoracle_paper_model";
const MIXER: &str = "mixer.weights";
const RUN_MIXER: &str = "run_mixer.weights";
/// Far above any model of ours; a larger file is something else.
const MAX_BYTES: u64 = 64 << 20;

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {bytes} bytes are too many for a Kernoracle model", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{}: not a safetensors file ({source}); give a file written by train or --save-model", path.display())]
    NotSafetensors {
        path: PathBuf,
        source: safetensors::SafeTensorError,
    },
    #[error("{}: not a Kernoracle model; give a file written by train or --save-model", path.display())]
    Foreign { path: PathBuf },
    #[error("{}: a model of the paper's recipe, which can only forecast: give it to forecast --recipe paper, and give here one that train wrote without --recipe paper", path.display())]
    Recipe { path: PathBuf },
    #[error("{}: not a model of the paper's recipe: give one that train --recipe paper wrote", path.display())]
    NotRecipe { path: PathBuf },
    #[error("{}: model version {found}, this program reads {VERSION}; train it again or use the program that wrote it", path.display())]
    Version { path: PathBuf, found: String },
    #[error("{}: what it says of itself cannot be read ({source}); train it again", path.display())]
    About {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: tensor {name} is missing", path.display())]
    Missing { path: PathBuf, name: String },
    #[error("{}: tensor {name} is {found}, expected {expected}", path.display())]
    Shape {
        path: PathBuf,
        name: String,
        found: String,
        expected: String,
    },
    #[error("{}: tensor {name} holds a value that is not a finite number", path.display())]
    NotFinite { path: PathBuf, name: String },
    #[error("{}: cannot lay out the model: {source}", path.display())]
    Serialize {
        path: PathBuf,
        source: safetensors::SafeTensorError,
    },
}

/// The model that the binary holds.
static DEFAULT: &[u8] = include_bytes!("../../models/default.safetensors");
const DEFAULT_NAME: &str = "default model";

/// What the metadata says, as JSON.
#[derive(Serialize, Deserialize)]
struct About {
    version: String,
    writer: String,
    without: Without,
    roles: Roles,
    training: Option<Training>,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Exact.
    F32,
    /// Half the size.
    F16,
}

impl Model {
    /// The model that the binary holds.
    pub fn embedded() -> Result<Self, CheckpointError> {
        Self::from_bytes(Path::new(DEFAULT_NAME), DEFAULT)
    }

    /// Reads a model.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::from_bytes(path, &read(path)?)
    }

    /// From the contents of a file; `path` is what errors name.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let about = about(path, bytes)?;
        let file = SafeTensors::deserialize(bytes).map_err(foreign(path))?;
        let (weights, linear) = from_file(path, &file, "", about.without)?;
        Ok(Self {
            weights,
            linear,
            roles: about.roles,
            training: about.training,
            bytes: Some(bytes.len()),
        })
    }

    /// Writes the model aside, syncs it and puts it in place.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers always have a form in JSON"
    )]
    pub fn save(&self, path: &Path, precision: Precision) -> Result<(), CheckpointError> {
        let about = About {
            version: VERSION.to_owned(),
            writer: concat!("kernoracle ", env!("CARGO_PKG_VERSION")).to_owned(),
            without: self.weights.without,
            roles: self.roles.clone(),
            training: self.training.clone(),
        };
        let about = serde_json::to_string(&about).expect("plain fields");
        write(path, FORMAT_KEY, about, arrays(self), precision)
    }
}

/// A tensor to be stored: name, shape, values.
pub type Array = (String, Vec<usize>, Vec<f32>);

/// All tensors of a model, as they are stored.
pub fn arrays(model: &Model) -> Vec<Array> {
    let mut all: Vec<Array> = model
        .weights
        .tensors()
        .map(|(name, dims, values)| (name.to_owned(), dims.to_vec(), values.to_vec()))
        .collect();
    all.push((
        MIXER.to_owned(),
        vec![Mixer::ROWS, FEATURES],
        model.linear.candidates.to_rows(),
    ));
    all.push((
        RUN_MIXER.to_owned(),
        vec![QUANTILES, SITUATION],
        model.linear.run.to_rows(),
    ));
    all
}

/// The tensors of a model, whose names begin with `prefix`.
pub fn from_file(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    without: Without,
) -> Result<(Weights, Linear), CheckpointError> {
    let named = |name: &str, dims: &[usize]| tensor(path, file, &format!("{prefix}{name}"), dims);
    let tensors: Result<BTreeMap<_, _>, _> = TENSORS
        .iter()
        .map(|(name, dims)| Ok((*name, named(name, dims)?)))
        .collect();
    let weights = Weights {
        without,
        ..Weights::from_tensors(tensors?)
    };
    let linear = Linear {
        candidates: Mixer::from_rows(&named(MIXER, &[Mixer::ROWS, FEATURES])?),
        run: RunMixer::from_rows(&named(RUN_MIXER, &[QUANTILES, SITUATION])?),
    };
    Ok((weights, linear))
}

/// The contents of a file that is not too large to be a model.
pub fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.len() > MAX_BYTES {
        return Err(CheckpointError::TooLarge {
            path: path.to_owned(),
            bytes: metadata.len(),
        });
    }
    std::fs::read(path).map_err(io)
}

pub fn foreign(path: &Path) -> impl Fn(safetensors::SafeTensorError) -> CheckpointError + use<> {
    let path = path.to_owned();
    move |source| CheckpointError::NotSafetensors {
        path: path.clone(),
        source,
    }
}

/// An entry of the metadata.
pub fn entry(path: &Path, bytes: &[u8], key: &str) -> Result<String, CheckpointError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(foreign(path))?;
    let metadata = header.metadata().as_ref();
    metadata
        .and_then(|metadata| metadata.get(key).cloned())
        .ok_or_else(|| CheckpointError::Foreign {
            path: path.to_owned(),
        })
}

fn about(path: &Path, bytes: &[u8]) -> Result<About, CheckpointError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: String,
    }
    let entry = match entry(path, bytes, FORMAT_KEY) {
        Err(CheckpointError::Foreign { path }) if entry(&path, bytes, PAPER_KEY).is_ok() => {
            return Err(CheckpointError::Recipe { path });
        }
        other => other?,
    };
    // Version 1 stood there by itself.
    let found = serde_json::from_str::<Versioned>(&entry).map_or(entry.clone(), |it| it.version);
    if found != VERSION {
        return Err(CheckpointError::Version {
            path: path.to_owned(),
            found,
        });
    }
    serde_json::from_str(&entry).map_err(|source| CheckpointError::About {
        path: path.to_owned(),
        source,
    })
}

/// A tensor of a known shape, as f32.
pub fn tensor(
    path: &Path,
    file: &SafeTensors<'_>,
    name: &str,
    dims: &[usize],
) -> Result<Vec<f32>, CheckpointError> {
    let (path, name) = (|| path.to_owned(), name.to_owned());
    let Ok(view) = file.tensor(&name) else {
        return Err(CheckpointError::Missing { path: path(), name });
    };
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 if view.shape() == dims => {
            let (chunks, _) = view.data().as_chunks::<4>();
            chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()
        }
        Dtype::F16 if view.shape() == dims => {
            let (chunks, _) = view.data().as_chunks::<2>();
            let exact = chunks.iter().map(|b| f16::from_le_bytes(*b).to_f32());
            exact.collect()
        }
        _ => {
            return Err(CheckpointError::Shape {
                path: path(),
                name,
                found: format!("{:?} {:?}", view.dtype(), view.shape()),
                expected: format!("F32 {dims:?}"),
            });
        }
    };
    if values.iter().any(|x| !x.is_finite()) {
        return Err(CheckpointError::NotFinite { path: path(), name });
    }
    Ok(values)
}

/// Writes tensors and one entry of metadata aside, syncs them and puts them in place.
pub fn write(
    path: &Path,
    key: &str,
    entry: String,
    arrays: Vec<Array>,
    precision: Precision,
) -> Result<(), CheckpointError> {
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let serialize = |source| CheckpointError::Serialize {
        path: path.to_owned(),
        source,
    };
    let stored = |values: &[f32]| -> Vec<u8> {
        match precision {
            Precision::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Precision::F16 => {
                let halves = values.iter().map(|x| f16::from_f32(*x));
                halves.flat_map(f16::to_le_bytes).collect()
            }
        }
    };
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let owned: Vec<_> = arrays
        .into_iter()
        .map(|(name, dims, values)| (name, dims, stored(&values)))
        .collect();
    let views: Result<Vec<_>, _> = owned
        .iter()
        .map(|(name, dims, data)| Ok((name, TensorView::new(dtype, dims.clone(), data)?)))
        .collect();
    let metadata = HashMap::from([(key.to_owned(), entry)]);
    let bytes =
        safetensors::serialize(views.map_err(serialize)?, Some(metadata)).map_err(serialize)?;
    aside::write(path, &bytes).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        let mut model = Model::untrained(7);
        model.weights.without.counts = true;
        model.roles = vec![7, u32::MAX, 1].into();
        model.save(&path, Precision::F32).expect("saved");
        let loaded = Model::load(&path).expect("loaded");
        assert_eq!(loaded.weights, model.weights);
        assert_eq!(loaded.linear, model.linear);
        assert_eq!(loaded.roles, model.roles);
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("readable").count(),
            1,
            "nothing is left aside"
        );
    }

    fn refused(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        Model::untrained(7)
            .save(&path, Precision::F32)
            .expect("saved");
        let mut bytes = std::fs::read(&path).expect("readable");
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("writable");
        let message = Model::load(&path).expect_err("must be refused").to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }

    fn replace(bytes: &mut [u8], from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let at = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .expect("found");
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }

    #[test]
    fn another_version_is_refused() {
        let message = refused(|bytes| {
            replace(
                bytes,
                "{\\\"version\\\":\\\"4\\\"",
                "{\\\"version\\\":\\\"9\\\"",
            );
        });
        assert!(message.contains("model version 9"), "{message}");
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let message = refused(|bytes| replace(bytes, "\"shape\":[256]", "\"shape\":[128]"));
        assert!(
            message.contains("safetensors") || message.contains("expected F32"),
            "{message}"
        );
        let message = refused(|bytes| replace(bytes, "\"shape\":[1,32]", "\"shape\":[32,1]"));
        assert!(
            message.contains("scorer.out is F32 [32, 1], expected F32 [1, 32]"),
            "{message}"
        );
    }

    #[test]
    fn not_a_number_is_refused() {
        let message = refused(|bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        });
        assert!(message.contains("not a finite number"), "{message}");
    }

    #[test]
    fn other_files_are_refused() {
        assert!(refused(|bytes| bytes.truncate(40)).contains("not a safetensors file"));
        assert!(refused(|bytes| *bytes = b"hello".to_vec()).contains("not a safetensors file"));
        assert!(refused(Vec::clear).contains("not a safetensors file"));
        let message = refused(|bytes| replace(bytes, "kernoracle_model", "kernoracle_mxdel"));
        assert!(message.contains("not a Kernoracle model"), "{message}");
    }

    #[test]
    fn the_default_model_loads() {
        Model::embedded()
            .expect("the model in models/default.safetensors fits this program: train it again");
    }

    #[test]
    fn halves_are_close() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        let model = Model::untrained(7);
        model.save(&path, Precision::F16).expect("saved");
        let loaded = Model::load(&path).expect("loaded");
        for ((_, _, a), (_, _, b)) in arrays(&model).iter().zip(arrays(&loaded)) {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-3 * a.abs() + 1e-6, "{a} {b}");
            }
        }
    }
}
