"""Exporting many functions of the same inputs at once, since an export takes seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Translated:
    """One output: what ONNX Runtime computed, what PyTorch did, and its nodes by operator."""

    got: Array
    want: Array
    nodes: dict[str, int]

    @property
    def error(self) -> float:
        """The largest difference; the arrays have one shape and vary."""
        assert self.got.shape == self.want.shape
        assert np.ptp(self.want.astype(np.float64)) > 0
        return float(np.abs(self.got.astype(np.float64) - self.want).max())


TranslateAll = Callable[..., list[Translated]]


@pytest.fixture(scope="session")
def translate_all() -> TranslateAll:
    """Export functions of some tensors with the translation table, and run both sides."""
    import onnxruntime as ort
    import torch

    from edgeup.export.translations.table import translation_table

    def translate(
        functions: Sequence[Callable[..., Any]],
        tensors: Sequence[torch.Tensor],
        dynamic_shapes: Any = None,
        run_with: Sequence[torch.Tensor] | None = None,
    ) -> list[Translated]:
        class Bundle(torch.nn.Module):
            def forward(self, xs: list[torch.Tensor]) -> list[torch.Tensor]:
                return [function(*xs) for function in functions]

        program = torch.onnx.export(
            Bundle().eval(),
            (list(tensors),),
            dynamo=True,
            custom_translation_table=translation_table(),
            dynamic_shapes=None if dynamic_shapes is None else (list(dynamic_shapes),),
            verbose=False,
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(
            program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        fed = list(run_with or tensors)
        names = [value.name for value in session.get_inputs()]
        got = session.run(None, {n: t.numpy() for n, t in zip(names, fed, strict=True)})
        want = [t.numpy() for t in Bundle()(fed)]
        nodes = [_nodes(output) for output in program.model.graph.outputs]
        return [Translated(*output) for output in zip(got, want, nodes, strict=True)]

    return translate


def _nodes(output: Any) -> dict[str, int]:
    """The operators that an output needs; the exporter's aliases of equal outputs left out."""
    found: list[Any] = []
    todo = [output]
    while todo:
        node = todo.pop().producer()
        if node is not None and node not in found:
            found.append(node)
            todo += [value for value in node.inputs if value is not None]
    return dict(Counter(node.op_type for node in found if node.op_type != "Identity"))


@dataclass(frozen=True)
class Rewritten:
    """A model before and after rules, run by ONNX Runtime without its own optimizations."""

    optimized: Any
    before: list[Array]
    after: list[Array]

    @property
    def nodes(self) -> dict[str, int]:
        """The operators afterwards."""
        return dict(Counter(node.op_type for node in self.optimized.model.graph))

    @property
    def reasons(self) -> list[str]:
        """Why rules left near misses alone."""
        return [refusal.reason for _, refusal in self.optimized.refusals]

    @property
    def error(self) -> float:
        """The largest difference; every output keeps its shape and type, and one varies."""
        assert [(a.shape, a.dtype) for a in self.after] == [(b.shape, b.dtype) for b in self.before]
        wide = [(b.astype(np.float64), a.astype(np.float64)) for b, a in self.pairs]
        assert max(np.ptp(before) for before, _ in wide) > 0
        return max(float(np.abs(before - after).max()) for before, after in wide)

    @property
    def pairs(self) -> list[tuple[Array, Array]]:
        """Each output before and after."""
        return list(zip(self.before, self.after, strict=True))


Rewrite = Callable[..., Rewritten]
ModelText = Callable[..., str]


@pytest.fixture(scope="session")
def model_text() -> ModelText:
    """A model in ONNX's text form around a body; arrays by name become its initializers."""
    kinds = {"f": "float", "e": "float16", "l": "int64", "B": "uint8", "b": "int8", "d": "double"}

    def constant(name: str, array: Array) -> str:
        shape = f"[{','.join(map(str, array.shape))}]" if array.ndim else ""
        flat = array.ravel()  # the text form has float16 as its bits
        flat = flat.view(np.uint16) if array.dtype == np.float16 else flat
        numbers = ", ".join(str(number) for number in flat.tolist())
        return f"{kinds[array.dtype.char]}{shape} {name} = {{{numbers}}}"

    def text(body: str, *, inputs: str, output: str, opset: int = 17, **arrays: Any) -> str:
        constants = ", ".join(constant(name, np.asarray(array)) for name, array in arrays.items())
        graph = f"({inputs}) => ({output}) <{constants}> {{ {body} }}"
        return f'<ir_version: 8, opset_import: ["": {opset}]> g {graph}'

    return text


@pytest.fixture(scope="session")
def rewrite() -> Rewrite:
    """Apply rules to a model in ONNX's text form, check the result and run both.

    ``form`` names the candidate to take where a site has it, None takes each site's first;
    ``draw`` picks one of a plan's candidates, or None, instead. Floating-point inputs hold small
    integers, so that sums of products are exact, or numbers in -2..2 if ``exact`` is False. If
    the choice ``settles``, the rules find nothing in their own result. ``only_look`` leaves out
    all but the rules' answers.
    """
    import onnx
    import onnx_ir as ir
    import onnxruntime as ort

    from edgeup.export.optimize import optimize
    from edgeup.export.passes.contract import Aim, Candidate, Chosen, Plan

    def run(proto: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs: list[Array] = session.run(None, feeds)
        return outputs

    def feeds_of(
        proto: onnx.ModelProto, exact: bool, dims: dict[str, int], seed: int
    ) -> dict[str, Array]:
        random = np.random.default_rng(seed)
        feeds: dict[str, Array] = {}
        for value in proto.graph.input:
            tensor = value.type.tensor_type
            shape = [d.dim_value or dims[d.dim_param] for d in tensor.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            if exact or dtype.kind != "f":
                feeds[value.name] = random.integers(-4 if dtype.kind in "fi" else 0, 5, shape)
            else:
                feeds[value.name] = random.uniform(-2, 2, shape)
            feeds[value.name] = feeds[value.name].astype(dtype)
        return feeds

    def apply(
        text: str,
        *rules: Any,
        form: str | None = None,
        draw: Callable[[Plan], Candidate | None] | None = None,
        settles: bool = True,
        exact: bool = True,
        backend: str = "onnxruntime",
        tensorrt: tuple[int, int] | None = None,
        dims: dict[str, int] | None = None,
        seed: int = 0,
        only_look: bool = False,
    ) -> Rewritten:
        def choose(plan: Plan, models: Any) -> Chosen:
            named = [c for c in plan.candidates if c.form == form]
            picked = draw(plan) if draw else (*named, *plan.candidates)[0]
            return Chosen(picked, "a test wants it")

        proto = onnx.parser.parse_model(text)
        onnx.checker.check_model(proto)
        aim = Aim("test", backend, tensorrt, proto.opset_import[0].version)
        optimized = optimize(ir.from_proto(proto), aim, choose, passes=rules)
        if only_look:
            return Rewritten(optimized, [], [])
        if settles:
            assert not optimize(optimized.model, aim, choose, passes=rules).rewritten
        after = ir.to_proto(optimized.model)
        onnx.checker.check_model(after, full_check=True)
        feeds = feeds_of(proto, exact, dims or {}, seed)
        return Rewritten(optimized, run(proto, feeds), run(after, feeds))

    return apply
