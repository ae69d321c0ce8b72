//! I/O · the branches of one repository whose names match a pattern, with their commits.

use http::StatusCode;
use serde::Deserialize;

use super::call::Call;
use super::client::{Forge, path_part};
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
        let patterns = [pattern.to_owned()];
        let mut all = self.branches_below(prefix).await?;
        all.retain(|(name, _)| selection::branch(&patterns, name).is_ok());
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// All branches whose names begin so.
    async fn branches_below(&self, prefix: &str) -> Result<Vec<Branch>, ForgeError> {
        let parts: Vec<String> = prefix.split('/').map(path_part).collect();
        // It takes no size of a page.
        let mut path = self.path(&format!("/git/matching-refs/heads/{}", parts.join("/")));
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let kept = self.api.branches().get(&path).filter(|_| page == 0);
            let tag = kept.as_ref().map(|kept| kept.tag.clone());
            let reply = self.api.send(Call { tag, ..Call::get(&path) }).await?;
            if reply.status == StatusCode::NOT_MODIFIED {
                return kept.map(|kept| kept.value).ok_or_else(|| reply.unexpected("304 unasked"));
            }
            let rows: Vec<Reference> = reply.json()?;
            all.extend(rows.into_iter().filter(|row| row.object.kind == "commit").filter_map(
                |row| {
                    let name = row.name.strip_prefix("refs/heads/")?.to_owned();
                    Some((name, Revision::parse(&row.object.sha).ok()?))
                },
            ));
            let Some(next) = reply.next() else {
                if page == 0 {
                    self.api.branches().put(&path, reply.tag(), &all);
                }
                return Ok(all);
            };
            path = next;
        }
        tracing::warn!(
            repository = %self.name(), prefix,
            "there are more branches than are read; the first {} are", all.len()
        );
        Ok(all)
    }
}
