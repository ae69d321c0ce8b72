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
    /// BR009: Helm or Kustomize refused what it was given.
    RendererRefused,
    /// BR010: a value of a parameter is not allowed, or missing.
    Parameter,
    /// BR011: an entry of the commit that is not read: a link, a submodule, an LFS pointer, a hostile name.
    SourceRefused,
    /// BR012: the commit has more files or bytes than the limits allow.
    SourceLimit,
    /// BR013: objects of more than one namespace, or of one where that is not allowed.
    Namespaces,
    /// BR014: files that are rendered in another way than the one that was asked for.
    Unsupported,
    /// BR015: the machine failed while it ran Helm or Kustomize.
    RendererFailed,
    /// BR016: a definition that the cluster does not have.
    DefinitionMissing,
    /// BR017: more than the camp's quota allows.
    Quota,
    /// BR018: a route that can't pass the gate, where everything has to.
    Gate,
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
    pub const ALL: [Self; 20] = [
        Self::Yaml,
        Self::Template,
        Self::PreviewFile,
        Self::PathMissing,
        Self::Manifest,
        Self::DuplicateObject,
        Self::RenderLimit,
        Self::RendererUnavailable,
        Self::RendererRefused,
        Self::Parameter,
        Self::SourceRefused,
        Self::SourceLimit,
        Self::Namespaces,
        Self::Unsupported,
        Self::RendererFailed,
        Self::DefinitionMissing,
        Self::Quota,
        Self::Gate,
        Self::Internal,
        Self::UnquotedValue,
    ];

    #[expect(clippy::too_many_lines, reason = "a table, one row a rule")]
    fn row(self) -> Row {
        match self {
            Self::Yaml => error(
                "BR001",
                "yaml",
                "text that is no YAML as kubectl reads it",
                "mend the YAML; in a template, look at what its values become",
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
                "the program that renders this is not installed, or may not be run here",
                "install what the message names",
            ),
            Self::RendererRefused => error(
                "BR009",
                "renderer-refused",
                "Helm or Kustomize refused what it was given",
                "run `helm template` or `kustomize build` on the same directory to see more",
            ),
            Self::Parameter => error(
                "BR010",
                "parameter",
                "a value of a parameter is not allowed, or missing",
                "give a value that the preview file and the Repository allow; here with --param KEY=VALUE",
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
            Self::Namespaces => error(
                "BR013",
                "namespaces",
                "objects of more than one namespace, or of one where that is not allowed",
                "leave metadata.namespace out: objects go to the namespace of the preview",
            ),
            Self::Unsupported => error(
                "BR014",
                "unsupported",
                "files that are rendered in another way than the one that was asked for",
                "name the directory of each chart and overlay as the path of an app of its own",
            ),
            Self::RendererFailed => error(
                "BR015",
                "renderer-failed",
                "the machine failed while it ran Helm or Kustomize",
                "try again; if it stays so, look at the machine's memory, disk and limits",
            ),
            Self::DefinitionMissing => error(
                "BR016",
                "definition-missing",
                "a CustomResourceDefinition that the cluster does not have in these versions; only the service asks it",
                "take it out of what is rendered, and ask the platform team to install it; isolation.clusterScoped.ignore \
                 leaves out every definition, whatever the cluster has",
            ),
            Self::Quota => error(
                "BR017",
                "quota",
                "the preview needs more than the quota of its environment allows",
                "ask for less, or ask the platform team to raise isolation.quota in the Repository",
            ),
            Self::Gate => error(
                "BR018",
                "gate",
                "a route that can't pass the gate, where everything of the environment has to",
                "let each host and path lead to one Service that speaks HTTP, without rewriting the path; see docs/gate.md",
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
                    "a value of a template that stands without quotes and is, or may become, something else than text",
                    "put it in quotes: {{quote commit.short}}",
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
