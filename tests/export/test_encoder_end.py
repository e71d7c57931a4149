"""The end of an encoder, from the modules to the metadata of the file."""

from collections import OrderedDict

import pytest
from torch import nn

from edgeup.export.encoder_end import ENCODER_END_KEY
from edgeup.export.shapes import infer_shapes
from edgeup.export.stages import stages_of
from edgeup.export.to_onnx import to_onnx
from edgeup.spec import TensorSpec


def network(first: nn.Module) -> nn.Module:
    """The encoder ends with a convolution at the lowest size; the decoder starts with ``first``."""
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU6())
    decoder = nn.Sequential(first, nn.Conv2d(4, 2, 3, 1, 1), nn.Upsample(scale_factor=2))
    return nn.Sequential(OrderedDict(encoder=encoder, decoder=decoder)).eval()


@pytest.mark.parametrize(
    ("first", "stages"),
    [
        (nn.Conv2d(4, 4, 5, 1, 2), ["encoder 8x8", "decoder 8x8", "decoder 16x16"]),
        (
            nn.ConvTranspose2d(4, 4, 4, 2, 1),
            ["encoder 8x8", "decoder 16x16", "decoder 32x32"],
        ),
    ],
)
def test_the_file_says_where_the_encoder_ends(first: nn.Module, stages: list[str]) -> None:
    image = [TensorSpec("image", (1, 3, 16, 16))]
    exported = to_onnx(network(first), image, opset=13, decoder="decoder")
    model = exported.model
    ends = [node for node in model.graph if node.name == model.metadata_props[ENCODER_END_KEY]]
    assert [node.op_type for node in ends] == ["Clip"]
    infer_shapes(model)
    assert [stage.name for stage in stages_of(model)] == stages


@pytest.mark.parametrize("decoder", [None, "head", "encoder"])
def test_nothing_is_said_where_no_module_follows_another(decoder: str | None) -> None:
    image = [TensorSpec("image", (1, 3, 16, 16))]
    exported = to_onnx(network(nn.Identity()), image, opset=13, decoder=decoder)
    assert ENCODER_END_KEY not in exported.model.metadata_props
