//! PURE · the rules of *source* and *render*, each kind of mistake with an id of its own. The guard's are its own.

use super::Severity;

/// What can be wrong with a commit before the guard sees it. Ids never change their meaning and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildRule {
    /// BR001: text that is no YAML as the Kubernetes tools read it.
    Yaml,
    /// BR002: a template that can't be filled.
    Template,
    /// BR003: the preview file says something that is not allowed.
    PreviewFile,
    /// BR004: what is to be rendered is not in the commit.
    PathMissing,
    /// BR005: a document that is no Kubernetes object.
    Manifest,
    /// BR006: one object twice.
    DuplicateObject,
    /// BR007: more is rendered than the limits allow.
    RenderLimit,
    /// BR008: the program that renders this is not there, or not in this version.
    RendererUnavailable,
    /// BR009: Helm refused the chart.
    Chart,
    /// BR010: Kustomize refused the overlay.
    Overlay,
    /// BR011: an entry of the commit that is not read: a link, a submodule, an LFS pointer, a hostile name.
    SourceRefused,
    /// BR012: the commit has more files or bytes than the limits allow.
    SourceLimit,
    /// BR100: a mistake of ours.
    Internal,
    /// BR101: a value of a template that another commit would turn into another type.
    UnquotedValue,
}

/// One row of the table.
struct Row {
    id: &'static str,
    name: &'static str,
    severity: Severity,
    about: &'static str,
    hint: &'static str,
}

const fn error(
    id: &'static str,
    name: &'static str,
    about: &'static str,
    hint: &'static str,
) -> Row {
    Row { id, name, severity: Severity::Error, about, hint }
}

impl BuildRule {
    /// Every rule, in the order of the ids.
    pub const ALL: [Self; 14] = [
        Self::Yaml,
        Self::Template,
        Self::PreviewFile,
        Self::PathMissing,
        Self::Manifest,
        Self::DuplicateObject,
        Self::RenderLimit,
        Self::RendererUnavailable,
        Self::Chart,
        Self::Overlay,
        Self::SourceRefused,
        Self::SourceLimit,
        Self::Internal,
        Self::UnquotedValue,
    ];

    fn row(self) -> Row {
        match self {
            Self::Yaml => error(
                "BR001",
                "yaml",
                "text that is no YAML as kubectl reads it",
                "mend the YAML; for a template, the line is that of the filled text",
            ),
            Self::Template => error(
                "BR002",
                "template",
                "a Handlebars template that can't be filled",
                "use only the variables and helpers that there are, and close every block",
            ),
            Self::PreviewFile => error(
                "BR003",
                "preview-file",
                "the preview file says something that is not allowed",
                "see docs/preview-file.md, or let an editor check it with `bivouac schema`",
            ),
            Self::PathMissing => error(
                "BR004",
                "path-missing",
                "what is to be rendered is not in the commit",
                "name a file or directory that is committed",
            ),
            Self::Manifest => error(
                "BR005",
                "manifest",
                "a document that is no Kubernetes object",
                "write apiVersion, kind and metadata.name as Kubernetes wants them",
            ),
            Self::DuplicateObject => error(
                "BR006",
                "duplicate-object",
                "two objects of one kind and name, which would overwrite each other",
                "take one of them out, or give it another name",
            ),
            Self::RenderLimit => error(
                "BR007",
                "render-limit",
                "more is rendered than the limits allow",
                "render less, or ask the platform team to raise the limit",
            ),
            Self::RendererUnavailable => error(
                "BR008",
                "renderer-unavailable",
                "the program that renders this is not installed, or this version does not run it",
                "install what the message names",
            ),
            Self::Chart => error(
                "BR009",
                "chart",
                "Helm refused the chart",
                "run `helm template` on the chart with the same values to see more",
            ),
            Self::Overlay => error(
                "BR010",
                "overlay",
                "Kustomize refused the overlay",
                "run `kustomize build` on the directory to see more",
            ),
            Self::SourceRefused => error(
                "BR011",
                "source-refused",
                "an entry that is not read: a symbolic link, a submodule, an LFS pointer, a name that could do harm",
                "commit the file itself",
            ),
            Self::SourceLimit => error(
                "BR012",
                "source-limit",
                "more files or bytes are to be read than the limits allow",
                "render less, or ask the platform team to raise the limit",
            ),
            Self::Internal => error(
                "BR100",
                "internal",
                "a mistake in Bivouac itself",
                "report it; another name for environment, branch or repository may help until then",
            ),
            Self::UnquotedValue => Row {
                severity: Severity::Warning,
                ..error(
                    "BR101",
                    "unquoted-value",
                    "a value of a template that is a string for this commit and a number for another",
                    "put the expression in quotes: \"{{commit.short}}\"",
                )
            },
        }
    }

    /// `BR001` …
    #[must_use]
    pub fn id(self) -> &'static str {
        self.row().id
    }

    /// A name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.row().severity
    }

    /// What it means, in one line.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// What to do when the message itself does not say it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        self.row().hint
    }
}
