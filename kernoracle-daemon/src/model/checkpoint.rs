//! Weights on disk: safetensors with a version, shapes checked on loading.

use super::linear::Linear;
use super::mixer::Mixer;
use super::run_mixer::RunMixer;
use super::weights::{
    TENSORS, Weights,
    shape::{FEATURES, QUANTILES, SITUATION},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Changes whenever the meaning of a weight does: other features, other shapes.
const VERSION: &str = "1";
const FORMAT_KEY: &str = "kernoracle_model";
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
    #[error("{}: not a safetensors file ({source}); give a file written by --save-model", path.display())]
    NotSafetensors {
        path: PathBuf,
        source: safetensors::SafeTensorError,
    },
    #[error("{}: not a Kernoracle model; give a file written by --save-model", path.display())]
    Foreign { path: PathBuf },
    #[error("{}: model version {found}, this program reads {VERSION}; train it again or use the program that wrote it", path.display())]
    Version { path: PathBuf, found: String },
    #[error("{}: tensor {name} is missing", path.display())]
    Missing { path: PathBuf, name: &'static str },
    #[error("{}: tensor {name} is {found}, expected {expected}", path.display())]
    Shape {
        path: PathBuf,
        name: &'static str,
        found: String,
        expected: String,
    },
    #[error("{}: tensor {name} holds a value that is not a finite number", path.display())]
    NotFinite { path: PathBuf, name: &'static str },
    #[error("{}: cannot lay out the model: {source}", path.display())]
    Serialize {
        path: PathBuf,
        source: safetensors::SafeTensorError,
    },
}

/// Reads a model.
pub fn load(path: &Path) -> Result<(Weights, Linear), CheckpointError> {
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
    let bytes = std::fs::read(path).map_err(io)?;
    let foreign = |source| CheckpointError::NotSafetensors {
        path: path.to_owned(),
        source,
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(foreign)?;
    let version = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(FORMAT_KEY));
    match version.map(String::as_str) {
        Some(VERSION) => {}
        Some(found) => {
            return Err(CheckpointError::Version {
                path: path.to_owned(),
                found: found.to_owned(),
            });
        }
        None => {
            return Err(CheckpointError::Foreign {
                path: path.to_owned(),
            });
        }
    }
    let file = SafeTensors::deserialize(&bytes).map_err(foreign)?;
    let tensors: Result<BTreeMap<_, _>, _> = TENSORS
        .iter()
        .map(|(name, dims)| Ok((*name, tensor(path, &file, name, dims)?)))
        .collect();
    let rows = tensor(path, &file, MIXER, &[Mixer::ROWS, FEATURES])?;
    let run_rows = tensor(path, &file, RUN_MIXER, &[QUANTILES, SITUATION])?;
    let linear = Linear {
        candidates: Mixer::from_rows(&rows),
        run: RunMixer::from_rows(&run_rows),
    };
    Ok((Weights::from_tensors(tensors?), linear))
}

fn tensor(
    path: &Path,
    file: &SafeTensors<'_>,
    name: &'static str,
    dims: &[usize],
) -> Result<Vec<f32>, CheckpointError> {
    let path = || path.to_owned();
    let view = file
        .tensor(name)
        .map_err(|_| CheckpointError::Missing { path: path(), name })?;
    if view.shape() != dims || view.dtype() != Dtype::F32 {
        return Err(CheckpointError::Shape {
            path: path(),
            name,
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
            expected: format!("F32 {dims:?}"),
        });
    }
    let (chunks, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = chunks
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    if values.iter().any(|x| !x.is_finite()) {
        return Err(CheckpointError::NotFinite { path: path(), name });
    }
    Ok(values)
}

/// Writes a model aside, syncs it and puts it in place.
pub fn save(path: &Path, weights: &Weights, linear: &Linear) -> Result<(), CheckpointError> {
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let serialize = |source| CheckpointError::Serialize {
        path: path.to_owned(),
        source,
    };
    let bytes_of = |values: &[f32]| {
        values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let mut owned: Vec<(&str, Vec<usize>, Vec<u8>)> = weights
        .tensors()
        .map(|(name, dims, values)| (name, dims.to_vec(), bytes_of(values)))
        .collect();
    owned.push((
        MIXER,
        vec![Mixer::ROWS, FEATURES],
        bytes_of(&linear.candidates.to_rows()),
    ));
    owned.push((
        RUN_MIXER,
        vec![QUANTILES, SITUATION],
        bytes_of(&linear.run.to_rows()),
    ));
    let views: Result<Vec<_>, _> = owned
        .iter()
        .map(|(name, dims, data)| Ok((*name, TensorView::new(Dtype::F32, dims.clone(), data)?)))
        .collect();
    let metadata = HashMap::from([
        (FORMAT_KEY.to_owned(), VERSION.to_owned()),
        (
            "writer".to_owned(),
            concat!("kernoracle ", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
    ]);
    let bytes =
        safetensors::serialize(views.map_err(serialize)?, Some(metadata)).map_err(serialize)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut aside = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    aside.write_all(&bytes).map_err(io)?;
    aside.as_file().sync_all().map_err(io)?;
    aside.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        let weights = Weights::untrained(7);
        save(&path, &weights, &Linear::default()).expect("saved");
        let (loaded, linear) = load(&path).expect("loaded");
        assert_eq!(loaded, weights);
        assert_eq!(linear, Linear::default());
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("readable").count(),
            1,
            "nothing is left aside"
        );
    }

    fn refused(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        save(&path, &Weights::untrained(7), &Linear::default()).expect("saved");
        let mut bytes = std::fs::read(&path).expect("readable");
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("writable");
        let message = load(&path).expect_err("must be refused").to_string();
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
                "\"kernoracle_model\":\"1\"",
                "\"kernoracle_model\":\"9\"",
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
}
