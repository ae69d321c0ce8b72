//! PURE · rules for ServiceAccounts: one that a bundle brings is a name for its pods, and no identity anywhere.

use super::annotations::HARMLESS_DOMAINS;
use super::look::{At, Look, short};
use super::{Rule, references};

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    if !look.is("", "ServiceAccount") {
        return;
    }
    if look.identity.name == "default" {
        let message = "the account default is the preview's own";
        let hint = "choose another name, and name it in the pods";
        look.found(Rule::GuardrailName, "/metadata/name".into(), message, hint);
    }
    let mount = root.get("automountServiceAccountToken");
    if mount.is_none_or(|mount| *mount.value != serde_json::Value::Bool(false)) {
        let message = "automountServiceAccountToken must be false in an account of a preview";
        let field = root.pointer_of("automountServiceAccountToken");
        look.found(Rule::AccountToken, field, message, "write false");
    }
    references::account(look, root);
    if let Some(metadata) = look.map(root, "metadata")
        && let Some(annotations) = look.map(&metadata, "annotations")
    {
        for (key, value) in annotations.members() {
            annotation(look, key, &value);
        }
    }
}

/// Clouds, vaults and meshes give an account an identity by an annotation of their own; there are more every year.
fn annotation(look: &mut Look<'_>, key: &str, value: &At<'_, '_>) {
    let Some((domain, _)) = key.split_once('/') else { return };
    // Marks of the service are judged elsewhere.
    let ours = domain == "bivouac.dev" || domain.ends_with(".bivouac.dev");
    if HARMLESS_DOMAINS.contains(&domain) || ours {
        return;
    }
    let message = format!("annotation {} may give the account an identity elsewhere", short(key));
    let hint = "take it out; pods of a preview run without rights";
    look.found(Rule::AccessControl, value.pointer(), message, hint);
}
