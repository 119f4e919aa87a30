//! The oracle that the benches measure and a test watches.

use kernoracle::model::Model;
use kernoracle::oracle::{Config, Engine, Learning, Oracle, StartFrom};

/// An oracle with the model that the binary holds. `every` is the number of decisions between training steps, [`Learning::NEVER`] for
/// none; if `timed`, predictions carry their inference time.
///
/// # Panics
///
/// If that model cannot be used.
pub fn embedded(every: u32, timed: bool) -> Oracle {
    let config = Config {
        window: 64,
        seed: 1,
        learning: Learning::Inline { every },
        engine: Engine::Plain,
        model: StartFrom::Default,
        live: false,
        timed,
    };
    let model = Model::embedded().expect("the binary holds a model");
    Oracle::with_model(config, model, "embedded".to_owned()).expect("it is usable")
}
