"""Counting: FastDepth's tables, and what must not count."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from edgeup.models.catalog import PRESETS, FastDepthConfig
from edgeup.models.cost import conv_weights, macs, parameters
from edgeup.models.fastdepth import build
from edgeup.models.mobilenet import mobilenet_blocks
from edgeup.models.upsampling.zero_insertion import ZeroInsertion
from edgeup.spec import TensorSpec


@dataclass(frozen=True)
class Row:
    """Millions of weights, with batch norm's, and 10^9 MACs at 224x224, to three digits."""

    weights: float
    learned: float
    macs: float


PICTURE = (1, 3, 224, 224)
ENCODER = Row(3.185, 3.207, 0.568)
TABLE = [
    (FastDepthConfig(), Row(20.644, 20.668, 3.781)),
    (FastDepthConfig(decoder="deconv5"), Row(20.644, 20.668, 3.781)),
    (FastDepthConfig(decoder="nnconv5dw"), Row(3.933, 3.961, 0.737)),
    (FastDepthConfig(decoder="nnconv5dw", skip="add"), Row(3.933, 3.961, 0.737)),
    (FastDepthConfig(decoder="nnconv5dw", skip="concat"), Row(3.987, 4.016, 0.849)),
    (FastDepthConfig(decoder="nnconv3dw"), Row(3.901, 3.929, 0.712)),
    (FastDepthConfig(decoder="deconv5dw"), Row(3.933, 3.961, 1.122)),
    (FastDepthConfig(decoder="upconv"), Row(20.644, 20.668, 13.414)),
    (FastDepthConfig(decoder="upproj"), Row(41.246, 41.274, 28.572)),
    (PRESETS["mobilenet-nnconv5dw-skipadd-pruned"], Row(1.344, 1.361, 0.366)),
]


def row(module: nn.Module) -> Row:
    return Row(
        round(conv_weights(module) / 1e6, 3),
        round(parameters(module) / 1e6, 3),
        round(macs(module, [PICTURE]) / 1e9, 3),
    )


@pytest.mark.parametrize(("config", "expected"), TABLE, ids=[c.name for c, _ in TABLE])
def test_fastdepth(config: FastDepthConfig, expected: Row) -> None:
    with torch.device("meta"):
        assert row(build(config)) == expected


def test_encoder_alone() -> None:
    with torch.device("meta"):
        assert row(nn.Sequential(*mobilenet_blocks())) == ENCODER


def test_the_pruned_network_weighs_what_the_published_onnx_file_holds() -> None:
    # PINTO_model_zoo 146: 5,408,924 bytes of initializers, 24 of them not weights. Folded,
    # every convolution has its weights and one bias per output channel, 4 bytes each.
    with torch.device("meta"):
        net = build(PRESETS["mobilenet-nnconv5dw-skipadd-pruned"])
    channels = sum(m.num_features for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert (conv_weights(net), channels) == (1_343_664, 8_561)
    assert 4 * (conv_weights(net) + channels) == 5_408_900


def test_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=2),  # 6*2*9 weights, 6 biases, at 8x10
        nn.BatchNorm2d(6),
        nn.ConvTranspose2d(6, 4, 5, 2, padding=2, output_padding=1),  # 6*4*25, 4, from 8x10
    )
    assert conv_weights(net) == 108 + 600
    assert parameters(net) == 108 + 6 + 12 + 600 + 4
    assert macs(net, [(2, 4, 8, 10)]) == 2 * 80 * (108 + 600)


def test_zero_insertion_copies_and_does_not_compute() -> None:
    assert macs(ZeroInsertion(), [(1, 8, 4, 4)]) == 0
    twice = ZeroInsertion(3)
    net = nn.Sequential(twice, nn.Conv2d(8, 8, 1), twice)
    assert macs(net, [(1, 8, 4, 4)]) == 8 * 8 * 12 * 12


def test_weights_on_meta_and_on_cpu_cost_the_same() -> None:
    config = PRESETS["mobilenet-nnconv5dw-skipadd-pruned"]
    with torch.device("meta"):
        absent = macs(build(config), [(1, 3, 64, 64)])
    assert macs(build(config), [(1, 3, 64, 64)]) == absent


def test_the_module_is_left_as_it_was() -> None:
    net = nn.Sequential(ZeroInsertion(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    net[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert macs(net, [(1, 3, 8, 8)]) == 14 * 14 * 9 * 12
    assert [child.training for child in net] == [True, False, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_inputs_of_other_types() -> None:
    class Gather(nn.Module):
        def forward(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return x[rows] @ x.T

    specs = [TensorSpec("x", (5, 7)), TensorSpec("rows", (3,), "int64")]
    assert macs(Gather(), specs) == 3 * 7 * 5
