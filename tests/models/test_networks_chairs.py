from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from edgeup.errors import EdgeupError
from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.networks import build_network, check_network_input


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return build_network("chairs")


def description(seed: int) -> Tensor:
    """Two chairs, each seen from somewhere, unchanged but for some numbers."""
    generator = torch.Generator().manual_seed(seed)
    chair = torch.zeros(2, 809)
    chair[torch.arange(2), torch.randint(809, (2,), generator=generator)] = 1
    angles = torch.rand(2, 2, generator=generator) * 6
    change = torch.randn(2, 12, generator=generator)
    return torch.cat((chair, angles.sin(), angles.cos(), change), 1)


def small() -> nn.Module:
    module = build_network("chairs", options={"width": "0.0625"})
    initialise(module, 1, [description(1)])
    return module


def test_parameters_and_macs() -> None:
    """Everything has a bias; a 5x5 convolution works at its output's size, zeros included."""
    weights = biases = work = 0
    for length in (809, 4, 12):
        for ci, co in pairwise((length, 512, 512)):
            weights, biases, work = weights + ci * co, biases + co, work + ci * co
    for ci, co in pairwise((3 * 512, 1024, 1024, 256 * 8 * 8)):
        weights, biases, work = weights + ci * co, biases + co, work + ci * co
    for (ci, co), side in zip(pairwise((256, 256, 92, 92, 3)), (8, 16, 32, 64), strict=True):
        weights, biases = weights + 25 * ci * co, biases + co
        work += 25 * ci * co * side * side
    module = on_meta()
    assert parameters(module) == weights + biases == 23_075_135
    assert macs(module, [(1, 825)]) == work == 521_138_688


def test_decoder_agrees_with_the_table_that_was_read() -> None:
    """Keras' summary in ygtmesci/chairs-generation, fc5 and conv1 to conv4."""
    module = on_meta()
    fc5 = next(m for m in module.modules() if isinstance(m, nn.Linear) and m.out_features == 16384)
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    counts = [parameters(layer) for layer in (fc5, *convs)]
    assert counts == [16_793_600, 1_638_656, 588_892, 211_692, 6_903]


def test_the_picture_is_64x64() -> None:
    output = on_meta()(torch.empty(5, 825, device="meta"))
    assert tuple(output.shape) == (5, 3, 64, 64)


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """5x5, tap by tap."""
    n, _, height, width = x.shape
    padded = x.new_zeros(n, x.shape[1], height + 4, width + 4)
    padded[:, :, 2:-2, 2:-2] = x
    y = bias.view(1, -1, 1, 1).expand(n, -1, height, width).clone()
    for i in range(5):
        for j in range(5):
            window = padded[:, :, i : i + height, j : j + width]
            y += torch.einsum("oc,nchw->nohw", weight[:, :, i, j], window)
    return y


@torch.no_grad()
def test_wiring() -> None:
    module = small().double()
    x = description(4).double()
    state = module.state_dict()
    weights = [tensor for name, tensor in state.items() if name.endswith("weight")]
    biases = [tensor for name, tensor in state.items() if name.endswith("bias")]
    layers = list(zip(weights, biases, strict=True))
    assert len(layers) == 3 * 2 + 3 + 4

    hidden = []
    for k, columns in enumerate((slice(0, 809), slice(809, 813), slice(813, 825))):
        part = x[:, columns]
        for weight, bias in layers[2 * k : 2 * k + 2]:
            part = (part @ weight.T + bias).clamp_min(0)
        hidden.append(part)
    y = torch.cat(hidden, 1)
    for weight, bias in layers[6:9]:
        y = (y @ weight.T + bias).clamp_min(0)
    y = convolved(y.reshape(2, 16, 8, 8), *layers[9]).clamp_min(0)
    for weight, bias in layers[10:]:
        unpooled = y.new_zeros(2, y.shape[1], 2 * y.shape[2], 2 * y.shape[3])
        unpooled[:, :, ::2, ::2] = y.clamp_min(0)
        y = convolved(unpooled, weight, bias)
    assert y.min() < 0 < y.max(), "a last ReLU would go unnoticed"
    torch.testing.assert_close(module(x), y, rtol=0, atol=1e-11)


@torch.no_grad()
@pytest.mark.parametrize("columns", [slice(0, 809), slice(809, 813), slice(813, 825)])
def test_each_description_matters(columns: slice) -> None:
    module = small()
    x, other = description(5), description(5)
    other[:, columns] = description(6)[:, columns]
    difference = (module(x) - module(other)).abs()
    assert module(x).flatten(2).std(2).min() > 0.1
    assert difference.max() > 0.01


@torch.no_grad()
def test_export_traces_it() -> None:
    module, x = small(), description(7)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(program.module()(x), module(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((1, 809), r"chairs takes 825 channels, got 809 in 1x809$"),
        ((825,), r"an input of 2 axes, each at least 1, as 1x825; got 825$"),
    ],
)
def test_other_inputs_are_refused(shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(EdgeupError, match=line):
        check_network_input("chairs", shape)
