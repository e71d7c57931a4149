"""The passes in their order; beside each stands what it must follow, and why."""

from __future__ import annotations

from edgeup.export.passes.contract import Rule
from edgeup.export.passes.identity_resize import IdentityResize

PASSES: tuple[Rule, ...] = (
    # First: a resize by 1 between two others would hide them from each other.
    IdentityResize(),
)
