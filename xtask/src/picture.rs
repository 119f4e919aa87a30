//! What the pictures share: size, colours, text, and a style sheet for readers whose page is dark. All are SVG.

use anyhow::{Context as _, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{Pos, VPos};
use std::borrow::Borrow;

pub use plotters::style::text_anchor::HPos;

/// px
pub const WIDTH: i32 = 900;

/// Colours of the page, which the style sheet replaces where the reader's is dark.
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
pub const RULE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
/// Okabe and Ito's, told apart by the colour-blind too.
pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub const SKY_BLUE: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
pub const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
pub const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);

const DARK_PAGE: &str = "text { fill: #e6edf3 }rect[fill=\"#FFFFFF\"] { fill: #0d1117 }";
/// How the backend writes [`RULE`], and what it is in the dark.
const RULED: &str = "stroke=\"#D0D7DE\"";
const DARK_RULE: &str = "[stroke=\"#D0D7DE\"] { stroke: #30363d }";

/// Where is drawn on.
pub type Page<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture of so many px of height; `name` is for errors.
pub fn svg(name: &str, height: i32, draw: impl FnOnce(&Page<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let drawn = || -> Result<()> {
        let size = (WIDTH as u32, height as u32);
        let page = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        page.fill(&PAPER)?;
        draw(&page)?;
        page.present()?;
        Ok(())
    };
    drawn().with_context(|| name.to_owned())?;
    let end = svg
        .find("<svg")
        .and_then(|head| svg[head..].find('>').map(|end| head + end + 1))
        .with_context(|| format!("{name}: no svg element"))?;
    let rule = if svg.contains(RULED) { DARK_RULE } else { "" };
    let style = format!("<style>@media (prefers-color-scheme: dark) {{{DARK_PAGE}{rule}}}</style>");
    svg.insert_str(end, &style);
    Ok(svg)
}

/// Text of so many px; `at` is in the middle of its height.
pub fn text<T: Borrow<str>>(
    text: T,
    at: (i32, i32),
    size: i32,
    horizontal: HPos,
) -> Text<'static, (i32, i32), T> {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .color(&INK)
        .pos(Pos::new(horizontal, VPos::Center));
    Text::new(text, at, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rule: bool) -> String {
        svg("a.svg", 90, |page| {
            page.draw(&text("name", (10, 10), 12, HPos::Left))?;
            if rule {
                let line = [(0, 20), (WIDTH, 20)];
                page.draw(&PathElement::new(line, RULE.stroke_width(1)))?;
            }
            Ok(())
        })
        .unwrap()
    }

    #[test]
    fn the_style_sheet_for_dark_readers_fits_what_is_drawn() {
        for rule in [true, false] {
            let svg = picture(rule);
            let (head, drawing) = svg.split_once("</style>").unwrap();
            assert!(head.contains("prefers-color-scheme: dark"), "{svg}");
            assert!(drawing.contains("fill=\"#FFFFFF\""), "the paper: {svg}");
            assert!(drawing.contains("<text"), "{svg}");
            assert_eq!(drawing.contains(RULED), rule, "{svg}");
            assert_eq!(head.contains(RULED), rule, "{svg}");
        }
    }

    #[test]
    fn it_is_one_element() {
        let svg = picture(true);
        assert_eq!(svg.matches("<svg").count(), 1);
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
