"""The measured choice between the forms of a site.

The export wing runs nothing: a `Judge` comes from outside, and so does the memory of what was
judged before. Sites that differ in nothing but the numbers of their weights share one verdict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgeup.errors import EdgeupError
from edgeup.export.passes.contract import AS_WRITTEN, Chosen, Plan
from edgeup.export.passes.facts import constant, static_shape
from edgeup.export.serialize import to_bytes
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.driver import Choose, SiteModels


@dataclass(frozen=True)
class Verdict:
    """Which form is best, and what the fastest of the others gains over the first.

    ``gain`` is a ratio of times, above 1 where the other is faster; it surely lies between
    ``low`` and ``high``.
    """

    form: str
    gain: float
    low: float
    high: float

    def words(self, first: str) -> str:
        """The gain over the first form, for people."""
        what = first if first == AS_WRITTEN else f"as {first}"
        return f"{self.gain:.2f} times as fast {what} ({self.low:.2f} to {self.high:.2f})"


Judge = Callable[[Mapping[str, bytes], tuple[TensorSpec, ...]], Verdict]
"""Times equal models against each other. The first one wins unless another is faster beyond the
noise; all take the inputs that are given."""


class Memory(Protocol):
    """Verdicts by the hash of a site."""

    def get(self, key: str) -> Verdict | None:
        """What was judged before, if anything was."""
        ...

    def put(self, key: str, verdict: Verdict) -> None:
        """Remember a verdict."""
        ...


def tuned_choice(judge: Judge, memory: Memory) -> Choose:
    """Choose by measuring; what the memory holds is not measured again.

    A plan that is `simpler` is taken without; of one that is required, "as written" is no form.
    """

    def choose(plan: Plan, models: SiteModels) -> Chosen:
        if plan.simpler:
            return Chosen(plan.candidates[0], "less of the same work")
        forms = {} if plan.required else {AS_WRITTEN: models.as_written}
        forms |= {candidate.form: models.form(candidate) for candidate in plan.candidates}
        specs = input_specs(models.as_written)
        if len(forms) == 1:
            return Chosen(plan.candidates[0], "the target does not take it as written")
        if specs is None:
            why = "its shapes are not known, so no form can be measured: --shape would fix them"
            return _unmeasured(plan, why)
        key = site_hash(forms)
        verdict = memory.get(key)
        if verdict is None or verdict.form not in forms:
            try:
                verdict = judge({form: to_bytes(model) for form, model in forms.items()}, specs)
            except EdgeupError as error:
                return _unmeasured(plan, f"its forms cannot be measured: {error}")
            memory.put(key, verdict)
        words = verdict.words(next(iter(forms)))
        if verdict.form == AS_WRITTEN:
            return Chosen(None, f"measured: the best other form is {words}")
        best = next(c for c in plan.candidates if c.form == verdict.form)
        return Chosen(best, f"measured {words}")

    return choose


def only_required(choose: Choose, why: str) -> Choose:
    """Leave every site as it is, with this reason, but for those that the target refuses."""

    def reluctant(plan: Plan, models: SiteModels) -> Chosen:
        return choose(plan, models) if plan.required else Chosen(None, why)

    return reluctant


def _unmeasured(plan: Plan, why: str) -> Chosen:
    return Chosen(plan.candidates[0] if plan.required else None, why)


def input_specs(model: ir.Model) -> tuple[TensorSpec, ...] | None:
    """The inputs of a small model; None where one has no known shape or type."""
    specs = []
    for value in model.graph.inputs:
        shape = static_shape(value)
        if shape is None or value.dtype is None:
            return None
        specs.append(TensorSpec(value.name or "", shape, value.dtype.numpy().name))
    return tuple(specs)


def site_hash(forms: Mapping[str, ir.Model]) -> str:
    """Of what decides a site's speed: operators, attributes, wiring, shapes and types.

    Numbers of weights are left out; those of int64 constants (pads, axes, sizes) are not.
    """
    described = {form: list(_described(model)) for form, model in forms.items()}
    opsets = [dict(model.opset_imports) for model in forms.values()]
    text = json.dumps([described, opsets], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _described(model: ir.Model) -> Iterator[Any]:
    import onnx_ir as ir

    numbers: dict[ir.Value, int] = {}

    def value_of(value: ir.Value | None) -> Any:
        if value is None:
            return None
        number = numbers.setdefault(value, len(numbers))
        held = constant(value) if value.dtype == ir.DataType.INT64 else None
        numeric = None if held is None else held.tolist()
        return [number, str(value.dtype), str(value.shape), value.const_value is not None, numeric]

    yield [value_of(value) for value in model.graph.inputs]
    for node in model.graph:
        attributes = {name: _plain(attribute) for name, attribute in node.attributes.items()}
        inputs = [value_of(value) for value in node.inputs]
        outputs = [value_of(value) for value in node.outputs]
        yield [node.domain, node.op_type, attributes, inputs, outputs]
    yield [value_of(value) for value in model.graph.outputs]


def _plain(attribute: ir.Attr) -> Any:
    import onnx_ir as ir

    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.as_tensor()
        return [str(tensor.dtype), str(tensor.shape)]
    return attribute.value
