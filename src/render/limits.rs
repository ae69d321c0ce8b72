//! How much rendering may take in and give out. No I/O.

use std::time::Duration;

use super::tools::ToolLimits;
use crate::domain::policy::{Limits, SETTABLE_LIMITS};

/// Resident memory of one run of Helm or Kustomize. Charts of some thousand objects stay below 200 MiB.
const TOOL_MEMORY: u64 = 512 << 20;

/// How much rendering may take in and give out.
#[derive(Clone, Copy, Debug)]
pub struct RenderLimits {
    /// Objects in a bundle.
    pub objects: usize,
    /// Bytes of one manifest, before and after it was a template.
    pub file_bytes: usize,
    /// Bytes of all rendered text together, and of the canonical bundle.
    pub rendered_bytes: usize,
    /// Time that Helm or Kustomize may take for one app.
    pub render_time: Duration,
    /// Resident memory of one run of Helm or Kustomize, in bytes.
    pub tool_memory: u64,
}

impl RenderLimits {
    /// What the Repository allows.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let bytes = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            objects: limits.objects,
            file_bytes: bytes(limits.file_bytes),
            rendered_bytes: bytes(limits.rendered_bytes),
            render_time: limits.render_time,
            tool_memory: TOOL_MEMORY,
        }
    }

    /// Bounds of one run of a tool.
    pub(super) fn of_tool(&self) -> ToolLimits {
        ToolLimits {
            time: self.render_time,
            output_bytes: self.rendered_bytes,
            memory_bytes: self.tool_memory,
        }
    }
}

impl Default for RenderLimits {
    /// The most that a Repository can ask of objects, and twice the default of rendered bytes.
    fn default() -> Self {
        Self {
            objects: 500,
            file_bytes: 1 << 20,
            rendered_bytes: 8 << 20,
            render_time: Duration::from_secs(SETTABLE_LIMITS[5].default),
            tool_memory: TOOL_MEMORY,
        }
    }
}
