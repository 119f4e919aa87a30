//! What a training has to know to go on after it was killed: beside its output, written aside after each epoch.

use super::{Epoch, Plan, Recording};
use crate::model::checkpoint::{self, Array};
use crate::model::{CheckpointError, Linear, Model, Moments, Precision, Weights};
use crate::runqueue::Roles;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KEY: &str = "kernoracle_training";

/// Why a state cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{}: not a state that train wrote ({source}); delete it to begin anew", path.display())]
    Meta {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: a training with another {what} was interrupted there; give the same arguments to go on with it, or delete the file to begin anew", path.display())]
    Differs { path: PathBuf, what: &'static str },
    #[error("{}: does not fit this version of the model; delete it to begin anew", path.display())]
    Misfit { path: PathBuf },
}

/// What a training follows from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub plan: Plan,
    pub recordings: Vec<Recording>,
    /// Checksum of the model that it starts from.
    pub from: Option<u32>,
}

/// A training between two epochs.
#[derive(Debug)]
pub(super) struct State {
    pub current: (Weights, Linear),
    pub best: (Weights, Linear),
    /// With which the recordings were replayed last, and before which epoch.
    pub replayed: (Weights, Linear),
    pub replayed_before: u32,
    pub moments: Moments,
    pub history: Vec<Epoch>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    /// Of the model.
    version: String,
    terms: Terms,
    replayed_before: u32,
    steps: u64,
    history: Vec<Epoch>,
}

/// Where the state of a training with this output is.
pub(super) fn path_beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

impl State {
    pub fn save(&self, path: &Path, terms: &Terms) -> Result<(), StateError> {
        let mut arrays: Vec<Array> = Vec::new();
        let parts = [
            ("current", &self.current),
            ("best", &self.best),
            ("replayed", &self.replayed),
        ];
        for (prefix, (weights, linear)) in parts {
            let model = Model {
                weights: weights.clone(),
                linear: linear.clone(),
                roles: Roles::default(),
                training: None,
                bytes: None,
            };
            let named = checkpoint::arrays(&model).into_iter();
            arrays.extend(named.map(|(name, dims, x)| (format!("{prefix}.{name}"), dims, x)));
        }
        for (name, [first, second]) in &self.moments.by_name {
            for (prefix, values) in [("first", first), ("second", second)] {
                arrays.push((
                    format!("{prefix}.{name}"),
                    vec![values.len()],
                    values.clone(),
                ));
            }
        }
        let meta = Meta {
            version: checkpoint::VERSION.to_owned(),
            terms: terms.clone(),
            replayed_before: self.replayed_before,
            steps: self.moments.steps,
            history: self.history.clone(),
        };
        let meta = serde_json::to_string(&meta).expect("plain fields");
        Ok(checkpoint::write(path, KEY, meta, arrays, Precision::F32)?)
    }

    /// The state at `path`; `None` if there is none.
    pub fn load(path: &Path, terms: &Terms) -> Result<Option<Self>, StateError> {
        if !path.exists() {
            return Ok(None);
        }
        let bytes = checkpoint::read(path)?;
        let meta = checkpoint::entry(path, &bytes, KEY)?;
        let meta: Meta = serde_json::from_str(&meta).map_err(|source| StateError::Meta {
            path: path.to_owned(),
            source,
        })?;
        if meta.version != checkpoint::VERSION {
            return Err(StateError::Misfit {
                path: path.to_owned(),
            });
        }
        differences(path, &meta.terms, terms)?;
        let file = SafeTensors::deserialize(&bytes).map_err(checkpoint::foreign(path))?;
        let without = terms.plan.without;
        let part = |prefix: &str| checkpoint::from_file(path, &file, prefix, without);
        let mut by_name = BTreeMap::new();
        for stored in file.names() {
            if let Some(name) = stored.strip_prefix("first.") {
                let moment = |prefix: &str| {
                    let stored = format!("{prefix}.{name}");
                    let len = file.tensor(&stored).map_or(0, |view| view.data().len() / 4);
                    checkpoint::tensor(path, &file, &stored, &[len])
                };
                by_name.insert(name.to_owned(), [moment("first")?, moment("second")?]);
            }
        }
        Ok(Some(Self {
            current: part("current.")?,
            best: part("best.")?,
            replayed: part("replayed.")?,
            replayed_before: meta.replayed_before,
            moments: Moments {
                steps: meta.steps,
                by_name,
            },
            history: meta.history,
        }))
    }
}

fn differences(path: &Path, theirs: &Terms, ours: &Terms) -> Result<(), StateError> {
    let contents = |terms: &Terms| -> Vec<_> {
        let recordings = terms.recordings.iter();
        recordings.map(|r| (r.name(), r.bytes, r.crc32)).collect()
    };
    let what = if contents(theirs) != contents(ours) {
        "set of recordings"
    } else if theirs.from != ours.from {
        "model to start from"
    } else if theirs.plan.seed != ours.plan.seed {
        "--seed"
    } else if theirs.plan != ours.plan {
        "set of options"
    } else {
        return Ok(());
    };
    Err(StateError::Differs {
        path: path.to_owned(),
        what,
    })
}
