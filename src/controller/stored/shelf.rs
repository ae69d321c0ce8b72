//! The stored bundles of one record. I/O with home: lists metadata, reads, writes and deletes Secrets.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Resource as _};
use serde_json::json;

use super::form::{pack, unpack};
use super::{Context, Record, complain};
use crate::controller::error::ReconcileError;
use crate::crd::Environment;
use crate::domain::bundle::Bundle;

/// On every Secret that holds a part of a bundle, with the beginning of its digest.
pub(in crate::controller) const BUNDLE_LABEL: &str = "bivouac.dev/bundle";
const OWNER_LABEL: &str = "bivouac.dev/environment-uid";
const DIGEST: &str = "bivouac.dev/digest";
const INPUTS: &str = "bivouac.dev/inputs-digest";
const SEQUENCE: &str = "bivouac.dev/sequence";
const PART: &str = "bivouac.dev/part";
const PARTS: &str = "bivouac.dev/parts";
/// The key in each Secret.
const KEY: &str = "bundle.json.gz";
/// Bytes of one part. A Secret holds 1 MiB at most.
const PART_BYTES: usize = 900 << 10;
/// Bundles of one record: the running one and the last four.
const KEPT: usize = 5;

/// What lies there, newest first.
pub(super) struct Shelf {
    api: Api<Secret>,
    owner: Owner,
    kept: Vec<Kept>,
    /// Parts of bundles that were never written whole.
    torn: Vec<String>,
}

/// Whose bundles these are.
struct Owner {
    name: String,
    uid: String,
    instance: String,
}

/// One bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    sequence: u64,
    digest: String,
    inputs: String,
    /// Its Secrets, in order.
    names: Vec<String>,
}

impl Shelf {
    /// Looks at what is stored for a record.
    pub(super) async fn of(context: &Context, record: &Record) -> Result<Self, ReconcileError> {
        let api = Api::namespaced(context.home.clone(), &context.namespace);
        let owner = Owner {
            name: record.name().to_owned(),
            uid: record.uid().to_owned(),
            instance: context.instance.name.as_str().to_owned(),
        };
        Self::read(api, owner).await
    }

    async fn read(api: Api<Secret>, owner: Owner) -> Result<Self, ReconcileError> {
        let ours = format!("{OWNER_LABEL}={},{BUNDLE_LABEL}", owner.uid);
        let found = api
            .list_metadata(&ListParams::default().labels(&ours))
            .await
            .map_err(|error| ReconcileError::record("list the stored bundles", error))?;
        let (kept, torn) = sorted(found.items.into_iter().map(|item| item.metadata));
        Ok(Self { api, owner, kept, torn })
    }

    /// The bundle that was made of these inputs.
    pub(super) async fn read_of_inputs(
        &self,
        inputs: &str,
    ) -> Result<Option<Bundle>, ReconcileError> {
        match self.kept.iter().find(|kept| kept.inputs == inputs) {
            Some(kept) => self.unpacked(kept).await,
            None => Ok(None),
        }
    }

    /// The bundle of this digest.
    pub(super) async fn read_of_digest(
        &self,
        digest: &str,
    ) -> Result<Option<Bundle>, ReconcileError> {
        match self.kept.iter().find(|kept| kept.digest == digest) {
            Some(kept) => self.unpacked(kept).await,
            None => Ok(None),
        }
    }

    /// The bundle that was stored last.
    pub(super) async fn read_newest(&self) -> Result<Option<Bundle>, ReconcileError> {
        match self.kept.first() {
            Some(kept) => self.unpacked(kept).await,
            None => Ok(None),
        }
    }

    async fn unpacked(&self, kept: &Kept) -> Result<Option<Bundle>, ReconcileError> {
        let mut bytes = Vec::new();
        for name in &kept.names {
            let found = self.api.get_opt(name).await;
            let found = found.map_err(|error| ReconcileError::record("read a bundle", error))?;
            let data = found.and_then(|secret| secret.data);
            let Some(part) = data.and_then(|mut data| data.remove(KEY)) else { return Ok(None) };
            bytes.extend_from_slice(&part.0);
        }
        match unpack(&bytes) {
            Ok(bundle) if bundle.digest == kept.digest && bundle.inputs_digest == kept.inputs => {
                Ok(Some(bundle))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                complain(kept.names.first().map_or("", String::as_str), &error);
                Ok(None)
            }
        }
    }

