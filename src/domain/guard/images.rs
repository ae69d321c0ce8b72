//! PURE · where images come from: names read as Docker reads them, compared with prefixes by whole parts.

use super::Rule;
use super::look::{At, Look, short};

/// The registry of names that name none.
const DOCKER_HUB: &str = "docker.io";

pub(super) fn container(look: &mut Look<'_>, container: &At<'_, '_>) {
    if let Some(image) = container.get("image") {
        check(look, &image);
    }
}

pub(super) fn volume(look: &mut Look<'_>, volume: &At<'_, '_>) {
    if let Some(source) = look.map(volume, "image")
        && let Some(image) = source.get("reference")
    {
        check(look, &image);
    }
}

const HINT: &str = "use an image of a listed registry, or ask the platform team to add its prefix to \
                    isolation.imageRegistries";

/// `image` must be text, and come from one of the registries when some are listed.
pub(super) fn check(look: &mut Look<'_>, image: &At<'_, '_>) {
    let Some(name) = image.text() else { return look.malformed(image, "a string") };
    let prefixes = &look.policy.image_registries;
    // A template of a workload may leave its image empty, for somebody to fill in later.
    if prefixes.is_empty() || name.is_empty() {
        return;
    }
    match repository_of(name) {
        None => {
            let message = format!("{:?} is no name of an image", short(name));
            look.found(Rule::ImageRegistry, image.pointer(), message, HINT);
        }
        Some(repository) if prefixes.iter().any(|prefix| covers(prefix, &repository)) => {}
        Some(repository) => {
            let listed: Vec<String> = prefixes.iter().take(5).map(|prefix| short(prefix)).collect();
            let more = if prefixes.len() > 5 { " …" } else { "" };
            let message = format!(
                "image {} is not below {}{more}",
                short(&repository.join("/")),
                listed.join(", ")
            );
            look.found(Rule::ImageRegistry, image.pointer(), message, HINT);
        }
    }
}

/// The parts of the repository of an image, registry first, without tag and digest; `None` when it is no name of an
/// image.
pub(in crate::domain) fn repository_of(image: &str) -> Option<Vec<String>> {
    let without_digest = match image.split_once('@') {
        None => image,
        Some((name, digest)) => {
            let (algorithm, hash) = digest.split_once(':')?;
            let fine = !algorithm.is_empty()
                && hash.len() >= 32
                && hash.chars().all(|c| c.is_ascii_hexdigit());
            fine.then_some(name)?
        }
    };
    let last = without_digest.rfind('/').map_or(0, |at| at + 1);
    let name = match without_digest.get(last..)?.find(':') {
        None => without_digest,
        // A registry with a port and no path: `localhost:5000` is a name with a tag.
        Some(colon) => {
            let tag = without_digest.get(last + colon + 1..)?;
            let word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            let fine = !tag.is_empty() && tag.len() <= 128 && tag.chars().all(word);
            fine.then_some(without_digest.get(..last + colon)?)?
        }
    };
    let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
    if !is_registry(parts.first()?) || parts.len() == 1 {
        if parts.len() == 1 {
            parts.insert(0, "library".into());
        }
        parts.insert(0, DOCKER_HUB.into());
    }
    let registry = parts.first_mut()?;
    registry.make_ascii_lowercase();
    if registry == "index.docker.io" {
        *registry = DOCKER_HUB.into();
    }
    if registry == DOCKER_HUB && parts.len() == 2 {
        parts.insert(1, "library".into());
    }
    let host = parts.first()?;
    let host_fine = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    (host_fine && parts.iter().skip(1).all(|part| is_path_part(part))).then_some(parts)
}

/// Docker's rule: a dot, a colon or `localhost` makes the first part a registry; so does an upper-case letter, which no
/// path may have.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.chars().any(|c| c.is_ascii_uppercase())
}

fn is_path_part(part: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(letter)
        && part.ends_with(letter)
        && part.chars().all(|c| letter(c) || "._-".contains(c))
        && !part.contains("..")
}

/// Whether `repository` is at or below `prefix`, part by part.
pub(in crate::domain) fn covers(prefix: &str, repository: &[String]) -> bool {
    let mut parts: Vec<String> =
        prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let Some(first) = parts.first_mut() else { return false };
    if is_registry(first) {
        first.make_ascii_lowercase();
        if first == "index.docker.io" {
            *first = DOCKER_HUB.into();
        }
    } else {
        // `acme/` is what people write for the images of a company on Docker Hub.
        parts.insert(0, DOCKER_HUB.into());
    }
    parts.len() <= repository.len() && parts.iter().zip(repository).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        for (image, repository) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("acme/web", "docker.io/acme/web"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/acme/web:1", "docker.io/acme/web"),
            ("GHCR.io/acme/web", "ghcr.io/acme/web"),
            ("ghcr.io/acme/web:1.2.3_x-y", "ghcr.io/acme/web"),
            (&format!("ghcr.io/acme/web:1{digest}"), "ghcr.io/acme/web"),
            (&format!("nginx{digest}"), "docker.io/library/nginx"),
            ("localhost/web", "localhost/web"),
            ("localhost:5000/a/b/c:1", "localhost:5000/a/b/c"),
            ("localhost:5000", "docker.io/library/localhost"),
        ] {
            assert_eq!(repository_of(image).map(|r| r.join("/")).as_deref(), Some(repository));
        }
        for bad in [
            "",
            "/",
            "a//b",
            "a b",
            "nginx:",
            "nginx@sha256",
            "nginx@sha256:12",
            "ghcr.io/../x",
            "ghcr.io/a/..",
            "ghcr.io/acme/Web",
            "nginx\n",
            "ghcr.io/acme/web:1:2",
            "https://ghcr.io/acme/web",
            "ghcr.io/a..b",
            "nginx:ta g",
        ] {
            assert_eq!(repository_of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_parts() {
        let is = |prefix: &str, image: &str| {
            covers(prefix, &repository_of(image).expect("the test's names are names"))
        };
        for (prefix, image) in [
            ("ghcr.io/acme/", "ghcr.io/acme/web:1"),
            ("ghcr.io/acme", "ghcr.io/acme/web"),
            ("ghcr.io/acme/web", "ghcr.io/acme/web:2"),
            ("ghcr.io", "ghcr.io/a/b/c"),
            ("GHCR.IO", "ghcr.io/a/b/c"),
            ("docker.io/library/", "nginx"),
            ("acme/", "acme/web"),
            ("index.docker.io/acme", "acme/web"),
        ] {
            assert!(is(prefix, image), "{prefix} {image}");
        }
        for (prefix, image) in [
            ("ghcr.io/acme", "ghcr.io/acme-evil/web"),
            ("ghcr.io/acme", "ghcr.io.evil.dev/acme/web"),
            ("ghcr.io", "ghcr.io:444/acme/web"),
            ("ghcr.io/acme/web", "ghcr.io/acme"),
            ("docker.io/library", "acme/web"),
            ("", "nginx"),
            ("/", "nginx"),
        ] {
            assert!(!is(prefix, image), "{prefix} {image}");
        }
    }
}
