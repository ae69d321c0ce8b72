//! PURE · rules for Secrets in the bundle.

use super::Rule;
use super::look::{At, Look};

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    if !look.is("", "Secret") {
        return;
    }
    if look.string(root, "type") == Some("kubernetes.io/service-account-token") {
        let message = "this Secret asks for the token of a service account";
        let hint = "use a Secret of type Opaque";
        look.found(Rule::AccessControl, "/type".into(), message, hint);
    }
    for key in ["data", "stringData"] {
        let Some(values) = look.map(root, key) else { continue };
        let brought = look.brought;
        let random = brought.random.get(&look.identity);
        let plain = values.members().into_iter().any(|(_, value)| {
            let drawn = random.is_some_and(|fields| fields.contains(&value.pointer()));
            let says_nothing = value.value.is_null() || value.text() == Some("");
            !drawn && !says_nothing
        });
        if plain {
            let message = "values of this Secret stand in the repository";
            let hint = "keep only values that are worth nothing; for others use a SealedSecret or an \
                        ExternalSecret";
            look.found(Rule::PlainSecret, values.pointer(), message, hint);
        }
    }
}
