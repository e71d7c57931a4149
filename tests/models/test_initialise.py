"""Random weights: reproducible, and outputs that are worth comparing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeup.models.blocks import conv
from edgeup.models.catalog import PRESETS, FastDepthConfig
from edgeup.models.fastdepth import build
from edgeup.models.initialise import initialise

PRUNED = PRESETS["mobilenet-nnconv5dw-skipadd-pruned"]
SEEDED = torch.Generator


def picture(seed: int, size: int = 64) -> Tensor:
    return torch.rand(1, 3, size, size, generator=SEEDED().manual_seed(seed))


@pytest.mark.parametrize(
    "config",
    [
        PRUNED,
        FastDepthConfig(decoder="nnconv5"),
        FastDepthConfig(decoder="blconv3dw"),
        FastDepthConfig(decoder="deconv5dw"),
        FastDepthConfig(decoder="shuffle9dw"),
        FastDepthConfig("resnet18", "upconv"),
    ],
    ids=lambda config: config.name,
)
@pytest.mark.parametrize("size", [32, 64])
def test_outputs_are_worth_comparing(config: FastDepthConfig, size: int) -> None:
    net = build(config)
    initialise(net, 0, [torch.empty(1, 3, size, size)])
    flat = torch.full((1, 3, size, size), 0.5)
    with torch.no_grad():
        first, second, even = net(picture(1, size)), net(picture(2, size)), net(flat)
    for depth in (first, second, even):
        assert 0.1 < depth.std() < 10
        assert 0.1 < depth.mean() < 10
    assert (first - second).std() > 0.03 * first.std()
    assert (first - even).std() > 0.03 * first.std()


def test_rounding_does_not_grow() -> None:
    """Float16 stays near float32, as with trained weights, so its parity can be judged."""
    net = build(PRUNED)
    initialise(net, 0, [torch.empty(1, 3, 64, 64)])
    x = picture(1)
    with torch.no_grad():
        wide, narrow = net(x), net.half()(x.half()).float()
    assert (wide - narrow).square().mean().sqrt() < 0.02 * wide.std()


def test_each_activation_matters() -> None:
    net = build(PRUNED)
    initialise(net, 0, [torch.empty(1, 3, 64, 64)])
    x = picture(1)
    with torch.no_grad():
        expected = net(x)
        for name in ("conv5.5", "decode_conv2.1.2", "decode_conv6.2"):
            parent, child = name.rsplit(".", 1)
            activation = net.get_submodule(name)
            setattr(net.get_submodule(parent), child, nn.Identity())
            assert (net(x) - expected).abs().max() > 0.01 * expected.std()
            setattr(net.get_submodule(parent), child, activation)
        # ReLU6 is not ReLU either.
        net.get_submodule("conv5").add_module("5", nn.ReLU())
        assert (net(x) - expected).abs().max() > 0.01 * expected.std()


def test_the_seed_decides_and_the_global_generator_does_not() -> None:
    torch.manual_seed(1)
    first = build(PRUNED)
    initialise(first, 5, [torch.empty(1, 3, 32, 32)])
    torch.manual_seed(2)
    same, other = build(PRUNED), build(PRUNED)
    before = torch.get_rng_state()
    initialise(same, 5, [np.zeros((1, 3, 32, 32), np.float32)])
    initialise(other, 6, [torch.empty(1, 3, 32, 32)])
    assert torch.equal(torch.get_rng_state(), before)
    states = first.state_dict(), same.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not any(
        torch.equal(states[0][key], states[2][key]) for key in states[0] if "num_" not in key
    )


def test_batch_norms_know_what_reaches_them() -> None:
    net = nn.Sequential(conv(3, 8, 3), conv(8, 4, 3))
    net[0][1].momentum = 0.3
    initialise(net, 0, [torch.empty(1, 3, 128, 128)])
    assert not any(m.training for m in net.modules())
    assert net[0][1].momentum == 0.3
    reached: list[Tensor] = []
    net[1][1].register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0]))
    with torch.no_grad():
        net(picture(3, 128))
    deviation, mean = torch.std_mean(reached[0], (0, 2, 3))
    known = net[1][1].running_var.sqrt()
    assert ((mean - net[1][1].running_mean).abs() < known).all()
    assert ((deviation / known > 0.3) & (deviation / known < 3)).all()


def transposed() -> nn.Module:
    return nn.ConvTranspose2d(8, 12, 4, 2, 1, groups=4)


@pytest.mark.parametrize("last", [lambda: nn.Conv2d(8, 12, 3, groups=2), transposed])
def test_convolutions_without_batch_norm_are_normalised(last: Callable[[], nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), last())
    initialise(net, 0, [torch.empty(1, 3, 128, 128)])
    seen: list[Tensor] = []
    with torch.no_grad():
        for seed in range(4):
            seen.append(net(picture(seed, 128)))
    deviation, mean = torch.std_mean(torch.cat(seen), (0, 2, 3))
    assert ((deviation > 0.3) & (deviation < 2)).all()
    assert ((mean > 0) & (mean < 3)).all()
    assert not any(m._forward_hooks for m in net.modules())


def test_the_scaled_weights_are_the_ones_that_were_calibrated() -> None:
    """What passes on during calibration is what the changed convolution gives afterwards."""
    net = nn.Sequential(transposed(), nn.Identity())
    seen: list[tuple[Tensor, Tensor]] = []
    reached: list[Tensor] = []
    net[0].register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0]))
    net[1].register_forward_pre_hook(lambda _, inputs: seen.append((reached[-1], inputs[0])))
    initialise(net, 0, [torch.empty(2, 8, 9, 9)])
    x, passed = seen[0]
    with torch.no_grad():
        torch.testing.assert_close(net[0](x), passed, rtol=1e-4, atol=1e-4)


def test_what_asks_for_no_gradient_stays() -> None:
    fixed = nn.ConvTranspose2d(4, 4, 4, 2, 1, bias=False).requires_grad_(False)
    before = fixed.weight.clone()
    initialise(nn.Sequential(nn.Conv2d(3, 4, 3), fixed), 0, [torch.empty(1, 3, 16, 16)])
    assert torch.equal(fixed.weight, before)


def test_indices_are_used_as_they_are() -> None:
    class Unpool(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unpool = nn.MaxUnpool2d(2)
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, x: Tensor, indices: Tensor) -> Tensor:
            return self.conv(self.unpool(x, indices))

    values, indices = nn.functional.max_pool2d(torch.rand(1, 2, 8, 8), 2, return_indices=True)
    net = Unpool()
    initialise(net, 0, [values, indices])
    with torch.no_grad():
        assert net(values, indices).std() > 0.1


def test_inputs_of_one_and_three_axes() -> None:
    for net, shape in (
        (nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU()), (1, 2, 40)),
        (nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.ReLU()), (1, 2, 5, 6, 7)),
        (nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7)), (1, 5)),
    ):
        initialise(net, 0, [torch.empty(shape)])
        with torch.no_grad():
            assert 0.1 < net(torch.rand(shape, generator=SEEDED().manual_seed(0))).std() < 10
