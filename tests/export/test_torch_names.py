"""Names of outputs: asked for, from the structure, or numbered; and those that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.export.torch_names import name_interface


class Pair(nn.Module):
    """Two outputs from an inner value, and the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = torch.relu(x) * self.weight
        return y * 2, y + 1, x


@pytest.fixture(scope="module")
def traced() -> Any:
    return torch.onnx.export(
        Pair().eval(), (torch.zeros(2, 3),), dynamo=True, input_names=["x"], verbose=False
    )


@pytest.fixture
def model(traced: Any) -> ir.Model:
    return traced.model.clone()


def test_positions_are_numbered(model: ir.Model, traced: Any):
    name_interface(model, traced.exported_program, ["x"], None)
    assert [o.name for o in model.graph.outputs] == ["output_0", "output_1", "output_2"]
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_names_may_be_those_of_inner_values_or_of_one_another(model: ir.Model, traced: Any):
    first, second, third = (o.name for o in model.graph.outputs)
    name_interface(model, traced.exported_program, ["x"], [second, first, "relu"])
    assert [o.name for o in model.graph.outputs] == [second, first, "relu"]
    assert third not in (first, second)
    producers = [o.producer().op_type for o in model.graph.outputs]
    assert producers == ["Mul", "Add", "Identity"]
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize("name", ["relu", "weight", "mul"])
def test_input_may_have_the_name_of_an_inner_value_or_a_weight(
    model: ir.Model, traced: Any, name: str
):
    name_interface(model, traced.exported_program, [name], None)
    content = ir.to_proto(model).SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    session = ort.InferenceSession(content)
    assert [i.name for i in session.get_inputs()] == [name]
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    got = session.run(["output_0"], {name: x})[0]
    np.testing.assert_array_equal(got, 2 * x * [1, 2, 3])


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["depth"], "1 output names (depth) for 3 outputs"),
        (["a", "b", "x"], "output name 'x' is taken by another input or output"),
        (["a", "depth", "depth"], "output name 'depth' is taken"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    model: ir.Model, traced: Any, names: list[str], reason: str
):
    before = [o.name for o in model.graph.outputs]
    with pytest.raises(EdgeupError) as refused:
        name_interface(model, traced.exported_program, ["x"], names)
    assert reason in str(refused.value)
    assert [o.name for o in model.graph.outputs] == before
