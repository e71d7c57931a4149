"""FCN, SegNet and DeconvNet against computations written out from the Caffe models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.networks import build_network

STAGES = [
    ["conv1_1", "conv1_2"],
    ["conv2_1", "conv2_2"],
    ["conv3_1", "conv3_2", "conv3_3"],
    ["conv4_1", "conv4_2", "conv4_3"],
    ["conv5_1", "conv5_2", "conv5_3"],
]
CHANNELS = [64, 128, 256, 512, 512]
WEIGHTS = 14_714_688  # VGG-16's 13 convolutions with their biases


def halves(side: int) -> list[int]:
    """Sizes of the five stages, poolings rounding up."""
    sizes = [side]
    for _ in range(5):
        sizes.append(-(-sizes[-1] // 2))
    return sizes


def trunk_macs(height: int, width: int) -> int:
    total, ci = 0, 3
    for names, co, h, w in zip(STAGES, CHANNELS, halves(height), halves(width), strict=False):
        for _ in names:
            total += 9 * ci * co * h * w
            ci = co
    return total


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return build_network(name)


class Named:
    """A module's tensors by the layer's own name, wherever it stands."""

    def __init__(self, module: nn.Module) -> None:
        self.state: dict[str, dict[str, Tensor]] = {}
        for path, tensor in module.state_dict().items():
            *_, layer, kind = path.split(".")
            assert kind not in self.state.setdefault(layer, {}), "two layers of one name"
            self.state[layer][kind] = tensor

    def conv(self, x: Tensor, layer: str, padding: int = 1) -> Tensor:
        return F.conv2d(x, self.state[layer]["weight"], self.state[layer]["bias"], padding=padding)

    def norm_relu(self, x: Tensor, layer: str) -> Tensor:
        bn = self.state[f"{layer}_bn"]
        shape = (1, -1, 1, 1)
        scale = bn["weight"] / (bn["running_var"] + 1e-5).sqrt()
        x = (x - bn["running_mean"].view(shape)) * scale.view(shape) + bn["bias"].view(shape)
        return x.clamp_min(0)


Prepared = Callable[..., tuple[nn.Module, Named, Tensor]]


@pytest.fixture
def prepared() -> Prepared:
    def make(name: str, size: tuple[int, int], **options: str) -> tuple[nn.Module, Named, Tensor]:
        module = build_network(name, options=options)
        image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(5))
        initialise(module, 5, [image])
        module = module.double()
        return module, Named(module), image.double()

    return make


def agree(module: nn.Module, image: Tensor, expected: Tensor) -> None:
    with torch.no_grad():
        output = module(image)
    assert expected.std() > 1e-2
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)


class TestSegNet:
    def test_parameters(self) -> None:
        outs = sum(c * len(names) for c, names in zip(CHANNELS, STAGES, strict=True))
        kernels = 2 * (WEIGHTS - outs) - 9 * 3 * 64 + 9 * 64 * 11
        # The mirror gives what the encoder takes: 3 channels less at the end, 512 at the start.
        normalised = outs + outs - 512
        assert parameters(on_meta("segnet")) == kernels + (normalised + 11) + 2 * normalised

    def test_macs(self) -> None:
        trunk = trunk_macs(360, 480)
        first, last = 9 * 3 * 64 * 360 * 480, 9 * 64 * 11 * 360 * 480
        assert macs(on_meta("segnet"), [(1, 3, 360, 480)]) == 2 * trunk - first + last

    @pytest.mark.parametrize("size", [(45, 61), (32, 64)])
    def test_wiring(self, prepared: Prepared, size: tuple[int, int]) -> None:
        module, named, image = prepared("segnet", size, width="0.0625", classes="5")
        x, pooled = image, []
        for names in STAGES:
            for layer in names:
                x = named.norm_relu(named.conv(x, layer), layer)
            before = x.shape[2:]
            x, indices = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
            pooled.append((indices, before))
        for names, (indices, before) in zip(STAGES[::-1], pooled[::-1], strict=True):
            x = scattered(x, indices, before)
            for layer in [f"{name}_D" for name in names[::-1]]:
                x = named.conv(x, layer)
                x = x if layer == "conv1_1_D" else named.norm_relu(x, layer)
        agree(module, image, torch.softmax(x, 1))

    def test_the_published_odd_sizes(self) -> None:
        module = on_meta("segnet")
        sizes: list[tuple[int, ...]] = []
        module.get_submodule("unpool").register_forward_hook(
            lambda _, __, output: sizes.append(tuple(output.shape[2:]))
        )
        module(torch.empty(1, 3, 360, 480, device="meta"))
        assert sizes == [(23, 30), (45, 60), (90, 120), (180, 240), (360, 480)]


class TestDeconvNet:
    def test_macs(self) -> None:
        trunk = trunk_macs(224, 224)
        fully = 2 * 7 * 7 * 512 * 4096 + 4096 * 4096
        first = 9 * 3 * 64 * 224 * 224
        last = 9 * 64 * 64 * 224 * 224 + 64 * 21 * 224 * 224
        assert macs(on_meta("deconvnet"), [(1, 3, 224, 224)]) == 2 * trunk - first + last + fully

    def test_weights(self) -> None:
        convs = [p for p in on_meta("deconvnet").parameters() if p.dim() == 4]
        kernels = sum(p.numel() for p in convs)
        trunk = WEIGHTS - sum(c * len(n) for c, n in zip(CHANNELS, STAGES, strict=True))
        fully = 2 * 7 * 7 * 512 * 4096 + 4096 * 4096
        assert kernels == 2 * trunk - 9 * 3 * 64 + 9 * 64 * 64 + 64 * 21 + fully

    def test_wiring(self, prepared: Prepared) -> None:
        module, named, image = prepared("deconvnet", (197, 225), width="0.03125", classes="5")
        x, pooled = image, []
        for names in STAGES:
            for layer in names:
                x = named.norm_relu(named.conv(x, layer), layer)
            before = x.shape[2:]
            x, indices = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
            pooled.append((indices, before))
        for layer in ("fc6", "fc7"):
            x = named.norm_relu(named.conv(x, layer, padding=0), layer)
        x = named.norm_relu(self._deconv(named, x, "fc6-deconv", 6), "fc6-deconv")
        for names, (indices, before) in zip(STAGES[::-1], pooled[::-1], strict=True):
            x = scattered(x, indices, before)
            for layer in [name.replace("conv", "deconv") for name in names]:
                x = named.norm_relu(self._deconv(named, x, layer, 1), layer)
        agree(module, image, named.conv(x, "score", padding=0))

    @staticmethod
    def _deconv(named: Named, x: Tensor, layer: str, padding: int) -> Tensor:
        """Stride 1: a convolution with the kernel flipped, its inputs and outputs swapped."""
        weight = named.state[layer]["weight"].flip(2, 3).transpose(0, 1)
        return F.conv2d(x, weight, named.state[layer]["bias"], padding=padding)


def scattered(x: Tensor, indices: Tensor, size: torch.Size) -> Tensor:
    flat = x.new_zeros(*x.shape[:2], size[0] * size[1])
    flat.scatter_(2, indices.flatten(2), x.flatten(2))
    return flat.unflatten(2, tuple(size))


class TestFcn:
    # stride to (transposed convolution, map that joins after it), then the last one
    WIRING: ClassVar[dict[int, tuple[list[tuple[str, int]], str]]] = {
        32: ([], "upscore"),
        16: ([("upscore2", 4)], "upscore16"),
        8: ([("upscore2", 4), ("upscore_pool4", 3)], "upscore8"),
    }

    @staticmethod
    def _offsets(stride: int) -> Iterator[int]:
        """Where crops begin, from the coordinates of the layers' centres.

        Position y of a map stands over ``scale * y + shift`` of the picture.
        """
        # A pooling's centre lies half a pixel further; the first convolution's at x - 99.
        maps = {n: (2**n, (2**n - 1) / 2 - 99) for n in (3, 4, 5)}
        scale, shift = maps[5][0], maps[5][1] + 3 * maps[5][0]  # fc6: 7x7, no padding
        for n in {32: [], 16: [4], 8: [4, 3]}[stride]:
            scale, shift = scale / 2, shift - 1.5 * scale / 2  # kernel 4, stride 2
            yield round((shift - maps[n][1]) / maps[n][0])
        yield round((2 * scale - 1) / 2 - shift)  # kernel 2 * scale, stride scale

    @pytest.mark.parametrize(("stride", "published"), [(32, [19]), (16, [5, 27]), (8, [5, 9, 31])])
    def test_offsets_are_the_published_ones(self, stride: int, published: list[int]) -> None:
        assert list(self._offsets(stride)) == published

    @pytest.mark.parametrize(
        ("stride", "size"), [(32, (37, 50)), (16, (37, 50)), (8, (37, 50)), (8, (1, 66))]
    )
    def test_wiring(self, prepared: Prepared, stride: int, size: tuple[int, int]) -> None:
        module, named, image = prepared(f"fcn{stride}s", size, width="0.03125", classes="4")
        x, maps = image, {}
        for n, names in enumerate(STAGES, 1):
            for layer in names:
                x = named.conv(x, layer, 100 if layer == "conv1_1" else 1).clamp_min(0)
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            maps[n] = x
        for layer in ("fc6", "fc7"):
            x = named.conv(x, layer, padding=0).clamp_min(0)
        x = named.conv(x, "score_fr", padding=0)
        fusions, last = self.WIRING[stride]
        offsets = self._offsets(stride)
        for up, n in fusions:
            x = self._upsampled(x, 2)
            lateral = named.conv(maps[n], f"score_pool{n}", padding=0)
            x = x + self._cropped(lateral, x, next(offsets))
            assert up in named.state
        x = self._upsampled(x, stride)
        assert last in named.state
        agree(module, image, self._cropped(x, image, next(offsets)))

    @staticmethod
    def _upsampled(x: Tensor, stride: int) -> Tensor:
        """Each value spreads as a tent of half-width ``stride``, each axis by itself."""
        position = torch.arange(2 * stride, dtype=x.dtype) - (stride - 0.5)
        tent = 1 - position.abs() / stride
        kernel = torch.outer(tent, tent).expand(x.shape[1], 1, -1, -1)
        return F.conv_transpose2d(x, kernel, stride=stride, groups=x.shape[1])

    @staticmethod
    def _cropped(x: Tensor, like: Tensor, offset: int) -> Tensor:
        x = x.narrow(2, offset, like.shape[2])  # narrow refuses what slicing would cut short
        return x.narrow(3, offset, like.shape[3])

    @pytest.mark.parametrize("stride", [32, 16, 8])
    def test_kernels_are_frozen_and_dense(self, stride: int) -> None:
        module = build_network(f"fcn{stride}s", options={"width": "0.02", "classes": "3"})
        fusions, last = self.WIRING[stride]
        for up in [*(up for up, _ in fusions), last]:
            assert f"{up}.weight" not in dict(module.named_parameters())
            weight = module.state_dict()[f"{up}.weight"]
            assert weight.shape[:2] == (3, 3)
            assert (weight[0, 1] == 0).all()
            assert weight[1, 1].max() > 0.5

    @pytest.mark.parametrize("stride", [32, 16, 8])
    def test_parameters_and_macs(self, stride: int) -> None:
        module = on_meta(f"fcn{stride}s")
        fully = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 21 + 21
        laterals = {32: 0, 16: 513 * 21, 8: 513 * 21 + 257 * 21}[stride]
        assert parameters(module) == WEIGHTS + fully + laterals

        # 500 + 198 = 698, and by halves rounding up 349, 175, 88, 44, 22; fc6 leaves 16.
        assert halves(698)[1:] == [349, 175, 88, 44, 22]
        total = trunk_macs(698, 698)
        total += 16 * 16 * (7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 21)
        up = 21 * 21
        if stride == 32:
            total += up * 64 * 64 * 16 * 16
        else:
            total += up * 4 * 4 * 16 * 16 + 512 * 21 * 44 * 44  # upscore2: 34
        if stride == 16:
            total += up * 32 * 32 * 34 * 34
        if stride == 8:
            total += up * 4 * 4 * 34 * 34 + 256 * 21 * 88 * 88  # upscore_pool4: 70
            total += up * 16 * 16 * 70 * 70
        assert macs(module, [(1, 3, 500, 500)]) == total
