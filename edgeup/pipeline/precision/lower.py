"""A float32 model in fp16 or bf16: what stays float32, chosen by measurement, and the proof.

1. Inner values are scanned in float32: what is too large for the format keeps its nodes float32.
2. The rounding twin of the rest is compared with float32; where it is too far away, the nodes
   that lose most stay float32 as well, one after the other.
3. The converted graph is compared with the float32 one, where ONNX Runtime has kernels for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgeup.errors import EdgeupError
from edgeup.pipeline.precision.choice import Choice, choose
from edgeup.pipeline.precision.rounding import RoundingBench
from edgeup.pipeline.precision.section import precision_section
from edgeup.targets import Target, ir_version_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.precision.formats import Format
    from edgeup.export.precision.plan import PrecisionPlan
    from edgeup.runtime.inputs import Case
    from edgeup.runtime.parity import OutputParity

_BF16_OPSET = 22
"""The first in which Conv, ConvTranspose and MaxPool take bfloat16 (ONNX's schemas)."""


Io: TypeAlias = Literal["fp32", "same"]
"""Precision of graph inputs and outputs."""


@dataclass(frozen=True)
class PrecisionRequest:
    """What is asked: ``precision`` is "fp16" or "bf16", ``io`` that of inputs and outputs.

    ``keep_fp32`` names nodes that stay float32 whatever is measured.
    """

    precision: str
    target: Target
    io: Io = "fp32"
    keep_fp32: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LoweredModel:
    """The model to write, how it comes to its precision, and what a report says of it.

    Attributes:
        model: converted, or in float32 where the builder sets the precision.
        plan: what a builder is told.
        section: the report's ``precision``.
        parity: against the float32 model; empty where nothing was measured.
        enough: the rounding twin is within the tolerance, too.
        notices: what a user must know.
        not_timed: why ONNX Runtime cannot time the model on float32 inputs; empty where it can.
    """

    model: ir.Model
    plan: PrecisionPlan
    section: Mapping[str, Any]
    parity: tuple[OutputParity, ...]
    enough: bool
    notices: tuple[str, ...]
    not_timed: str

    @property
    def passed(self) -> bool:
        """Within the tolerance for the precision, or not measured at all."""
        return self.enough and all(output.passed for output in self.parity)

    def entries(self, in_float32: Sequence[OutputParity]) -> dict[str, Any]:
        """A report's ``parity``, ``precision`` and ``passed``.

        Args:
            in_float32: how the float32 graph compared, from which this one was made.
        """
        return {
            "parity": [output.to_json() for output in self.parity],
            "precision": {
                **self.section,
                "parity_in_float32": [output.to_json() for output in in_float32],
            },
            "passed": self.passed and all(output.passed for output in in_float32),
        }


def check_precision(
    precision: str, target: Target, io: Io = "fp32", keep_fp32: frozenset[str] = frozenset()
) -> None:
    """Refuse what cannot be done before any work.

    Raises:
        EdgeupError: the target lacks the precision, or its opset does.
    """
    if precision == "fp32":
        if io != "fp32":
            raise EdgeupError("--io-precision same follows --precision fp16 or bf16; give one")
        if keep_fp32:
            raise EdgeupError(
                "--keep-fp32 says what stays fp32 in another --precision; give that, too"
            )
        return
    if target.backend == "onnxruntime" and precision == "fp16":
        return  # ONNX Runtime's CPU provider runs fp16 graphs, in float32 kernels
    if precision not in target.precisions:
        raise EdgeupError(
            f"{target.name} has no {precision}; it has {', '.join(target.precisions)}"
        )
    if precision == "bf16" and target.opset_max < _BF16_OPSET:
        raise EdgeupError(
            f"convolutions in bf16 came with ONNX opset {_BF16_OPSET}, and {target.name} reads up "
            f"to {target.opset_max}; ask for fp16"
        )


def lower_precision(
    model: ir.Model,
    request: PrecisionRequest,
    cases: Sequence[Case] | None,
    stage: Callable[[str], None] = lambda words: None,
) -> LoweredModel:
    """Convert a float32 model; the one that is given stays as it is.

    Args:
        model: float32, optimized and compared already.
        request: what is asked for; its target decides whether the graph itself is converted.
        cases: seeded or given inputs, whose shapes the model takes; None measures nothing.
        stage: is told what begins.

    Raises:
        EdgeupError: the target does not have the precision; the model does not run.
    """
    from edgeup.export.precision.convert import convert, prepared
    from edgeup.export.precision.formats import find_format
    from edgeup.export.precision.plan import PrecisionPlan
    from edgeup.runtime.tolerances import tolerance_of

    check_precision(request.precision, request.target)
    form = find_format(request.precision)
    work = prepared(_at_opset(model, form))
    is_graph = request.target.typing != "weak"
    choice: Choice | None = None
    parity: tuple[OutputParity, ...] = ()
    reasons: Mapping[str, str] = {}
    if cases is not None:
        with RoundingBench(work, form, cases, tolerance_of(form.name)) as bench:
            choice = choose(bench, stage, request.keep_fp32)
            reasons = choice.reasons
            converted = convert(work, form.name, keep_fp32=frozenset(reasons), io=request.io)
            stage(f"comparing {form.name} with float32")
            # ONNX Runtime's CPU provider has no bf16 kernels, and a weakly typed build has no
            # graph of its own: there, the rounding twin is what can be compared.
            runs = is_graph and form.name == "fp16"
            parity = bench.parity(converted.model if runs else bench.twin(frozenset(reasons)))
    else:
        converted = convert(work, form.name, keep_fp32=request.keep_fp32, io=request.io)
    kept = tuple((node, reasons.get(node, reason)) for node, reason in converted.kept)
    plan = PrecisionPlan(form.name, kept, converted_graph=is_graph)
    # A weakly typed build finds its layers by the names of `work`.
    written = converted.model if is_graph else work
    section = precision_section(plan, request.io, work, written, choice, cases or ())
    return LoweredModel(
        model=written,
        plan=plan,
        section=section,
        parity=parity,
        enough=choice is None or choice.enough,
        notices=tuple(_notices(request, model, work, choice)),
        not_timed=_not_timed(request) if is_graph else "",
    )


def _notices(
    request: PrecisionRequest, before: ir.Model, work: ir.Model, choice: Choice | None
) -> Iterator[str]:
    name, target = request.precision, request.target
    if target.typing == "weak":
        yield (
            f"{target.name} takes its precision from flags, not from the graph: the file is "
            f"float32, and edgeup build --precision {name} keeps the listed nodes in float32"
        )
    elif name == "fp16":
        yield (
            "ONNX Runtime computes fp16 on a CPU in float32, with casts: its latency here says "
            "nothing about a GPU's"
        )
    was, now = before.opset_imports.get(""), work.opset_imports.get("")
    if was != now:
        yield f"opset {was} became {now}: convolutions in {name} came with it"
    if choice is None:
        yield f"what {name} does to the values was not measured: nothing was kept for its loss"
    elif not choice.enough:
        yield f"{name} loses too much, with {len(choice.reasons)} nodes kept in float32 as well"


def _not_timed(request: PrecisionRequest) -> str:
    if request.precision == "bf16":
        return "ONNX Runtime's CPU provider has no kernels for bf16"
    if request.io == "same":
        return f"inputs are {request.precision} and the reference's float32"
    return ""


def _at_opset(model: ir.Model, form: Format) -> ir.Model:
    """The model in an opset whose convolutions take the format."""
    from edgeup.export.opset import convert_opset

    if form.name != "bf16" or model.opset_imports.get("", 0) >= _BF16_OPSET:
        return model
    return convert_opset(model, _BF16_OPSET, ir_version_of(_BF16_OPSET))