    /// Stores `bundle` as the newest, and takes away what is too old: neither among the last nor `running`.
    pub(super) async fn keep(
        &self,
        bundle: &Bundle,
        running: Option<&str>,
    ) -> Result<(), ReconcileError> {
        let bytes = match pack(bundle) {
            Ok(bytes) => bytes,
            Err(error) => {
                complain(&self.owner.name, &error);
                return Ok(());
            }
        };
        let sequence = self.kept.first().map_or(1, |newest| newest.sequence + 1);
        let parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
        for (index, part) in parts.iter().enumerate().rev() {
            self.write(bundle, sequence, index, parts.len(), part).await?;
        }
        let mut room = KEPT - 1;
        let mut old: Vec<&String> = self.torn.iter().collect();
        for kept in self.kept.iter().filter(|kept| kept.digest != bundle.digest) {
            if room > 0 {
                room -= 1;
            } else if running != Some(kept.digest.as_str()) {
                // The first part last: without it the rest is rubbish, and known as such.
                old.extend(kept.names.iter().rev());
            }
        }
        for name in old.into_iter().filter(|name| !name.starts_with(&self.stem(bundle))) {
            self.delete(name).await?;
        }
        Ok(())
    }

    /// Takes all away.
    pub(super) async fn clear(&self) -> Result<(), ReconcileError> {
        for name in self.torn.iter().chain(self.kept.iter().flat_map(|kept| &kept.names)) {
            self.delete(name).await?;
        }
        Ok(())
    }

    /// What the names of a bundle's Secrets begin with. The record's UID is in it: one that was deleted and made again
    /// must not take a Secret that is going with the record of before.
    fn stem(&self, bundle: &Bundle) -> String {
        let uid = self.owner.uid.get(..8).unwrap_or(&self.owner.uid);
        format!("bundle-{uid}-{}-", bundle.digest.get(..16).unwrap_or(&bundle.digest))
    }

    async fn write(
        &self,
        bundle: &Bundle,
        sequence: u64,
        index: usize,
        of: usize,
        bytes: &[u8],
    ) -> Result<(), ReconcileError> {
        let name = format!("{}{index}", self.stem(bundle));
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": name,
                "labels": {
                    "app.kubernetes.io/managed-by": "bivouac",
                    "bivouac.dev/instance": self.owner.instance,
                    (OWNER_LABEL): self.owner.uid,
                    (BUNDLE_LABEL): bundle.digest.get(..16).unwrap_or_default(),
                },
                "annotations": {
                    "bivouac.dev/environment": self.owner.name,
                    (DIGEST): bundle.digest,
                    (INPUTS): bundle.inputs_digest,
                    (SEQUENCE): sequence.to_string(),
                    (PART): index.to_string(),
                    (PARTS): of.to_string(),
                },
                "ownerReferences": [{
                    "apiVersion": Environment::api_version(&()),
                    "kind": Environment::kind(&()),
                    "name": self.owner.name,
                    "uid": self.owner.uid,
                }],
            },
            "data": {(KEY): STANDARD.encode(bytes)},
        });
        let failed = |error| ReconcileError::record("store a bundle", error);
        let fresh: Secret = serde_json::from_value(secret.clone())
            .map_err(|error| failed(kube::Error::SerdeError(error)))?;
        match self.api.create(&PostParams::default(), &fresh).await {
            Ok(_) => Ok(()),
            // The same bundle as once before, and now the newest.
            Err(kube::Error::Api(status)) if status.is_already_exists() => self
                .api
                .patch(&name, &PatchParams::default(), &Patch::Merge(&secret))
                .await
                .map(drop)
                .map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), ReconcileError> {
        match self.api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(ReconcileError::record("delete a stored bundle", error)),
        }
    }
}

