"""What a 16-bit format makes of a float32 model's inner values: too large, too small, not finite.

Every float32 result of the main graph is given out, a few at a time, so that memory stays bounded
however deep the network is; the model runs once more for each such chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.spec import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.precision.formats import Format
    from edgeup.export.precision.probe import Probe
    from edgeup.runtime.inputs import Case

CHUNK = 256 << 20
"""Bytes of inner values that are held at once."""

FLUSHED_SHARE = 0.01
"""A value is reported when more of its non-zero elements than this become 0."""


@dataclass
class Range:
    """What was seen of one tensor; counts are of elements over all cases."""

    largest: float = 0.0
    elements: int = 0
    nonfinite: int = 0
    nonzero: int = 0
    vanishing: int = 0
    subnormal: int = 0

    def add(self, array: Array, form: Format) -> None:
        """Look at one more array."""
        magnitude = np.abs(array)
        finite = np.isfinite(magnitude)
        if not finite.all():
            self.nonfinite += int(magnitude.size - np.count_nonzero(finite))
            magnitude = magnitude[finite]
        self.largest = max(self.largest, float(magnitude.max(initial=0.0)))
        self.elements += array.size
        nonzero = np.count_nonzero(magnitude)
        vanishing = np.count_nonzero(magnitude <= form.vanishing) - (magnitude.size - nonzero)
        below = np.count_nonzero(magnitude < form.smallest_normal) - (magnitude.size - nonzero)
        self.nonzero += int(nonzero)
        self.vanishing += int(vanishing)
        self.subnormal += int(below - vanishing)

    def merge(self, other: Range) -> None:
        """Add what was seen of another tensor."""
        self.largest = max(self.largest, other.largest)
        for name in ("elements", "nonfinite", "nonzero", "vanishing", "subnormal"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True)
class Finding:
    """Something that the format does to a value.

    ``kind``: "overflow", "nan" (not finite in float32 already), "nan in 16 bits", "flush".
    ``figure``: the largest magnitude, or the share of elements.
    """

    kind: str
    node: str
    op: str
    value: str
    figure: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return asdict(self)


def scan(
    model: ir.Model,
    found: Sequence[Probe],
    cases: Iterable[Case],
    form: Format,
    *,
    limit: int = CHUNK,
) -> dict[str, Range]:
    """The ranges of inner values over all cases, by the value's name.

    Args:
        model: float32, with every probed value in its main graph.
        found: the values to look at.
        cases: consumed once per chunk, so a sequence.
        form: what counts as too small.
        limit: bytes of values held at once.

    Raises:
        EdgeupError: the model does not run.
    """
    from edgeup.export.packed import loadable
    from edgeup.export.precision.probe import chunks, giving_out
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    held = list(cases)
    ranges = {probe.value: Range() for probe in found}
    for chunk in chunks(found, limit):
        part = giving_out(model, [probe.value for probe in chunk])
        with loadable(part) as source, OnnxRuntimeSession(source, optimize=False) as session:
            for case in held:
                for name, array in session.run(case.feeds).items():
                    ranges[name].add(array, form)
    return ranges


def findings(
    found: Sequence[Probe], ranges: Mapping[str, Range], form: Format
) -> tuple[Finding, ...]:
    """What of the ranges a user must know, in the graph's order."""
    said = []
    for probe in found:
        seen = ranges[probe.value]
        if seen.nonfinite:
            text = f"{seen.nonfinite} of {seen.elements} elements are not finite in float32"
            said.append(_finding("nan", probe, seen.nonfinite / seen.elements, text))
        if seen.largest > form.largest:
            text = f"reaches {seen.largest:.6g}; {form.name} ends at {form.largest:.6g}"
            said.append(_finding("overflow", probe, seen.largest, text))
        share = seen.vanishing / seen.nonzero if seen.nonzero else 0.0
        if share > FLUSHED_SHARE:
            text = (
                f"{share:.1%} of its non-zero elements are at most {form.vanishing:.2g} and "
                f"become 0 in {form.name}"
            )
            said.append(_finding("flush", probe, share, text))
    return tuple(said)


def scan_weights(
    model: ir.Model, form: Format, keep_fp32: frozenset[str]
) -> tuple[Range, tuple[Finding, ...]]:
    """All constants that the conversion rounds, together, and those that lose many elements.

    Args:
        model: as `edgeup.export.precision.convert.prepared` gives it.
        form: what they are rounded to.
        keep_fp32: nodes that stay float32.
    """
    from edgeup.export.precision.assign import assign, rounded_constants

    total, said = Range(), []
    assignment = assign(model, form, keep_fp32, keep_io=True)
    operators = {node.name: node.op_type for node in model.graph}
    for name, (value, node) in rounded_constants(model, assignment).items():
        assert value.const_value is not None  # noqa: S101 (a constant has one)
        one = Range()
        one.add(value.const_value.numpy(), form)
        if one.nonzero and one.vanishing / one.nonzero > FLUSHED_SHARE:
            share = one.vanishing / one.nonzero
            text = f"constant {name}: {share:.1%} of its non-zero elements become 0 in {form.name}"
            said.append(Finding("flush", node, operators[node], name, share, text))
        total.merge(one)
    return total, tuple(said)


def new_nonfinite(
    found: Sequence[Probe], before: Mapping[str, Range], after: Mapping[str, Range], form: Format
) -> tuple[Finding, ...]:
    """The first value that is finite in float32 and not with rounding; none where all are."""
    for probe in found:
        was, now = before[probe.value], after.get(probe.value, Range())
        if now.nonfinite > was.nonfinite:
            text = (
                f"is finite in float32, and {now.nonfinite} of {now.elements} elements are not "
                f"once values are rounded to {form.name}"
            )
            return (_finding("nan in 16 bits", probe, now.nonfinite / now.elements, text),)
    return ()


def _finding(kind: str, probe: Probe, figure: float, text: str) -> Finding:
    return Finding(kind, probe.node, probe.op, probe.value, figure, f"{probe.value} {text}")


def overflowing(
    found: Sequence[Probe], ranges: Mapping[str, Range], form: Format
) -> dict[str, str]:
    """Nodes that must stay float32 because a value at them is too large, with the reason."""
    reasons: dict[str, str] = {}
    for probe in found:
        largest = ranges[probe.value].largest
        if largest > form.largest:
            reasons[probe.node] = f"it makes {largest:.6g}, beyond {form.largest:.6g}"
            for reader in probe.readers:
                reasons.setdefault(reader, f"it reads {largest:.6g}, beyond {form.largest:.6g}")
    return reasons
