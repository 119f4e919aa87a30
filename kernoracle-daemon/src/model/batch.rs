//! Views laid out as tensors.

use super::frame::View;
use super::mixer::SELECTORS;
use super::weights::shape::{FEATURES, QUANTILES, SITUATION};
use crate::runqueue::CODE;
use candle_core::{Device, Result, Tensor};

/// `N` views with `M` candidates in all, at most `K` each.
pub(super) struct Batch {
    pub n: usize,
    pub k: usize,
    /// `[N]`, which row of the LSTM's output a view belongs to.
    pub rows: Tensor,
    /// `[N, SITUATION]`
    pub situation: Tensor,
    /// `[M, FEATURES]`
    pub features: Tensor,
    /// `[M, CODE]`
    pub codes: Tensor,
    /// `[M]`, the view that a candidate belongs to.
    pub owner: Tensor,
    /// `[N K]`, the candidate at each place; `M` where there is none.
    pub places: Tensor,
    /// `[M]`, what the linear part gave.
    pub linear: Tensor,
    /// `[N]`, rows of the mixer's shared and of its selected weights.
    pub shared: Tensor,
    pub selected: Tensor,
    /// `[N, 1]`
    pub targets: Tensor,
    /// `[N]`
    pub weights: Tensor,
    /// `[N]`, 1 for at-switch views.
    pub at_switch: Tensor,
    /// `[N, 1]`
    pub run_base: Tensor,
    /// `[N, QUANTILES]`
    pub run_shift: Tensor,
    /// `[N, 1]`
    pub run_time: Tensor,
    pub run_known: Tensor,
}

/// A view and what it counts for.
struct Entry<'a> {
    row: u32,
    view: &'a View,
    refined: bool,
    weight: f32,
    run_time: Option<f32>,
}

/// Gathers views.
#[derive(Default)]
pub(super) struct BatchBuilder<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> BatchBuilder<'a> {
    /// Adds a view that belongs to row `row` of the LSTM's output.
    pub fn add(
        &mut self,
        row: u32,
        view: &'a View,
        refined: bool,
        weight: f32,
        run_time: Option<f32>,
    ) {
        self.entries.push(Entry {
            row,
            view,
            refined,
            weight,
            run_time,
        });
    }

    /// Sum of the weights, and how many run times are known.
    pub fn sums(&self) -> (f32, usize) {
        let known = self.entries.iter().filter(|entry| entry.run_time.is_some());
        (
            self.entries.iter().map(|entry| entry.weight).sum(),
            known.count(),
        )
    }

    /// The same views in the same order, in parts of at most so many candidates, or of one view that has more.
    pub fn parts(self, most: usize) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut candidates = usize::MAX;
        for entry in self.entries {
            let more = entry.view.candidates.len();
            candidates = candidates.saturating_add(more);
            if candidates > most {
                parts.push(Self::default());
                candidates = more;
            }
            if let Some(part) = parts.last_mut() {
                part.entries.push(entry);
            }
        }
        parts
    }

    pub fn build(self, device: &Device) -> Result<Batch> {
        let n = self.entries.len();
        let sizes = self.entries.iter().map(|entry| entry.view.candidates.len());
        let m: usize = sizes.clone().sum();
        let k = sizes.max().unwrap_or(1);
        let mut rows = Vec::with_capacity(n);
        let mut situation = Vec::with_capacity(n * SITUATION);
        let mut features = Vec::with_capacity(m * FEATURES);
        let mut codes = Vec::with_capacity(m * CODE);
        let mut owner = Vec::with_capacity(m);
        let mut places = Vec::with_capacity(n * k);
        let mut linear = Vec::with_capacity(m);
        let (mut shared, mut selected) = (Vec::new(), Vec::new());
        let (mut targets, mut weights, mut at_switch) = (Vec::new(), Vec::new(), Vec::new());
        let (mut run_base, mut run_time, mut run_known) = (Vec::new(), Vec::new(), Vec::new());
        let mut run_shift = Vec::with_capacity(n * QUANTILES);
        for (i, entry) in self.entries.iter().enumerate() {
            let view = entry.view;
            let kind = u32::from(entry.refined);
            rows.push(entry.row);
            situation.extend_from_slice(&view.situation);
            for candidate in &view.candidates {
                features.extend_from_slice(&candidate.features[..FEATURES]);
                codes.extend_from_slice(&candidate.code);
                places.push(owner.len() as u32);
                owner.push(i as u32);
            }
            places.resize((i + 1) * k, m as u32);
            linear.extend_from_slice(&view.linear);
            // Trained views come without: their linear part is computed in candle.
            linear.resize(owner.len(), 0.0);
            shared.push(kind);
            selected.push(kind * SELECTORS as u32 + view.selector as u32);
            targets.push(view.target.unwrap_or(0) as u32);
            weights.push(entry.weight);
            at_switch.push(f32::from(u8::from(!entry.refined)));
            run_base.push(view.run_base);
            run_shift.extend_from_slice(&view.run_shift);
            run_time.push(entry.run_time.unwrap_or(view.run_base));
            run_known.push(f32::from(u8::from(entry.run_time.is_some())));
        }
        Ok(Batch {
            n,
            k,
            rows: Tensor::from_vec(rows, n, device)?,
            situation: Tensor::from_vec(situation, (n, SITUATION), device)?,
            features: Tensor::from_vec(features, (m, FEATURES), device)?,
            codes: Tensor::from_vec(codes, (m, CODE), device)?,
            owner: Tensor::from_vec(owner, m, device)?,
            places: Tensor::from_vec(places, n * k, device)?,
            linear: Tensor::from_vec(linear, m, device)?,
            shared: Tensor::from_vec(shared, n, device)?,
            selected: Tensor::from_vec(selected, n, device)?,
            targets: Tensor::from_vec(targets, (n, 1), device)?,
            weights: Tensor::from_vec(weights, n, device)?,
            at_switch: Tensor::from_vec(at_switch, n, device)?,
            run_base: Tensor::from_vec(run_base, (n, 1), device)?,
            run_shift: Tensor::from_vec(run_shift, (n, QUANTILES), device)?,
            run_time: Tensor::from_vec(run_time, (n, 1), device)?,
            run_known: Tensor::from_vec(run_known, (n, 1), device)?,
        })
    }
}