/// Whole bundles, newest first, and the names of parts that belong to none.
fn sorted(found: impl IntoIterator<Item = ObjectMeta>) -> (Vec<Kept>, Vec<String>) {
    let mut by_digest: BTreeMap<String, BTreeMap<usize, ObjectMeta>> = BTreeMap::new();
    let mut torn = Vec::new();
    for meta in found {
        let part = text(&meta, PART).parse().ok();
        match (text(&meta, DIGEST), part) {
            (digest, Some(part)) if !digest.is_empty() => {
                by_digest.entry(digest.to_owned()).or_default().insert(part, meta);
            }
            _ => torn.extend(meta.name),
        }
    }
    let mut kept = Vec::new();
    for (digest, parts) in by_digest {
        // The first part is written last, so what it says holds for all.
        let first = parts.get(&0).map(|first| {
            let number = |key| text(first, key).parse::<u64>().unwrap_or_default();
            (number(SEQUENCE), number(PARTS), text(first, INPUTS).to_owned())
        });
        let in_order = parts.keys().copied().eq(0..parts.len());
        let count = u64::try_from(parts.len()).unwrap_or_default();
        let names: Vec<String> = parts.into_values().filter_map(|meta| meta.name).collect();
        match first {
            Some((sequence, of, inputs)) if in_order && of == count => {
                kept.push(Kept { sequence, digest, inputs, names });
            }
            _ => torn.extend(names),
        }
    }
    kept.sort_by(|a, b| b.sequence.cmp(&a.sequence).then_with(|| a.digest.cmp(&b.digest)));
    torn.sort();
    (kept, torn)
}

