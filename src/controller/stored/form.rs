//! PURE · a bundle as bytes and back: gzip over JSON. The same bundle gives the same bytes.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::bundle::{
    Bundle, BundleObject, ObjectIdentity, Origin, RandomField, Wave, sha256_hex,
};
use crate::domain::positions::Positions;

/// Most bytes that a stored bundle may unpack to; far above what a Repository may allow.
const MOST: u64 = 256 << 20;

/// Why stored bytes are no bundle.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("could not be packed or unpacked")]
    Gzip(#[from] std::io::Error),
    #[error("is no stored bundle of this version")]
    Json(#[from] serde_json::Error),
    #[error("unpacks to more than {MOST} bytes")]
    TooBig,
    #[error("does not have the digest that it says it has")]
    Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    inputs_digest: String,
    digest: String,
    objects: Vec<ObjectForm>,
    random: Vec<RandomForm>,
    #[serde(default)]
    delete_data: bool,
}

#[derive(Serialize, Deserialize)]
struct ObjectForm {
    json: Value,
    file: String,
    line: usize,
    app: String,
    wave: WaveForm,
}

#[derive(Serialize, Deserialize)]
struct RandomForm {
    group: String,
    kind: String,
    namespace: String,
    name: String,
    pointer: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum WaveForm {
    Config,
    BeforeApply,
    Workloads,
    Routes,
    AfterReady,
    BeforeDelete,
}

/// The bytes of a bundle. Places of single fields are not in them: they serve the guard, which has judged it.
pub(super) fn pack(bundle: &Bundle) -> Result<Vec<u8>, FormError> {
    let form = Form {
        inputs_digest: bundle.inputs_digest.clone(),
        digest: bundle.digest.clone(),
        objects: bundle.objects.iter().map(ObjectForm::from).collect(),
        random: bundle.random.iter().map(RandomForm::from).collect(),
        delete_data: bundle.delete_data,
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&serde_json::to_vec(&form)?)?;
    Ok(encoder.finish()?)
}

/// The bundle of these bytes, when it is whole.
pub(super) fn unpack(bytes: &[u8]) -> Result<Bundle, FormError> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).take(MOST + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MOST {
        return Err(FormError::TooBig);
    }
    let Form { inputs_digest, digest, objects, random, delete_data } =
        serde_json::from_slice(&text)?;
    let objects = objects.into_iter().map(BundleObject::from).collect();
    let mut bundle = Bundle::new(objects, inputs_digest);
    if bundle.digest != digest || sha256_hex(bundle.canonical().as_bytes()) != digest {
        return Err(FormError::Digest);
    }
    bundle.random = random.into_iter().map(RandomField::from).collect();
    bundle.delete_data = delete_data;
    Ok(bundle)
}

impl From<&BundleObject> for ObjectForm {
    fn from(object: &BundleObject) -> Self {
        Self {
            json: object.json.clone(),
            file: object.origin.file.clone(),
            line: object.origin.line,
            app: object.app.clone(),
            wave: match object.wave {
                Wave::Config => WaveForm::Config,
                Wave::BeforeApply => WaveForm::BeforeApply,
                Wave::Workloads => WaveForm::Workloads,
                Wave::Routes => WaveForm::Routes,
                Wave::AfterReady => WaveForm::AfterReady,
                Wave::BeforeDelete => WaveForm::BeforeDelete,
            },
        }
    }
}

impl From<ObjectForm> for BundleObject {
    fn from(form: ObjectForm) -> Self {
        let ObjectForm { json, file, line, app, wave } = form;
        Self {
            json,
            origin: Origin { file, line },
            app,
            wave: match wave {
                WaveForm::Config => Wave::Config,
                WaveForm::BeforeApply => Wave::BeforeApply,
                WaveForm::Workloads => Wave::Workloads,
                WaveForm::Routes => Wave::Routes,
                WaveForm::AfterReady => Wave::AfterReady,
                WaveForm::BeforeDelete => Wave::BeforeDelete,
            },
            positions: Positions::default(),
        }
    }
}

impl From<&RandomField> for RandomForm {
    fn from(field: &RandomField) -> Self {
        let RandomField { object: ObjectIdentity { group, kind, namespace, name }, pointer } =
            field.clone();
        Self { group, kind, namespace, name, pointer }
    }
}

impl From<RandomForm> for RandomField {
    fn from(form: RandomForm) -> Self {
        let RandomForm { group, kind, namespace, name, pointer } = form;
        Self { object: ObjectIdentity { group, kind, namespace, name }, pointer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bundle() -> Bundle {
        let object = |kind: &str, wave: Wave| BundleObject {
            json: json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "f": 0.1, "n": 3}),
            origin: Origin { file: "chart/a.yaml".into(), line: 7 },
            app: "web".into(),
            wave,
            positions: Positions::default(),
        };
        let objects = vec![
            object("Secret", Wave::Config),
            object("Job", Wave::BeforeApply),
            object("Service", Wave::Workloads),
            object("Ingress", Wave::Routes),
            object("Job", Wave::AfterReady),
            object("Job", Wave::BeforeDelete),
        ];
        let mut bundle = Bundle::new(objects, "i".into());
        bundle.delete_data = true;
        let object = bundle.objects[0].identity();
        bundle.random = vec![RandomField { object, pointer: "/data/password".into() }];
        bundle
    }

    #[test]
    fn a_bundle_comes_back_as_it_was_and_has_the_same_bytes_each_time() {
        let packed = pack(&bundle()).expect("bytes");
        assert_eq!(packed, pack(&bundle()).expect("bytes"));
        assert_eq!(unpack(&packed).expect("a bundle"), bundle());
    }

    #[test]
    fn bytes_that_somebody_changed_are_no_bundle() {
        let packed = pack(&bundle()).expect("bytes");
        assert!(matches!(unpack(&packed[..packed.len() / 2]), Err(FormError::Gzip(_))));
        assert!(unpack(b"").is_err());
        let mut other = bundle();
        other.objects[0].json["f"] = 0.2.into();
        assert!(matches!(unpack(&pack(&other).expect("bytes")), Err(FormError::Digest)));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"{}").expect("bytes");
        assert!(matches!(unpack(&encoder.finish().expect("bytes")), Err(FormError::Json(_))));
    }
}
