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