fn text<'a>(meta: &'a ObjectMeta, key: &str) -> &'a str {
    let found = meta.annotations.as_ref().and_then(|all| all.get(key));
    found.map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::bundle::{BundleObject, Origin, RandomField, Wave};
    use crate::domain::carry_over::carry_over;
    use crate::sandbox::cluster::api::{ApiServer, Options};
    use crate::sandbox::cluster::controllers::client_over_with_token;
    use crate::seams::{Clock, Rng};

    fn bundle(inputs: &str, text: &str) -> Bundle {
        let json = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db"},
            "stringData": {"password": text},
        });
        let object = BundleObject {
            json,
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::Config,
            positions: BTreeMap::new(),
        };
        Bundle::new(vec![object], inputs.into())
    }

    struct Home(Api<Secret>);

    impl Home {
        fn new() -> Self {
            let start = "2026-03-02T09:00:00Z".parse().expect("a time");
            let server =
                ApiServer::new(Clock::simulated(start), &Rng::seeded(1), Options::default());
            let client = client_over_with_token(server.transport(), &server.admin_token().into());
            Self(Api::namespaced(client, "default"))
        }

        async fn shelf(&self, uid: &str) -> Shelf {
            let owner = Owner { name: "pr-1".into(), uid: uid.into(), instance: "demo".into() };
            Shelf::read(self.0.clone(), owner).await.expect("a shelf")
        }

        async fn names(&self) -> Vec<String> {
            let found = self.0.list(&ListParams::default()).await.expect("a list").items;
            found.into_iter().filter_map(|secret| secret.metadata.name).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_running_bundle_and_the_last_four_stay_until_the_camp_goes() {
        let home = Home::new();
        let running = bundle("inputs-0", "0");
        for round in 0..9 {
            let next = bundle(&format!("inputs-{round}"), &round.to_string());
            let shelf = home.shelf("uid-1").await;
            shelf.keep(&next, Some(&running.digest)).await.expect("kept");
            let shelf = home.shelf("uid-1").await;
            assert_eq!(shelf.read_newest().await.expect("read"), Some(next));
        }
        let shelf = home.shelf("uid-1").await;
        let inputs: Vec<_> = shelf.kept.iter().map(|kept| kept.inputs.as_str()).collect();
        assert_eq!(
            inputs,
            ["inputs-8", "inputs-7", "inputs-6", "inputs-5", "inputs-4", "inputs-0"]
        );
        assert_eq!(shelf.read_of_inputs("inputs-0").await.expect("read"), Some(running));
        assert_eq!(shelf.read_of_inputs("inputs-1").await.expect("read"), None);

        // Another record's are not touched.
        home.shelf("uid-2").await.keep(&bundle("other", "other"), None).await.expect("kept");
        home.shelf("uid-1").await.clear().await.expect("cleared");
        assert_eq!(home.names().await.len(), 1);
        home.shelf("uid-2").await.clear().await.expect("cleared");
        assert_eq!(home.names().await, Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_bundle_that_is_wanted_again_becomes_the_newest() {
        let home = Home::new();
        for (inputs, text) in [("one", "1"), ("two", "2"), ("one", "1")] {
            home.shelf("uid-1").await.keep(&bundle(inputs, text), None).await.expect("kept");
        }
        let shelf = home.shelf("uid-1").await;
        let inputs: Vec<_> = shelf.kept.iter().map(|kept| kept.inputs.as_str()).collect();
        assert_eq!(inputs, ["one", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_was_drawn_outlives_restarts_and_pushes() {
        let home = Home::new();
        let drawn = |inputs: &str, text: &str| {
            let mut bundle = bundle(inputs, text);
            let object = bundle.objects[0].identity();
            bundle.random = vec![RandomField { object, pointer: "/stringData/password".into() }];
            bundle
        };
        let first = drawn("commit 1", "drawn first");
        home.shelf("uid-1").await.keep(&first, None).await.expect("kept");
        for push in 2..5 {
            // Nothing but the shelf knows of the one before.
            let shelf = home.shelf("uid-1").await;
            let before = shelf.read_newest().await.expect("read").expect("a bundle");
            let inputs = format!("commit {push}");
            let next = carry_over(drawn(&inputs, &format!("drawn by push {push}")), &before);
            assert_eq!(next.objects[0].json["stringData"]["password"], "drawn first");
            shelf.keep(&next, Some(&before.digest)).await.expect("kept");
            let again = home.shelf("uid-1").await.read_of_inputs(&inputs).await.expect("read");
            assert_eq!(again, Some(next));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_big_bundle_lies_in_parts_and_one_without_its_first_part_is_none() {
        let home = Home::new();
        let rng = Rng::seeded(7);
        // What does not shrink: hex of random numbers is half of its size.
        let bytes: Vec<u8> = (0..120_000).flat_map(|_| rng.u64().to_be_bytes()).collect();
        let text = hex::encode(bytes);
        let big = bundle("inputs", &text);
        home.shelf("uid-1").await.keep(&big, None).await.expect("kept");
        let names = home.names().await;
        assert_eq!(names.len(), 2, "{names:?}");
        for name in &names {
            let secret = home.0.get(name).await.expect("a part");
            assert!(secret.data.expect("data")[KEY].0.len() <= PART_BYTES);
            assert_eq!(secret.metadata.owner_references.expect("owners")[0].uid, "uid-1");
            assert_eq!(secret.type_.as_deref(), Some("Opaque"));
        }
        let shelf = home.shelf("uid-1").await;
        assert_eq!(shelf.read_of_inputs("inputs").await.expect("read"), Some(big.clone()));

        home.0.delete(&names[0], &DeleteParams::default()).await.expect("deleted");
        let shelf = home.shelf("uid-1").await;
        assert_eq!(shelf.read_of_inputs("inputs").await.expect("read"), None);
        assert_eq!(shelf.torn, [names[1].clone()]);
        shelf.keep(&bundle("next", "small"), None).await.expect("kept");
        assert_eq!(home.names().await.len(), 1, "the torn part is swept away");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_somebody_changed_are_not_applied() {
        let home = Home::new();
        home.shelf("uid-1").await.keep(&bundle("inputs", "x"), None).await.expect("kept");
        let names = home.names().await;
        let other = STANDARD.encode(pack(&bundle("inputs", "evil")).expect("bytes"));
        let patch: Value = json!({"data": {(KEY): other}});
        let patch = Patch::Merge(patch);
        home.0.patch(&names[0], &PatchParams::default(), &patch).await.expect("changed");
        let shelf = home.shelf("uid-1").await;
        assert_eq!(shelf.read_of_inputs("inputs").await.expect("read"), None);
    }
}
