"""The ResNet trunk: sizes of the paper, names of torchvision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeup.models.cost import macs, parameters
from edgeup.models.resnet import Bottleneck, ResNetTrunk


class Last(nn.Module):
    """The trunk's last map, so that it can be run."""

    def __init__(self, trunk: ResNetTrunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.trunk.features(x)[-1]


def trunk(depth: int, stride_in_first_1x1: bool = False) -> ResNetTrunk:
    with torch.device("meta"):
        return ResNetTrunk(depth, stride_in_first_1x1)


@pytest.mark.parametrize(
    ("depth", "published", "channels"),
    [
        # torchvision's parameter counts, and the channels that its classifier takes in.
        (18, 11_689_512, 512),
        (34, 21_797_672, 512),
        (50, 25_557_032, 2048),
        (101, 44_549_160, 2048),
        (152, 60_192_808, 2048),
    ],
)
def test_published_parameter_counts(depth: int, published: int, channels: int) -> None:
    net = trunk(depth)
    classifier = channels * 1000 + 1000
    assert parameters(net) == published - classifier
    assert net.out_channels == channels


@pytest.mark.parametrize(
    ("depth", "paper"), [(18, 1.8), (34, 3.6), (50, 3.8), (101, 7.6), (152, 11.3)]
)
def test_cost_of_the_paper(depth: int, paper: float) -> None:
    # He et al. 2015, table 1, in 10^9 multiply-adds, cut or rounded to one decimal; the
    # stride is in the first 1x1 (in the 3x3, ResNet-50 costs 4.1).
    count = macs(Last(trunk(depth, stride_in_first_1x1=True)), [(1, 3, 224, 224)])
    assert abs(count / 1e9 - paper) < 0.1


@pytest.mark.parametrize("depth", [18, 50])
def test_maps_halve_five_times(depth: int) -> None:
    x = torch.empty(1, 3, 64, 96, device="meta")
    maps = trunk(depth).features(x)
    wide = 4 if depth == 50 else 1
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 32, 48),
        (64 * wide, 16, 24),
        (128 * wide, 8, 12),
        (256 * wide, 4, 6),
        (512 * wide, 2, 3),
    ]


@pytest.mark.parametrize(("first_1x1", "strides"), [(True, (2, 1)), (False, (1, 2))])
def test_place_of_the_stride(first_1x1: bool, strides: tuple[int, int]) -> None:
    net = trunk(50, first_1x1)
    blocks = [block for block in net.modules() if isinstance(block, Bottleneck)]
    halving = [blocks[i] for i in (3, 7, 13)]  # the first ones of layer2, layer3 and layer4
    for block in blocks:
        got = (block.conv1.stride[0], block.conv2.stride[0])
        assert got == (strides if block in halving else (1, 1))
        assert block.conv3.stride == (1, 1)


def test_both_places_of_the_stride_give_maps_of_one_size_and_other_values() -> None:
    torch.manual_seed(0)
    caffe = Bottleneck(8, 4, 2, nn.Conv2d(8, 16, 1, 2), stride_in_first_1x1=True).eval()
    torchvision = Bottleneck(8, 4, 2, nn.Conv2d(8, 16, 1, 2), stride_in_first_1x1=False).eval()
    torchvision.load_state_dict(caffe.state_dict())
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        a, b = caffe(x), torchvision(x)
    assert a.shape == b.shape == (1, 16, 3, 3)
    assert (a - b).abs().max() > 0.1 * a.std()


def bn(name: str) -> set[str]:
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"{name}.{part}" for part in parts}


@pytest.mark.parametrize(
    ("depth", "blocks", "convs"), [(18, (2, 2, 2, 2), 2), (50, (3, 4, 6, 3), 3)]
)
def test_names_of_torchvision(depth: int, blocks: tuple[int, ...], convs: int) -> None:
    expected = {"conv1.weight"} | bn("bn1")
    for layer, count in enumerate(blocks, 1):
        for block in range(count):
            for conv in range(1, convs + 1):
                expected |= {f"layer{layer}.{block}.conv{conv}.weight"}
                expected |= bn(f"layer{layer}.{block}.bn{conv}")
        if layer > 1 or convs == 3:
            expected |= {f"layer{layer}.0.downsample.0.weight"} | bn(f"layer{layer}.0.downsample.1")
    assert set(trunk(depth).state_dict()) == expected
