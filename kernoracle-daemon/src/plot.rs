//! What the pictures share: colours, fonts, and a style sheet for readers whose page is dark.

use plotters::coord::Shift;
use plotters::prelude::*;

/// Colours of the page.
pub const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
pub const RULE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
/// Okabe and Ito's, told apart by the colour-blind too.
pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);

const DARK: &str = "<style>@media (prefers-color-scheme: dark) {\
    text { fill: #e6edf3 }\
    rect[fill=\"#FFFFFF\"] { fill: #0d1117 }\
    [stroke=\"#D0D7DE\"] { stroke: #30363d }\
    [stroke=\"#24292F\"] { stroke: #e6edf3 }\
    }</style>";

/// Why a picture cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// Where is drawn on.
pub type Page<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture of `(width, height)` px.
pub fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&Page<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&PAPER)?;
        draw(&root)?;
        root.present()?;
    }
    let end = svg
        .find("<svg")
        .and_then(|head| svg[head..].find('>').map(|end| head + end + 1))
        .ok_or_else(|| PlotError("no svg element".to_owned()))?;
    svg.insert_str(end, DARK);
    Ok(svg)
}

/// Text of so many px.
pub fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}
