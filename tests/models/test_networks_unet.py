from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.networks import build_network

WIDTHS = [64, 128, 256, 512, 1024]


def on_meta(decoder: str | None = None, **options: str) -> nn.Module:
    with torch.device("meta"):
        return build_network("unet", decoder=decoder, options=options)


def test_the_published_sizes() -> None:
    module = on_meta()
    sizes: list[int] = []
    for name in ("down", "up"):
        for stage in module.get_submodule(name).children():
            stage.register_forward_hook(lambda _, __, output: sizes.append(output.shape[3]))
    output = module(torch.empty(1, 1, 572, 572, device="meta"))
    assert sizes == [568, 280, 136, 64, 28, 56, 104, 200, 392]
    assert tuple(output.shape) == (1, 2, 388, 388)


def test_it_has_23_convolutions() -> None:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    assert sum(isinstance(module, kinds) for module in on_meta().modules()) == 23


@pytest.mark.parametrize("decoder", ["transposed", "nearest", "bilinear"])
def test_parameters_and_macs(decoder: str) -> None:
    weights = biases = work = 0
    ins = [1, *WIDTHS]
    for ci, co, size in zip(ins, WIDTHS, (572, 284, 140, 68, 32), strict=False):
        weights += 9 * (ci * co + co * co)
        biases += 2 * co
        work += 9 * (ci * co * (size - 2) ** 2 + co * co * (size - 4) ** 2)
    for (co, ci), size in zip(pairwise(WIDTHS), (392, 200, 104, 56), strict=True):
        weights += 4 * ci * co + 9 * (ci * co + co * co)
        biases += 3 * co
        # Each pixel of a transposed convolution of kernel 2 and stride 2 meets one tap.
        taps = 1 if decoder == "transposed" else 4
        work += taps * ci * co * size**2
        work += 9 * (ci * co * (size - 2) ** 2 + co * co * (size - 4) ** 2)
    weights += 64 * 2
    biases += 2
    work += 64 * 2 * 388**2
    module = on_meta(decoder)
    assert parameters(module) == weights + biases == 31_030_658
    assert macs(module, [(1, 1, 572, 572)]) == work


@pytest.mark.parametrize("decoder", ["transposed", "nearest", "bilinear"])
@pytest.mark.parametrize(("padding", "size"), [("valid", (188, 204)), ("same", (32, 48))])
def test_wiring(decoder: str, padding: str, size: tuple[int, int]) -> None:
    options = {"width": "0.0625", "classes": "3", "padding": padding}
    module = build_network("unet", decoder=decoder, options=options)
    image = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(2))
    initialise(module, 2, [image])
    module, image = module.double(), image.double()
    state = module.state_dict()

    def pair(x: Tensor, prefix: str) -> Tensor:
        for i in (0, 2):
            weight, bias = state[f"{prefix}.{i}.weight"], state[f"{prefix}.{i}.bias"]
            x = F.conv2d(x, weight, bias, padding=int(padding == "same")).clamp_min(0)
        return x

    def up(x: Tensor, i: int) -> Tensor:
        layer = f"up.{i}.conv" if decoder == "transposed" else f"up.{i}.2"
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        if decoder == "transposed":
            # kernel 2, stride 2: each pixel becomes a block of its own
            blocks = torch.einsum("nchw,coij->nohiwj", x, weight)
            return blocks.flatten(4, 5).flatten(2, 3) + bias.view(1, -1, 1, 1)
        if decoder == "nearest":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        else:
            x = F.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear")
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias)

    maps = [pair(image, "down.0")]
    for i in range(1, 5):
        maps.append(pair(F.max_pool2d(maps[-1], 2), f"down.{i}"))
    x = maps[4]
    for i in range(4):
        x, skip = up(x, i), maps[3 - i]
        top, left = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
        middle = skip.narrow(2, top, x.shape[2]).narrow(3, left, x.shape[3])
        x = pair(torch.cat([middle, x], 1), f"merge.{i}")
    expected = F.conv2d(x, state["score.weight"], state["score.bias"])
    with torch.no_grad():
        output = module(image)
    assert expected.std() > 1e-2
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    lost = 184 if padding == "valid" else 0
    assert tuple(output.shape) == (2, 3, size[0] - lost, size[1] - lost)
