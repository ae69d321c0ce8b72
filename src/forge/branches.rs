//! I/O · the branches of one repository whose names match a pattern, with their commits.

use http::StatusCode;
use serde::Deserialize;

use super::api::Call;
use super::client::{Forge, PER_PAGE, path_part, too_many};
use super::error::ForgeError;
use crate::domain::id::Revision;
use crate::domain::selection;

/// Pages of references that are read for one pattern.
const MOST_PAGES: usize = 10;

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "ref")]
    name: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
    #[serde(rename = "type", default)]
    kind: String,
}

/// A branch and its commit.
pub(super) type Branch = (String, Revision);

impl Forge {
    /// The branches that match `pattern`, by name. An answer that has not changed costs nothing of the rate.
    pub async fn branches(&self, pattern: &str) -> Result<Vec<(String, Revision)>, ForgeError> {
        let Some((prefix, _)) = pattern.split_once('*') else {
            let found = self.branch(pattern).await?;
            return Ok(found.map(|tip| (pattern.to_owned(), tip)).into_iter().collect());
        };
        let parts: Vec<String> = prefix.split('/').map(path_part).collect();
        let first =
            self.path(&format!("/git/matching-refs/heads/{}?per_page={PER_PAGE}", parts.join("/")));
        let mut path = first.clone();
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let kept = self.api.branches().get(&path).filter(|_| page == 0);
            let tag = kept.as_ref().map(|kept| kept.tag.clone());
            let reply = self.api.send(Call { tag, ..Call::get(&path) }).await?;
            if reply.status == StatusCode::NOT_MODIFIED {
                return kept.map(|kept| kept.value).ok_or_else(|| reply.unexpected("304 unasked"));
            }
            let rows: Vec<Reference> = reply.json()?;
            all.extend(rows.into_iter().filter_map(|row| {
                let name = row.name.strip_prefix("refs/heads/")?.to_owned();
                let pattern = [pattern.to_owned()];
                let fits =
                    row.object.kind == "commit" && selection::branch(&pattern, &name).is_ok();
                let tip = Revision::parse(&row.object.sha).ok().filter(|_| fits)?;
                Some((name, tip))
            }));
            let Some(next) = reply.next() else {
                all.sort();
                all.dedup();
                if page == 0 {
                    self.api.branches().put(&path, reply.tag(), &all);
                }
                return Ok(all);
            };
            path = next;
        }
        Err(too_many("branches", &first))
    }
}
