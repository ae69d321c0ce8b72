//! Reads: one object, or a page of a collection at a resource version.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::path::Query;
use super::super::selectors::{FieldSelector, LabelSelector};
use super::super::state::{Call, State};
use super::super::status::{ApiError, Cause};
use super::super::store::Compacted;
use super::super::{convert, engine};

/// Which objects of a collection are wanted.
pub(crate) struct Selectors {
    label: LabelSelector,
    field: FieldSelector,
    /// Nothing is asked for: only then it is known how many are left behind a page.
    all: bool,
}

impl Selectors {
    pub(crate) fn parse(call: &Call, query: &Query) -> Result<Self, ApiError> {
        let empty = |key: &str| query.get(key).is_none_or(str::is_empty);
        Ok(Self {
            all: empty("labelSelector") && empty("fieldSelector"),
            label: engine::label_selector(query.get("labelSelector").unwrap_or_default())?,
            field: engine::field_selector(call, query)?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.label.matches(object) && self.field.matches(object)
    }
}

/// `resourceVersion` and what it means.
#[derive(Debug, Default)]
pub(crate) struct ListOptions {
    pub(crate) version: Option<u64>,
    exact: bool,
    limit: Option<usize>,
    start: Option<(u64, String, String)>,
}

impl ListOptions {
    pub(crate) fn parse(query: &Query) -> Result<Self, ApiError> {
        let version = query
            .get("resourceVersion")
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!("invalid resource version {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"))
                })
            })
            .transpose()?;
        let matching = query.get("resourceVersionMatch");
        let invalid = |cause: Cause| ApiError::invalid("meta.k8s.io", "ListOptions", "", &[cause]);
        let watch = query.flag("watch");
        if let Some(word) = matching {
            if query.get("continue").is_some() {
                return Err(invalid(Cause::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                )));
            }
            if version.is_none() && !query.flag("sendInitialEvents") {
                return Err(invalid(Cause::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                )));
            }
            if !matches!(word, "Exact" | "NotOlderThan") {
                return Err(invalid(Cause::not_supported(
                    "resourceVersionMatch",
                    &json!(word),
                    &["Exact", "NotOlderThan", ""],
                )));
            }
            if word == "Exact" && version == Some(0) {
                return Err(invalid(Cause::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                )));
            }
        }
        if query.get("sendInitialEvents").is_some() {
            if !watch {
                return Err(invalid(Cause::forbidden(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for list",
                )));
            }
            if matching != Some("NotOlderThan") {
                return Err(invalid(Cause::forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                )));
            }
        }
        let limit = query.number("limit")?.filter(|limit| *limit > 0);
        let start = query
            .get("continue")
            .map(|token| {
                start(token).ok_or_else(|| ApiError::bad_request("continue key is not valid"))
            })
            .transpose()?;
        if start.is_some() && version.is_some_and(|version| version != 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        Ok(Self {
            version,
            exact: matching == Some("Exact"),
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            start,
        })
    }
}

fn start(token: &str) -> Option<(u64, String, String)> {
    let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let text = |key: &str| token[key].as_str().map(str::to_owned);
    Some((token["rv"].as_u64()?, text("namespace")?, text("name")?))
}

/// A part of a collection.
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) revision: u64,
    next: Option<String>,
    remaining: Option<usize>,
}

impl Page {
    /// `metadata` of the list.
    pub(crate) fn metadata(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            meta["continue"] = json!(next);
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = json!(remaining);
        }
        meta
    }
}

impl State {
    /// An object in the version that the request speaks.
    #[expect(clippy::unused_self, reason = "reads well beside the other reads")]
    pub(crate) fn present(&self, call: &Call, object: &Value) -> Value {
        convert::from_storage(&call.served.kind, object)
    }

    /// Fails when `version` lies in the future.
    pub(crate) fn not_newer(&self, version: Option<u64>) -> Result<(), ApiError> {
        let now = self.store.revision();
        match version {
            Some(asked) if asked > now => Err(ApiError::too_large_resource_version(asked, now)),
            _ => Ok(()),
        }
    }

    /// A page of the collection that the path names.
    pub(crate) fn list(
        &self,
        call: &Call,
        options: &ListOptions,
        selectors: &Selectors,
    ) -> Result<Page, ApiError> {
        self.not_newer(options.version)?;
        let resource = call.resource();
        let (revision, after) = match (&options.start, options.exact) {
            (Some((revision, namespace, name)), _) => (*revision, Some((namespace, name))),
            (None, true) => (options.version.unwrap_or_default(), None),
            (None, false) => (self.store.revision(), None),
        };
        let all = self.store.at(&resource, revision).map_err(|Compacted { .. }| {
            if after.is_some() {
                ApiError::expired("The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.")
            } else {
                ApiError::expired(format!("The resourceVersion for the provided list is too old: {revision}"))
            }
        })?;
        let namespace = call.namespace();
        let mut wanted = all
            .into_iter()
            .filter(|((at, _), _)| namespace.is_empty() || namespace == at)
            .filter(|((ns, name), _)| after.is_none_or(|(a, b)| (ns, name) > (a, b)))
            .filter(|(_, object)| selectors.matches(object))
            .peekable();
        let limit = options.limit.unwrap_or(usize::MAX);
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < limit {
            let Some((key, object)) = wanted.next() else { break };
            items.push(object);
            last = Some(key);
        }
        let (mut next, mut remaining) = (None, None);
        if let (Some(_), Some((namespace, name))) = (wanted.peek(), last) {
            let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "namespace": namespace, "name": name});
            next = Some(URL_SAFE_NO_PAD.encode(token.to_string()));
            remaining = selectors.all.then(|| wanted.count());
        }
        Ok(Page { items, revision, next, remaining })
    }
}
