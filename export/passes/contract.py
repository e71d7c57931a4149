"""What a rule is: it looks at a node and answers with a plan, a refusal, or nothing.

A rule never changes the graph. `driver` does, after a form was chosen for the plan's site; so
every refusal comes before any mutation, and "as written" is always a form among the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

AS_WRITTEN = "as written"


@dataclass(frozen=True)
class Refusal:
    """A near miss: the site looks like one of the rule's, and this is why it is left alone."""

    node: str
    reason: str


@dataclass(frozen=True, eq=False)
class Candidate:
    """An equal graph for a site.

    ``build`` writes it: given values with the types and shapes of the plan's inputs, it returns
    values for the plan's outputs. It may be called several times (for the site itself, and for
    a small model of it that is measured), so it must not depend on where it builds.
    """

    form: str
    build: Callable[[Builder, Sequence[ir.Value]], Sequence[ir.Value]]


@dataclass(frozen=True, eq=False)
class Plan:
    """A site, and the forms that it could take.

    Attributes:
        nodes: what would be replaced, in the order of the graph. They may have no user outside
            but through ``outputs``.
        inputs: the values that come from outside, constants excepted.
        outputs: the values that go outside.
        candidates: equal forms, the preferred one first.
        why: what was found, in one sentence for the report.
        required: the target does not take the site as written: a candidate is chosen whatever
            it costs.
        simpler: the first candidate does strictly less of the same work, so it is taken without
            an estimate.
    """

    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    candidates: tuple[Candidate, ...]
    why: str
    required: bool = False
    simpler: bool = False

    @property
    def anchor(self) -> ir.Node:
        """The last node: the replacement is written before it."""
        return self.nodes[-1]


@dataclass(frozen=True)
class Aim:
    """What the graph is optimized for.

    ``backend``: "onnxruntime", "tensorrt" or "tensorrt-rtx"; ``tensorrt``: major and minor
    version, None where the backend has none of its own.
    """

    target: str
    backend: str
    tensorrt: tuple[int, int] | None
    opset: int

    @property
    def is_tensorrt(self) -> bool:
        """Whether NVIDIA's parser will read the file."""
        return self.backend != "onnxruntime"


class Rule(Protocol):
    """One kind of site."""

    name: str

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Look at ``node`` as the last node of a site; change nothing.

        None: nothing of this kind. A `Refusal`: of this kind, but not to be rewritten.
        """
        ...


@dataclass(frozen=True)
class Chosen:
    """A form for a site, and why this one; ``candidate`` is None for "as written"."""

    candidate: Candidate | None
    why: str


@dataclass(frozen=True)
class Site:
    """A line of the report's ``rewrites``: costs are of the site, before and after."""

    rule: str
    key: str
    nodes: tuple[str, ...]
    form: str
    why: str
    macs_before: int | None
    macs_after: int | None
    bytes_before: int | None
    bytes_after: int | None

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return {
            "pass": self.rule,
            "nodes": list(self.nodes),
            "form": self.form,
            "why": self.why,
            "macs_before": self.macs_before,
            "macs_after": self.macs_after,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
        }


@dataclass
class Outcome:
    """What a sweep found and did."""

    sites: list[Site] = field(default_factory=list)
    refusals: dict[tuple[str, Refusal], None] = field(default_factory=dict)

    @property
    def modified(self) -> bool:
        """Whether any site took another form."""
        return any(site.form != AS_WRITTEN for site in self.sites)
