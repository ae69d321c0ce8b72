//! PURE · how much one YAML file may hold and make, and the sentence when it is more.

/// Limits of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YamlLimits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Documents that hold something.
    pub documents: usize,
    /// Mappings and lists within each other.
    pub nesting: usize,
    /// Values and keys, those of followed aliases included.
    pub values: usize,
    /// Aliases that are followed.
    pub aliases: usize,
    /// Bytes of all values, those of followed aliases included.
    pub expanded_bytes: usize,
}

impl YamlLimits {
    /// What a file of at most `bytes` may hold.
    #[must_use]
    pub fn of_file(bytes: usize) -> Self {
        Self {
            bytes,
            // `kubectl apply` of a thousand objects in one file is somebody's generated CRDs.
            documents: 2000,
            // Deeper than any manifest, shallower than any stack.
            nesting: 64,
            // A manifest of 1 MiB has about 60,000.
            values: 200_000,
            aliases: 10_000,
            expanded_bytes: bytes.saturating_mul(4),
        }
    }
}

impl Default for YamlLimits {
    fn default() -> Self {
        Self::of_file(1 << 20)
    }
}

/// A limit by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YamlLimit {
    /// [`YamlLimits::bytes`].
    Bytes,
    /// [`YamlLimits::documents`].
    Documents,
    /// [`YamlLimits::nesting`].
    Nesting,
    /// [`YamlLimits::values`].
    Values,
    /// [`YamlLimits::aliases`].
    Aliases,
    /// [`YamlLimits::expanded_bytes`].
    ExpandedBytes,
}

impl YamlLimit {
    /// As documentation and settings call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "fileBytes",
            Self::Documents => "yamlDocuments",
            Self::Nesting => "yamlNesting",
            Self::Values => "yamlValues",
            Self::Aliases => "yamlAliases",
            Self::ExpandedBytes => "yamlExpandedBytes",
        }
    }

    pub(super) fn of(self, limits: &YamlLimits) -> usize {
        match self {
            Self::Bytes => limits.bytes,
            Self::Documents => limits.documents,
            Self::Nesting => limits.nesting,
            Self::Values => limits.values,
            Self::Aliases => limits.aliases,
            Self::ExpandedBytes => limits.expanded_bytes,
        }
    }

    pub(super) fn message(self, limits: &YamlLimits) -> String {
        let most = self.of(limits);
        match self {
            Self::Bytes => format!("the file has more than {most} bytes"),
            Self::Documents => {
                format!("the file has more than {most} YAML documents; split it")
            }
            Self::Nesting => format!("values are nested deeper than {most}"),
            Self::Values => format!(
                "the file holds more than {most} values when its aliases are followed; write the values out or split \
                 the file"
            ),
            Self::Aliases => format!("the file uses more than {most} aliases"),
            Self::ExpandedBytes => format!(
                "the file grows to more than {most} bytes when its aliases are followed; write the values out or \
                 split the file"
            ),
        }
    }
}
