//! The run as one HTML page, for a person who was not there.
//!
//! The page is complete in itself and has no script, so it opens from a disk, from an e-mail and as an artifact of CI, and
//! shows under a strict content security policy. Its own policy allows nothing but its style. It is the same for the same
//! run. Text is escaped by `maud`, except for the style.

mod charts;
mod overview;
mod svg;
mod tables;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::reasons::{without_addresses, without_particulars};
use super::visible::Visible;
use super::{ExitCode, Reasons, RunSummary, Statistics};
use crate::input::Issue;

const STYLE: &str = include_str!("style.css");

/// The SHA-256 of the style, in Base64. A test compares it.
const STYLE_HASH: &str = "kdg+hWoO9/SNn6B9+AFLIiGJqxfnBIbw0F8bXE4LzMs=";

/// What the page shows. It holds no ids, no values and no secrets.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The result, as scripts get it.
    pub summary: &'a RunSummary,
    /// What happened, in a sentence.
    pub headline: &'a str,
    /// What to do next, a paragraph each. The lines after the first one of each are commands.
    pub next: &'a [String],
    /// The details, if anything was sent.
    pub statistics: Option<&'a Statistics>,
    /// Why rows failed.
    pub failures: &'a Reasons,
    /// Why rows are invalid, the most frequent first.
    pub invalid: &'a [Issue],
    /// The settings in use, by name.
    pub settings: &'a [(String, String)],
    /// The configured limit, in requests per second, if the settings are known.
    pub rate_limit: Option<f64>,
}

impl Page<'_> {
    /// Writes the page.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        out.write_all(self.document().into_string().as_bytes())?;
        out.flush()
    }

    /// A sentence about the run. If the server stopped it, its words may be in there.
    fn about_run(&self, text: &str) -> Markup {
        match self.summary.exit {
            ExitCode::Stopped => prose(&without_particulars(text)),
            _ => prose(text),
        }
    }

    fn document(&self) -> Markup {
        let RunSummary { run_id, exit, .. } = self.summary;
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
        );
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { "attrsync run " (Visible(run_id)) ": " (exit.outcome()) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        (self.outcome())
                        (self.next())
                        (self.rows())
                        (self.attributes())
                        (self.reasons())
                        (self.requests())
                        (self.run())
                        (self.settings())
                    }
                }
            }
        }
    }
}

/// A text in which what stands between backticks is code, and what looks like an e-mail address is left out.
fn prose(text: &str) -> Markup {
    let text = without_addresses(text);
    let parts: Vec<_> = text.split('`').collect();
    // Without a partner, a backtick is only a backtick.
    if parts.len() % 2 == 0 {
        return html! { (Visible(&text)) };
    }
    html! {
        @for (number, part) in parts.iter().enumerate() {
            @if number % 2 == 1 { code { (Visible(part)) } } @else { (Visible(part)) }
        }
    }
}
