"""FastDepth's whole networks: wiring of the skips, names of the checkpoints, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeup.errors import EdgeupError
from edgeup.models.catalog import ENCODERS, PRESETS, FastDepthConfig
from edgeup.models.fastdepth import build
from edgeup.models.initialise import initialise

State = Mapping[str, Tensor]
ENCODER = (4, 6, 8, 10, 12, 14, 8, 9, 10, 11, 12, 13, 14, 15)
# Stages 2, 3 and 4 are as wide as conv5, conv3 and conv1.
SUM = FastDepthConfig("mobilenet", "nnconv5dw", "add", ENCODER, (16, 14, 10, 6, 5))
CONCAT = FastDepthConfig("mobilenet", "nnconv5dw", "concat", ENCODER, (16, 13, 9, 7, 5))
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def unit(s: State, x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
    """Convolution (depthwise if the weights are), then batch norm, from a state dict."""
    weight = s[f"{conv}.weight"]
    groups = x.shape[1] // weight.shape[1]
    x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
    parts = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(s[f"{norm}.{part}"] for part in parts))


def double(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def separable(s: State, x: Tensor, key: str) -> Tensor:
    x = unit(s, x, f"{key}.0.0", f"{key}.0.1").relu()
    return unit(s, x, f"{key}.1.0", f"{key}.1.1").relu()


def mobilenet(s: State, x: Tensor, prefix: str) -> list[Tensor]:
    maps = [unit(s, x, f"{prefix}0.0", f"{prefix}0.1", 2).clamp(0, 6)]
    for i in range(1, 14):
        key = f"{prefix}{i}"
        x = unit(s, maps[-1], f"{key}.0", f"{key}.1", STRIDES[i]).clamp(0, 6)
        maps.append(unit(s, x, f"{key}.3", f"{key}.4").clamp(0, 6))
    return maps


def mobilenet_skip(s: State, x: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    maps = mobilenet(s, x, "conv")
    x = double(separable(s, maps[13], "decode_conv1"))
    x = join(double(separable(s, x, "decode_conv2")), maps[5])
    x = join(double(separable(s, x, "decode_conv3")), maps[3])
    x = join(double(separable(s, x, "decode_conv4")), maps[1])
    x = double(separable(s, x, "decode_conv5"))
    return unit(s, x, "decode_conv6.0", "decode_conv6.1").relu()


def resnet18(s: State, x: Tensor) -> list[Tensor]:
    maps = [unit(s, x, "conv1", "bn1", 2).relu()]
    x = F.max_pool2d(maps[0], 3, 2, 1)
    for layer in range(1, 5):
        for block in range(2):
            key = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = unit(s, x, f"{key}.conv1", f"{key}.bn1", stride).relu()
            y = unit(s, y, f"{key}.conv2", f"{key}.bn2")
            if stride == 2:
                x = unit(s, x, f"{key}.downsample.0", f"{key}.downsample.1", 2)
            x = (x + y).relu()
        maps.append(x)
    return maps


def resnet_add(s: State, x: Tensor) -> Tensor:
    x1, x3, x4, x5, x6 = resnet18(s, x)
    y = F.conv2d(x6, s["conv2.weight"], s["conv2.bias"])
    y = double(dense(s, y, 1) + x6)
    y = double(dense(s, y, 2) + x5)
    y = double(dense(s, y, 3) + x4)
    y = double(dense(s, y, 4) + x3)
    return dense(s, double(dense(s, y + x1, 5)), 6)


def resnet_concat(s: State, x: Tensor) -> Tensor:
    x1, x3, x4, x5, x6 = resnet18(s, x)
    y = double(dense(s, F.conv2d(x6, s["conv2.weight"], s["conv2.bias"]), 1))
    y = double(dense(s, torch.cat((y, x5), 1), 2))
    y = double(dense(s, torch.cat((y, x4), 1), 3))
    y = double(dense(s, torch.cat((y, x3), 1), 4))
    return dense(s, double(dense(s, torch.cat((y, x1), 1), 5)), 6)


def dense(s: State, x: Tensor, stage: int) -> Tensor:
    return unit(s, x, f"decode_conv{stage}.0", f"decode_conv{stage}.1").relu()


def agrees(config: FastDepthConfig, reference: Callable[[State, Tensor], Tensor]) -> None:
    net = build(config).double()
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    initialise(net, 0, [x])
    with torch.no_grad():
        got, expected = net(x), reference(net.state_dict(), x)
    assert expected.shape == (1, 1, 64, 96)
    assert expected.std() > 0.05
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


def test_mobilenet_skips_are_added_after_the_resize() -> None:
    agrees(SUM, lambda s, x: mobilenet_skip(s, x, torch.add))


def test_mobilenet_skips_are_concatenated_behind_the_decoder() -> None:
    agrees(CONCAT, lambda s, x: mobilenet_skip(s, x, lambda a, b: torch.cat((a, b), 1)))


def test_resnet_skips_are_added_before_the_resize() -> None:
    agrees(FastDepthConfig("resnet18", "nnconv5", "add"), resnet_add)


def test_resnet_skips_are_concatenated_after_the_resize() -> None:
    agrees(FastDepthConfig("resnet18", "nnconv5", "concat"), resnet_concat)


def test_mobilenet_without_skips() -> None:
    def reference(s: State, x: Tensor) -> Tensor:
        x = mobilenet(s, x, "mobilenet.")[-1]
        for stage in range(1, 6):
            x = double(separable(s, x, f"decoder.conv{stage}"))
        return unit(s, x, "decoder.conv6.0", "decoder.conv6.1").relu()

    agrees(FastDepthConfig("mobilenet", "nnconv5dw", "none", ENCODER, (9, 8, 7, 6, 5)), reference)


def test_resnet_without_skips() -> None:
    def reference(s: State, x: Tensor) -> Tensor:
        x = F.conv2d(resnet18(s, x)[-1], s["conv2.weight"], s["conv2.bias"])
        for stage in range(1, 6):
            x = double(unit(s, x, f"decoder.conv{stage}.0", f"decoder.conv{stage}.1").relu())
        return unit(s, x, "decoder.conv6.0", "decoder.conv6.1").relu()

    config = FastDepthConfig("resnet18", "nnconv3", decoder_widths=(9, 8, 7, 6, 5))
    agrees(config, reference)


@pytest.mark.parametrize("skip", ["none", "add", "concat"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_at_full_size(encoder: str, skip: str) -> None:
    decoder = "nnconv5dw" if encoder == "mobilenet" else "nnconv5"
    config = FastDepthConfig(encoder, decoder, skip)
    if skip != "none" and encoder in ("resnet50", "resnet101", "resnet152"):
        with pytest.raises(EdgeupError, match="has no wiring for"):
            build(config)
        return
    with torch.device("meta"):
        assert build(config)(torch.empty(1, 3, 224, 224)).shape == (1, 1, 224, 224)


def bn(name: str) -> dict[str, None]:
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return dict.fromkeys(f"{name}.{part}" for part in parts)


def block(name: str, *convs: int) -> dict[str, None]:
    names: dict[str, None] = {}
    for conv in convs or (0,):
        names |= {f"{name}.{conv}.weight": None} | bn(f"{name}.{conv + 1}")
    return names


def encoder_names(prefix: str) -> dict[str, None]:
    names = block(f"{prefix}0")
    for i in range(1, 14):
        names |= block(f"{prefix}{i}", 0, 3)
    return names


def names_of(config: FastDepthConfig) -> list[str]:
    with torch.device("meta"):
        return list(build(config).state_dict())


@pytest.mark.parametrize("config", [SUM, CONCAT])
def test_names_of_mobilenet_with_skips(config: FastDepthConfig) -> None:
    names = encoder_names("conv")
    for stage in range(1, 6):
        names |= block(f"decode_conv{stage}.0") | block(f"decode_conv{stage}.1")
    assert names_of(config) == list(names | block("decode_conv6"))


def test_names_of_mobilenet_without_skips() -> None:
    names = encoder_names("mobilenet.")
    for stage in range(1, 7):
        names |= block(f"decoder.conv{stage}")
    assert names_of(PRESETS["mobilenet-nnconv5"]) == list(names)


@pytest.mark.parametrize(("skip", "prefix"), [("none", "decoder.conv"), ("add", "decode_conv")])
def test_names_of_resnet(skip: str, prefix: str) -> None:
    names = names_of(FastDepthConfig("resnet18", "nnconv5", skip))
    after_layers = ["conv2.weight", "conv2.bias"]
    for stage in range(1, 7):
        after_layers += block(f"{prefix}{stage}")
    first = names.index("conv2.weight")
    assert names[first:] == after_layers
    layers = ("layer1.", "layer2.", "layer3.", "layer4.", "bn1.")
    assert all(name == "conv1.weight" or name.startswith(layers) for name in names[:first])


def test_the_pruned_network_has_the_operators_of_the_published_file() -> None:
    # PINTO_model_zoo 146: 38 Conv, 27 Clip, 11 Relu.
    with torch.device("meta"):
        net = build(PRESETS["mobilenet-nnconv5dw-skipadd-pruned"])
    counts = {
        kind: sum(isinstance(m, kind) for m in net.modules())
        for kind in (nn.Conv2d, nn.ReLU6, nn.ReLU)
    }
    assert counts == {nn.Conv2d: 38, nn.ReLU6: 27, nn.ReLU: 11}
    assert not any(getattr(m, "inplace", False) for m in net.modules())


def test_build_refuses_what_the_catalogue_refuses() -> None:
    with pytest.raises(EdgeupError, match="unknown decoder 'nnconv6'"):
        build(FastDepthConfig(decoder="nnconv6"))
