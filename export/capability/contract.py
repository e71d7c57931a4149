"""What a rule of acceptance is: it looks at one node and answers with a fault, or with nothing.

Rules speak of operators, attributes, types, shapes and which inputs are constant; never of a
model's name. The passes' own "this target does not take it" come from the same facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


class Verdict(str, Enum):
    """What becomes of a node."""

    REFUSED = "refused"
    """The parser or the builder stops at it."""
    DIFFERENT = "different"
    """An engine is built, and it computes something else."""
    WARNING = "warning"
    """Accepted; a bug is known that may touch it. A model with warnings alone is accepted."""


@dataclass(frozen=True)
class Fault:
    """A rule's answer. ``evidence``: where it was read, or "run: ..." where it was tried."""

    verdict: Verdict
    reason: str
    evidence: str
    remedy: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule. ``operators``: the types it looks at (ONNX's default domain), () for any node."""

    name: str
    operators: tuple[str, ...]
    check: Callable[[ir.Node, Aim], Fault | None]


@dataclass(frozen=True)
class Finding:
    """A line of the report's ``nodes``."""

    node: str
    op: str
    verdict: Verdict
    rule: str
    evidence: str
    reason: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return {**asdict(self), "verdict": self.verdict.value}
