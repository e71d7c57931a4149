"""Exporting modules: names, modes, dynamic dimensions, refusals, and what is in the file.

Each trace takes seconds, so the exports that several tests read are made once.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.export.cost import macs
from edgeup.export.opset import convert_opset
from edgeup.export.serialize import read_back
from edgeup.export.to_onnx import Exported, finish, to_onnx
from edgeup.export.torch_dims import DynamicDim
from edgeup.spec import TensorSpec

IMAGE = TensorSpec("image", (1, 3, 32, 64))


class Decoder(nn.Module):
    """Convolution, batch norm and both kinds of resize, with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)
        self.down2 = nn.Conv2d(4, 4, 3, 2, 1)
        self.head = nn.Conv2d(4, 1, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = F.relu6(self.norm(self.down(x)))
        low = F.interpolate(self.down2(skip), scale_factor=2, mode="nearest") + skip
        return self.head(F.interpolate(low, scale_factor=2, mode="bilinear"))


class Many(nn.Module):
    """Two inputs, one of them integers; a dict with a nested tuple and an absent head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, picture: torch.Tensor, index: torch.Tensor) -> dict[str, object]:
        picture = self.drop(picture) * 2
        return {
            "out": picture + self.embed(index),
            "aux": (picture, [picture - 1]),
            "off": None,
        }


def decoder() -> Decoder:
    torch.manual_seed(0)
    made = Decoder()
    # Statistics away from 0 and 1, so that a batch norm in the wrong mode shows.
    nn.init.uniform_(made.norm.running_mean, -1, 1)
    nn.init.uniform_(made.norm.running_var, 0.5, 2)
    return made


def run(content: bytes, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def module() -> Decoder:
    return decoder()


@pytest.fixture(scope="module")
def exported(module: Decoder) -> Exported:
    """In training mode, to opset 13."""
    module.train()
    module.norm.eval()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = torch.get_rng_state()
        made = to_onnx(module, [IMAGE], opset=13, output_names=["depth"])
        assert torch.equal(torch.get_rng_state(), before)
    return made


@pytest.fixture(scope="module")
def dynamic() -> Exported:
    return to_onnx(
        decoder().eval(),
        [TensorSpec("image", ("batch", 3, "height", "width"))],
        opset=17,
        output_names=["depth"],
        dynamic={"height": DynamicDim(multiple=4), "width": DynamicDim(multiple=4)},
    )


@pytest.fixture(scope="module")
def many() -> Exported:
    # Bound by name: the order here is not forward's.
    inputs = [TensorSpec("index", (2, 4), "int64"), TensorSpec("picture", (2, 4, 3))]
    return to_onnx(Many(), inputs, opset=18)


def test_file_computes_what_the_module_computes(exported: Exported, module: Decoder):
    x = picture(1, 3, 32, 64)
    inference = decoder().eval()
    with torch.no_grad():
        expected = inference(torch.from_numpy(x)).numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(
        run(exported.content, image=x)["depth"], expected, rtol=1e-4, atol=1e-5
    )


def test_facts_come_from_the_file(exported: Exported):
    assert (exported.facts.opset, exported.facts.ir_version) == (13, 7)
    assert exported.facts.inputs == (IMAGE,)
    assert exported.facts.outputs == (TensorSpec("depth", (1, 1, 32, 64)),)
    parsed = onnx.load_model_from_string(exported.content)
    assert [(e.domain, e.version) for e in parsed.opset_import] == [("", 13)]
    assert read_back(exported.content) == exported.facts


def test_training_mode_is_switched_off_with_a_notice_and_put_back(
    exported: Exported, module: Decoder
):
    assert exported.notices == (
        "Decoder was in training mode: exported in inference mode, as after .eval()",
    )
    assert module.training
    assert module.down.training
    assert not module.norm.training


def test_inference_mode_needs_no_notice(dynamic: Exported):
    assert dynamic.notices == ()


def test_module_keeps_its_gradients_and_weights(exported: Exported, module: Decoder):
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    for name, value in decoder().state_dict().items():
        assert torch.equal(module.state_dict()[name], value)


def test_file_holds_no_traces_of_the_machine(exported: Exported):
    parsed = onnx.load_model_from_string(exported.content)
    assert parsed.producer_name == "edgeup"
    assert b"site-packages" not in exported.content
    assert __file__.encode() not in exported.content
    assert b"pkg.torch" not in exported.content
    assert not parsed.graph.value_info


def test_times_of_every_stage_are_kept(exported: Exported):
    assert list(exported.seconds) == ["export", "simplify", "opset", "serialize"]
    assert all(seconds >= 0 for seconds in exported.seconds.values())


def test_dynamic_dimensions_keep_their_names_and_take_other_sizes(dynamic: Exported):
    assert dynamic.facts.inputs[0].shape == ("batch", 3, "height", "width")
    assert dynamic.facts.outputs[0].shape == ("batch", 1, "height", "width")
    x = picture(3, 3, 12, 20)
    with torch.no_grad():
        expected = decoder().eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        run(dynamic.content, image=x)["depth"], expected, rtol=1e-4, atol=1e-5
    )


def test_dynamic_graph_has_no_count_of_macs(dynamic: Exported):
    counted = macs(dynamic.model)
    assert counted.total is None
    assert counted.why is not None
    assert "dimension batch" in counted.why


def test_several_inputs_and_outputs_are_named(many: Exported):
    assert many.facts.inputs == (
        TensorSpec("picture", (2, 4, 3)),
        TensorSpec("index", (2, 4), "int64"),
    )
    assert [o.name for o in many.facts.outputs] == ["out", "aux_0", "aux_1_0"]
    x = picture(2, 4, 3)
    outputs = run(many.content, picture=x, index=np.ones((2, 4), np.int64))
    np.testing.assert_array_equal(outputs["aux_0"], 2 * x)
    np.testing.assert_array_equal(outputs["aux_1_0"], 2 * x - 1)


class Branch(nn.Module):
    """Decides by a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sys.stdout.write("printed while traced")
        return x if x.sum() > 0 else -x


class Svd(nn.Module):
    """Uses an operator that ONNX does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(x)


class Number(nn.Module):
    """Returns something that is no tensor."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        return x * 2, 3


REFUSED = {
    "branch": (Branch(), "could not export Branch: forward decides by the value of a tensor"),
    "operator": (Svd(), "could not export Svd: operator aten._linalg_svd has no translation"),
    "number": (Number(), "could not export Number: forward returns something that is no tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_failed_export_is_one_line_and_silent(name: str, capfd: pytest.CaptureFixture[str]):
    broken, reason = REFUSED[name]
    with pytest.raises(EdgeupError) as refused:
        to_onnx(broken.eval(), [TensorSpec("x", (1, 3, 3, 3))], opset=18)
    assert str(refused.value).startswith(reason)
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is not None
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


class Fixed(nn.Module):
    """Has a size written into it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 3, 16) * 2


def test_dimension_that_forward_fixes_is_refused():
    with pytest.raises(
        EdgeupError, match=r"input x: dimension 'h' cannot be dynamic.*fixes it at 4"
    ):
        to_onnx(
            Fixed().eval(),
            [TensorSpec("x", (1, 3, "h", 4))],
            opset=18,
            dynamic={"h": DynamicDim(example=4)},
        )


BAD_REQUESTS = {
    "count": ([TensorSpec("a", (1,)), TensorSpec("b", (1,))], {}, "forward takes (x"),
    "twice": ([TensorSpec("a", (1,)), TensorSpec("a", (1,))], {}, "'a' is given twice"),
    "type": ([TensorSpec("a", (1,), "float33")], {}, "unknown input type 'float33'"),
    "identifier": ([TensorSpec("a", ("my dim",))], {}, "dimension name 'my dim' must be"),
    "unused": ([TensorSpec("a", ("n",))], {"m": DynamicDim()}, "unknown dynamic dimension 'm'"),
    "example": ([TensorSpec("a", ("n",))], {"n": DynamicDim(4, 6)}, "6 is no multiple of 4"),
    "multiple": ([TensorSpec("a", ("n",))], {"n": DynamicDim(0)}, "multiple 0 must be at least 1"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_refused_before_tracing(name: str):
    inputs, dims, reason = BAD_REQUESTS[name]
    with pytest.raises(EdgeupError) as refused:
        to_onnx(Fixed().eval(), inputs, opset=18, dynamic=dims)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("dim", "axis", "size"),
    [
        (DynamicDim(), 0, 2),
        (DynamicDim(), 2, 64),
        (DynamicDim(48), 3, 96),
        (DynamicDim(32, 224), 2, 224),
    ],
)
def test_size_to_trace_with(dim: DynamicDim, axis: int, size: int):
    assert dim.traced_size("height", axis) == size


def test_finish_after_another_move(dynamic: Exported):
    """The pipeline's way: passes work on the graph, and the target's opset comes last."""
    content, facts = finish(convert_opset(dynamic.model, 16))
    assert (facts.opset, facts.ir_version) == (16, 8)
    x = picture(1, 3, 8, 12)
    expected = run(dynamic.content, image=x)["depth"]
    np.testing.assert_array_equal(run(content, image=x)["depth"], expected)


def test_finish_keeps_what_the_model_says_of_itself(exported: Exported):
    model = exported.model
    model.metadata_props["classes"] = "road, sky"
    model.graph.node(0).metadata_props["pkg.torch.onnx.stack_trace"] = "/home/someone/net.py"
    model.graph.node(0).doc_string = "/home/someone/net.py"
    content, _ = finish(model)
    parsed = onnx.load_model_from_string(content)
    assert [(p.key, p.value) for p in parsed.metadata_props] == [("classes", "road, sky")]
    assert b"someone" not in content
    assert model.graph.node(0).doc_string == "/home/someone/net.py"


def test_finish_refuses_an_invalid_graph(exported: Exported):
    model = exported.model
    model.graph.node(0).attributes.clear()
    model.graph.node(0).op_type = "Concat"
    with pytest.raises(EdgeupError, match="the graph is no valid ONNX"):
        finish(model)
