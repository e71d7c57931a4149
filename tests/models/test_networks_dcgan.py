from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeup.errors import EdgeupError
from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.networks import build_network, check_network_input

SHAPES = {"dcgan": (2, 100, 1, 1), "dcgan5": (2, 100)}


def on_meta(name: str, width: str = "1") -> nn.Module:
    with torch.device("meta"):
        return build_network(name, options={"width": width})


def small(name: str) -> tuple[nn.Module, Tensor]:
    module = build_network(name, options={"width": "0.0625"})
    z = torch.randn(SHAPES[name], generator=torch.Generator().manual_seed(2))
    initialise(module, 2, [z])
    return module, z


def test_parameters_and_macs_of_the_pytorch_form() -> None:
    """Base 64: 100 to 512 at 4x4, then 256, 128, 64 and 3 channels at 8, 16, 32 and 64.

    Weights are 16 taps per pair of channels, batch norm has 2 numbers per channel. A transposed
    convolution applies all taps at each of its input's pixels.
    """
    widths = [100, 512, 256, 128, 64, 3]
    weights = work = 0
    for ci, co, side in zip(widths, widths[1:], (1, 4, 8, 16, 32), strict=False):
        weights += 16 * ci * co
        work += 16 * ci * co * side * side
    module = on_meta("dcgan")
    assert parameters(module) == weights + 2 * (512 + 256 + 128 + 64) == 3_576_704
    assert macs(module, [(1, 100, 1, 1)]) == work == 104_628_224


def test_parameters_and_macs_of_the_original_form() -> None:
    """Base 128: a projection to 1024*4*4 numbers, then 512, 256, 128 and 3 channels, 25 taps.

    Batch norm has 2 numbers per projected number, and 2 per channel afterwards.
    """
    numbers = 1024 * 4 * 4
    weights = work = 100 * numbers
    widths = [1024, 512, 256, 128, 3]
    for ci, co, side in zip(widths, widths[1:], (4, 8, 16, 32), strict=False):
        weights += 25 * ci * co
        work += 25 * ci * co * side * side
    module = on_meta("dcgan5")
    norms = 2 * (numbers + 512 + 256 + 128)
    assert parameters(module) == weights + norms == 18_885_760
    assert macs(module, [(1, 100)]) == work == 640_614_400


@pytest.mark.parametrize("name", SHAPES)
def test_the_picture_is_64x64(name: str) -> None:
    output = on_meta(name)(torch.empty(SHAPES[name], device="meta"))
    assert tuple(output.shape) == (2, 3, 64, 64)


def test_a_larger_z_gives_a_larger_picture() -> None:
    check_network_input("dcgan", (1, 100, 2, 5))
    output = on_meta("dcgan", "0.0625")(torch.empty(1, 100, 2, 5, device="meta"))
    assert tuple(output.shape) == (1, 3, 16 * 5, 16 * 8)


def test_names_of_pytorch_examples() -> None:
    state = on_meta("dcgan").state_dict()
    convs = {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.dim() == 4}
    assert convs == {
        "main.0.weight": (100, 512, 4, 4),
        "main.3.weight": (512, 256, 4, 4),
        "main.6.weight": (256, 128, 4, 4),
        "main.9.weight": (128, 64, 4, 4),
        "main.12.weight": (64, 3, 4, 4),
    }
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norms = {f"main.{i}.{part}" for i in (1, 4, 7, 10) for part in parts}
    assert set(state) == set(convs) | norms


def normalised(x: Tensor, state: dict[str, Tensor], prefix: str) -> Tensor:
    shape = (1, -1) + (1,) * (x.dim() - 2)
    mean, variance, weight, bias = (
        state[f"{prefix}.{part}"].view(shape)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (variance + 1e-5).sqrt() * weight + bias).clamp_min(0)


def transposed(x: Tensor, weight: Tensor, stride: int, crop: int, size: int) -> Tensor:
    """By its definition: each pixel times the kernel, ``stride`` apart, added up, then cropped."""
    n, _, height, width = x.shape
    kernel = weight.shape[2]
    canvas = x.new_zeros(n, weight.shape[1], crop + size + kernel, crop + size + kernel)
    for i in range(height):
        for j in range(width):
            stamp = torch.einsum("nc,cokl->nokl", x[:, :, i, j], weight)
            rows = slice(stride * i, stride * i + kernel)
            columns = slice(stride * j, stride * j + kernel)
            canvas[:, :, rows, columns] += stamp
    return canvas[:, :, crop : crop + size, crop : crop + size]


@torch.no_grad()
def test_wiring_of_the_pytorch_form() -> None:
    module, z = small("dcgan")
    module, z = module.double(), z.double()
    state = module.state_dict()
    x = torch.einsum("nc,cokl->nokl", z[:, :, 0, 0], state["main.0.weight"])
    x = normalised(x, state, "main.1")
    for at, size in ((3, 8), (6, 16), (9, 32)):
        x = normalised(
            transposed(x, state[f"main.{at}.weight"], 2, 1, size), state, f"main.{at + 1}"
        )
    expected = transposed(x, state["main.12.weight"], 2, 1, 64).tanh()
    assert expected.std() > 0.1
    torch.testing.assert_close(module(z), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_wiring_of_the_original_form() -> None:
    module, z = small("dcgan5")
    module, z = module.double(), z.double()
    state = module.state_dict()
    x = normalised(z @ state["project.0.weight"].T, state, "project.1")
    x = x.reshape(2, -1, 4, 4)
    for at, size in ((0, 8), (3, 16), (6, 32)):
        x = normalised(
            transposed(x, state[f"main.{at}.weight"], 2, 2, size), state, f"main.{at + 1}"
        )
    expected = transposed(x, state["main.9.weight"], 2, 2, 64).tanh()
    assert expected.std() > 0.1
    torch.testing.assert_close(module(z), expected, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_random_weights_give_pictures_of_z(name: str) -> None:
    module, z = small(name)
    output, other = module(z), module(-z)
    assert output.flatten(2).std(2).min() > 0.1
    assert (output - other).abs().mean() > 0.1
    assert (output.abs() < 0.99).double().mean() > 0.25, "tanh hides what comes before it"


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_export_traces_it(name: str) -> None:
    module, z = small(name)
    program = torch.export.export(module, (z,))
    torch.testing.assert_close(program.module()(z), module(z), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "line"),
    [
        ("dcgan", (1, 99, 1, 1), r"dcgan takes 100 channels, got 99 in 1x99x1x1$"),
        ("dcgan", (1, 100), r"an input of 4 axes, .* as 1x100x1x1; got 1x100$"),
        ("dcgan5", (1, 100, 1, 1), r"an input of 2 axes, .* as 1x100; got 1x100x1x1$"),
    ],
)
def test_other_inputs_are_refused(name: str, shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(EdgeupError, match=line):
        check_network_input(name, shape)


def test_the_two_kernels_differ_by_the_taps_alone() -> None:
    kernels = {
        name: {m.kernel_size for m in on_meta(name).modules() if isinstance(m, nn.ConvTranspose2d)}
        for name in SHAPES
    }
    assert kernels == {"dcgan": {(4, 4)}, "dcgan5": {(5, 5)}}


def test_transposed_is_what_pytorch_computes() -> None:
    """The reference above, against PyTorch's own operator, so that neither is trusted alone."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 2, 3, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(2, 3, 5, 5, generator=generator, dtype=torch.float64)
    expected = F.conv_transpose2d(x, weight, stride=2, padding=2, output_padding=1)
    torch.testing.assert_close(transposed(x, weight, 2, 2, 6), expected, rtol=0, atol=1e-13)
