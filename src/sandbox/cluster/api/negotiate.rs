//! The `Accept` header → the form of the answer. Pure, no I/O.

use super::status::ApiError;

/// How an answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object itself.
    Object,
    /// `kubectl get`'s rows.
    Table,
    /// Names, labels and owners alone.
    Metadata,
    /// Discovery, all groups in one document.
    Discovery,
}

/// JSON is all that the sandbox writes; YAML for people with `curl`.
const OFFERED: [&str; 2] = ["application/json", "application/yaml"];

/// The first of the wanted forms that can be served. `list` says whether the answer is a collection.
pub(crate) fn form(accept: Option<&str>, list: bool) -> Result<Form, ApiError> {
    let Some(accept) = accept.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(Form::Object);
    };
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "*/*" | "application/*" | "application/json") {
            continue;
        }
        let (mut kind, mut version) = (None, "");
        for part in parts {
            match part.split_once('=') {
                Some(("as", value)) => kind = Some(value),
                Some(("v", value)) => version = value,
                _ => {}
            }
        }
        match (kind, version) {
            (None, _) => return Ok(Form::Object),
            (Some("Table"), "v1") => return Ok(Form::Table),
            (Some("PartialObjectMetadata"), "v1") if !list => return Ok(Form::Metadata),
            (Some("PartialObjectMetadataList"), "v1") if list => return Ok(Form::Metadata),
            // Watches of metadata come with either name.
            (Some("PartialObjectMetadata"), "v1") => return Ok(Form::Metadata),
            (Some("APIGroupDiscoveryList"), "v2") => return Ok(Form::Discovery),
            _ => {}
        }
    }
    Err(ApiError::not_acceptable(&OFFERED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_served_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        for (accept, list, wanted) in [
            (None, true, Form::Object),
            (Some("application/json, */*"), true, Form::Object),
            (Some(table), true, Form::Table),
            (Some(discovery), false, Form::Discovery),
            (Some("application/vnd.kubernetes.protobuf,application/json"), false, Form::Object),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                true,
                Form::Metadata,
            ),
            (
                Some("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
                false,
                Form::Metadata,
            ),
        ] {
            assert_eq!(form(accept, list).expect("served"), wanted, "{accept:?}");
        }
        let refused =
            form(Some("application/vnd.kubernetes.protobuf"), false).expect_err("not served");
        assert_eq!(refused.code, 406);
    }
}
