//! PATCH: (live object, patch) → changed object, by four kinds of patches.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::body::{self, PatchKind};
use super::super::engine;
use super::super::state::{Call, State};
use super::super::status::{ApiError, Cause};
use super::decode;

impl State {
    /// PATCH of the object itself or its status. `true` when the object is new.
    pub(crate) fn patch(
        &mut self,
        call: &mut Call,
        bytes: &[u8],
    ) -> Result<(Arc<Value>, bool), ApiError> {
        let kind = body::patch_kind(call.content_type.as_deref())?;
        if kind == PatchKind::Apply {
            return self.apply(call, bytes);
        }
        if call.query.get("force").is_some() {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
        }
        let live = self.live(call)?;
        let patch = body::json(bytes)?;
        let shown = self.present(call, &live);
        if kind == PatchKind::Strategic && call.served.custom.is_some() {
            return Err(ApiError::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ]));
        }
        let patched = engine::patch(call, kind, &shown, &patch)?;
        let shown = decode::decode(call, patched)?;
        if shown["metadata"]["name"] != live["metadata"]["name"] {
            return Err(ApiError::bad_request(
                "the name of the object does not match the name on the URL",
            ));
        }
        self.change(call, &live, shown, false).map(|object| (object, false))
    }

    fn apply(&mut self, call: &mut Call, bytes: &[u8]) -> Result<(Arc<Value>, bool), ApiError> {
        if call.query.get("fieldManager").is_none() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
        }
        let mut config = body::yaml(bytes)?;
        decode::head(call, &mut config)?;
        let name = call.path.name.clone();
        match config["metadata"]["name"].as_str() {
            None | Some("") => config["metadata"]["name"] = json!(name),
            Some(said) if said != name => {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({said}) does not match the name on the URL ({name})"
                )));
            }
            Some(_) => {}
        }
        if config["metadata"].get("managedFields").is_some_and(|f| !f.is_null() && *f != json!([]))
        {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let live = self.live(call).ok();
        if live.is_none() && !call.path.subresource.is_empty() {
            return Err(ApiError::not_found(&call.resource(), &name));
        }
        let version = config["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if live.is_none() && !version.is_empty() {
            return Err(ApiError::modified(&call.resource(), &name));
        }
        if let Some(uid) = config["metadata"]["uid"].as_str()
            && live.is_none()
            && !uid.is_empty()
        {
            return Err(ApiError::conflict(
                &call.resource(),
                &name,
                &format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                ),
            ));
        }
        if let Some(live) = &live
            && !version.is_empty()
            && live["metadata"]["resourceVersion"] != version
        {
            return Err(ApiError::modified(&call.resource(), &name));
        }
        let shown = live.as_ref().map(|live| self.present(call, live));
        let applied = engine::apply(call, shown.as_ref(), &config)?;
        let object = decode::decode(call, applied)?;
        match live {
            Some(live) => self.change(call, &live, object, true).map(|object| (object, false)),
            None => self.admit(call, object, true).map(|object| (object, true)),
        }
    }
}
