//! PURE · the hidden first line by which a comment of ours is found again.

use std::fmt;

const PREFIX: &str = "<!-- bivouac:v1 ";

/// Who wrote a comment, about what, and how often: `<!-- bivouac:v1 instance=… id=… rev=… -->`.
///
/// It is no proof: anybody can write it. It counts only in a comment whose author is ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Name of the installation.
    pub instance: String,
    /// What it is about: the record's identity.
    pub id: String,
    /// Counts up with each text that is written.
    pub sequence: u64,
}

impl Marker {
    /// Takes the parts; what could end the marker's line is replaced.
    #[must_use]
    pub fn new(instance: &str, id: &str, sequence: u64) -> Self {
        Self { instance: plain(instance), id: plain(id), sequence }
    }

    /// The marker in `body`: its first line, whole, and nothing else.
    #[must_use]
    pub fn find(body: &str) -> Option<Self> {
        let line = body.lines().next()?.trim_end();
        let mut parts = line.strip_prefix(PREFIX)?.strip_suffix(" -->")?.split(' ');
        let instance = parts.next()?.strip_prefix("instance=")?;
        let id = parts.next()?.strip_prefix("id=")?;
        let sequence = parts.next()?.strip_prefix("rev=")?.parse().ok()?;
        let fine = parts.next().is_none() && plain(instance) == instance && plain(id) == id;
        fine.then(|| Self { instance: instance.to_owned(), id: id.to_owned(), sequence })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}instance={} id={} rev={} -->", self.instance, self.id, self.sequence)
    }
}

/// At most 200 characters of a small alphabet; never empty.
fn plain(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    text.chars().take(200).map(|c| if fine(c) { c } else { '_' }).collect()
}
