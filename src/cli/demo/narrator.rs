//! How the story is told: steps with their times, for people or for machines. Writes to stdout.

use std::io::{IsTerminal as _, Write as _};

use tokio::time::Instant;

/// Tells the story as it happens.
pub(super) struct Narrator {
    json: bool,
    /// A terminal: a step that runs is shown and then replaced.
    live: bool,
    color: bool,
    began: Instant,
    step: Option<(String, Instant)>,
}

impl Narrator {
    pub(super) fn new(json: bool) -> Self {
        let live = !json && std::io::stdout().is_terminal();
        // https://no-color.org: any value that is not empty turns colours off.
        let color = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, live, color, began: Instant::now(), step: None }
    }

    /// A step begins.
    pub(super) fn begin(&mut self, what: &str) {
        if self.live {
            self.write(&format!("  …  {what}"));
        }
        self.step = Some((what.to_owned(), Instant::now()));
    }

    /// It is done, and `found` is what was seen.
    pub(super) fn done(&mut self, found: &str) {
        let Some((what, began)) = self.step.take() else { return };
        let seconds = began.elapsed().as_secs_f64();
        if self.json {
            let line = serde_json::json!({"step": what, "found": found, "seconds": (seconds * 1000.0).round() / 1000.0});
            self.write(&format!("{line}\n"));
        } else {
            let back = if self.live { "\r\u{1b}[K" } else { "" };
            let (green, plain) = if self.color { ("\u{1b}[32m", "\u{1b}[0m") } else { ("", "") };
            self.write(&format!(
                "{back}{green}ok{plain} {seconds:6.2} s  {what}\n             {found}\n"
            ));
        }
    }

    /// Something to know.
    pub(super) fn say(&mut self, what: &str, value: &str) {
        if self.json {
            let line = serde_json::json!({"about": what, "value": value});
            self.write(&format!("{line}\n"));
        } else {
            self.write(&format!("{what:>16}  {value}\n"));
        }
    }

    /// The end of the story.
    pub(super) fn end(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        if self.json {
            let line =
                serde_json::json!({"ended": true, "seconds": (seconds * 1000.0).round() / 1000.0});
            self.write(&format!("{line}\n"));
        } else {
            self.write(&format!("all of it in {seconds:.1} s\n"));
        }
    }

    #[expect(clippy::unused_self, reason = "the narrator is the one who speaks")]
    fn write(&mut self, text: &str) {
        // A reader that went away (`| head`) is no reason to fail.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
