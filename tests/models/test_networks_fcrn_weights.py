"""The published dictionary: into the network, and out of its file."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgeup.errors import EdgeupError
from edgeup.models.fcrn import Fcrn, FcrnConfig
from edgeup.models.fcrn_weights import load_published
from edgeup.models.weights.numpy_layers import read_numpy_layers

Layers = dict[str, dict[str, NDArray[Any]]]

WIDTH = 1 / 32  # 1024 channels become 32, 16, 8, 4 and 2
SMALL = FcrnConfig(width=WIDTH)
BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}


class Tf:
    """The authors' network over a dictionary of layers; it also draws the dictionary.

    Written from fcrn.py and network.py alone: names, order, strides and paddings are theirs.
    """

    def __init__(self, layers: Layers | None = None) -> None:
        self.layers: Layers = {} if layers is None else layers
        self.draw = layers is None
        self.random = np.random.default_rng(7)

    def conv(
        self,
        x: Tensor,
        k: tuple[int, int],
        co: int,
        stride: int,
        name: str,
        pads: tuple[int, int, int, int] | None = None,
        biased: bool = True,
    ) -> Tensor:
        if self.draw:
            fan_in = k[0] * k[1] * x.shape[1]
            weights = self.random.normal(0, (2 / fan_in) ** 0.5, (*k, x.shape[1], co))
            self.layers[name] = {"weights": weights.astype(np.float32)}
            if biased:
                self.layers[name]["biases"] = self.random.random(co, np.float32)
        layer = self.layers[name]
        half_h, half_w = (k[0] - 1) // 2, (k[1] - 1) // 2
        left, right, top, bottom = pads or (half_w, half_w, half_h, half_h)
        weight = torch.from_numpy(np.einsum("hwio->oihw", layer["weights"]).astype(np.float64))
        y = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride)
        if "biases" in layer:
            y = y + torch.from_numpy(layer["biases"].astype(np.float64)).view(1, -1, 1, 1)
        return y

    def norm(self, x: Tensor, name: str, relu: bool = False) -> Tensor:
        if self.draw:
            c = x.shape[1]
            self.layers[name] = {
                "scale": self.random.uniform(0.8, 1.2, c).astype(np.float32),
                "offset": self.random.uniform(0, 0.5, c).astype(np.float32),
                "mean": x.mean((0, 2, 3)).numpy().astype(np.float32),
                "variance": x.var((0, 2, 3)).numpy().astype(np.float32) + np.float32(0.1),
            }
        layer = self.layers.get(name)
        if layer is not None:  # without: it was fused
            values = (layer[key] for key in ("scale", "offset", "mean", "variance"))
            scale, offset, mean, variance = (
                torch.from_numpy(value.astype(np.float64)).view(1, -1, 1, 1) for value in values
            )
            x = (x - mean) * scale / (variance + 1e-4).sqrt() + offset
        return x.clamp_min(0) if relu else x

    def bottleneck(self, x: Tensor, width: int, stride: int, name: str) -> Tensor:
        short = x
        if name.endswith("a"):
            short = self.conv(x, (1, 1), 4 * width, stride, f"res{name}_branch1", biased=False)
            short = self.norm(short, f"bn{name}_branch1")
        y = self.conv(x, (1, 1), width, stride, f"res{name}_branch2a", biased=False)
        y = self.norm(y, f"bn{name}_branch2a", relu=True)
        y = self.conv(y, (3, 3), width, 1, f"res{name}_branch2b", biased=False)
        y = self.norm(y, f"bn{name}_branch2b", relu=True)
        y = self.conv(y, (1, 1), 4 * width, 1, f"res{name}_branch2c", biased=False)
        return (short + self.norm(y, f"bn{name}_branch2c")).clamp_min(0)

    def unpool_as_conv(self, x: Tensor, co: int, name: str, relu: bool) -> Tensor:
        a = self.conv(x, (3, 3), co, 1, f"{name}_ConvA")
        b = self.conv(x, (2, 3), co, 1, f"{name}_ConvB", (1, 1, 1, 0))
        c = self.conv(x, (3, 2), co, 1, f"{name}_ConvC", (1, 0, 1, 1))
        d = self.conv(x, (2, 2), co, 1, f"{name}_ConvD", (1, 0, 1, 0))
        y = x.new_zeros(x.shape[0], co, 2 * x.shape[2], 2 * x.shape[3])
        y[:, :, 0::2, 0::2], y[:, :, 1::2, 0::2] = a, b
        y[:, :, 0::2, 1::2], y[:, :, 1::2, 1::2] = c, d
        return self.norm(y, f"{name}_BN", relu)

    def __call__(self, image: Tensor) -> Tensor:
        x = self.norm(self.conv(image, (7, 7), 64, 2, "conv1"), "bn_conv1", relu=True)
        pads = [side % 2 for side in x.shape[2:]]  # SAME: before; one after in any case
        x = F.max_pool2d(F.pad(x, (pads[1], 1, pads[0], 1)), 3, 2)
        for stage, letters in BLOCKS.items():
            for letter in letters:
                stride = 2 if letter == "a" and stage > 2 else 1
                x = self.bottleneck(x, 64 << (stage - 2), stride, f"{stage}{letter}")
        channels = round(1024 * WIDTH)
        x = self.norm(self.conv(x, (1, 1), channels, 1, "layer1"), "layer1_BN")
        for scale in (2, 4, 8, 16):
            channels //= 2
            name = f"layer{scale}x"
            y = self.unpool_as_conv(x, channels, f"{name}_br1", relu=True)
            y = self.norm(self.conv(y, (3, 3), channels, 1, f"{name}_Conv"), f"{name}_BN")
            x = (y + self.unpool_as_conv(x, channels, f"{name}_br2", relu=False)).clamp_min(0)
        return self.conv(x, (3, 3), 1, 1, "ConvPred").clamp_min(0)


@pytest.fixture(scope="module")
def image() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(1, 3, 70, 96, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def published(image: Tensor) -> tuple[Layers, Tensor]:
    tf = Tf()
    expected = tf(image)
    assert expected.std() > 1e-2
    return tf.layers, expected


@pytest.fixture(scope="module")
def module() -> Fcrn:
    """One for all tests of this file: loading sets everything. In float64, to test algebra."""
    return Fcrn(SMALL).double().eval()


def fused(layers: Layers) -> Layers:
    """Every batch norm multiplied into what comes before it."""
    result: Layers = {name: dict(layer) for name, layer in layers.items() if "scale" not in layer}
    for name, norm in layers.items():
        if "scale" not in norm:
            continue
        if name.startswith("bn"):
            convs = [name.replace("bn_", "") if name == "bn_conv1" else name.replace("bn", "res")]
        elif "_br" in name:
            convs = [name.replace("BN", f"Conv{letter}") for letter in "ABCD"]
        else:
            convs = [name.removesuffix("_BN") if name == "layer1_BN" else name[:-2] + "Conv"]
        factor = norm["scale"] / np.sqrt(norm["variance"].astype(np.float64) + 1e-4)
        for conv in convs:
            bias = result[conv].get("biases", np.zeros(1)).astype(np.float64)
            result[conv]["biases"] = (bias - norm["mean"]) * factor + norm["offset"]
            result[conv]["weights"] = result[conv]["weights"] * factor
    return result


def output(module: Fcrn, image: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = module(image)
    return result


def test_the_network_computes_what_the_authors_code_does(
    module: Fcrn, published: tuple[Layers, Tensor], image: Tensor
) -> None:
    layers, expected = published
    load_published(module, layers)
    torch.testing.assert_close(output(module, image), expected, rtol=1e-9, atol=1e-9)


def test_fused_weights_compute_the_same(
    module: Fcrn, published: tuple[Layers, Tensor], image: Tensor
) -> None:
    layers, expected = published
    without = fused(layers)
    assert not any("scale" in layer for layer in without.values())
    torch.testing.assert_close(Tf(without)(image), expected, rtol=1e-9, atol=1e-9)
    load_published(module, without)
    torch.testing.assert_close(output(module, image), expected, rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_is_listed_and_nothing_is_touched(
    module: Fcrn, published: tuple[Layers, Tensor]
) -> None:
    layers = {name: dict(layer) for name, layer in published[0].items()}
    del layers["res3b_branch2a"]
    del layers["bn_conv1"]["variance"]
    layers["res2a_branch2a"]["biases"] = np.ones(64, np.float32)
    layers["layer1"]["weights"] = layers["layer1"]["weights"][..., :-1]
    layers["ConvPred"]["biases"] = np.ones(1, np.int64)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(EdgeupError) as refusal:
        load_published(module, layers)
    line = str(refusal.value)
    assert "missing: bn_conv1/variance, res3b_branch2a/weights;" in line
    assert "not known: res2a_branch2a/biases;" in line
    assert "layer1/weights has 31x2048x1x1 (o i h w), wanted 32x2048x1x1" in line
    assert "no floating-point numbers: ConvPred/biases" in line
    after = module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_one_batch_norm_left_out_is_missing_and_not_fused(
    module: Fcrn, published: tuple[Layers, Tensor]
) -> None:
    layers = {name: layer for name, layer in published[0].items() if name != "layer1_BN"}
    with pytest.raises(EdgeupError, match="missing: layer1_BN/scale, layer1_BN/offset"):
        load_published(module, layers)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            FcrnConfig(padding="textbook", width=WIDTH),
            "something else with padding textbook; they are for padding published",
        ),
        (
            FcrnConfig(stride="3x3", pool="pytorch", width=WIDTH),
            "with stride 3x3, pool pytorch; they are for stride first-1x1, pool tensorflow",
        ),
        (FcrnConfig(decoder="upproj", width=WIDTH), "for decoder fast-upproj"),
        (FcrnConfig(encoder="resnet18", width=WIDTH), "for encoder resnet50"),
    ],
)
def test_another_wiring_is_refused(config: FcrnConfig, line: str) -> None:
    with torch.device("meta"):
        module = Fcrn(config)
    with pytest.raises(EdgeupError, match=line):
        load_published(module, {})


class TestFile:
    LAYERS: ClassVar[Layers] = {
        "conv1": {
            "weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1),
            "biases": np.array([0.5], ">f8"),
        },
        "other": {"weights": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3))},
    }

    @staticmethod
    def same(found: Layers, wanted: Layers) -> None:
        assert list(found) == list(wanted)
        for layer, arrays in wanted.items():
            assert list(found[layer]) == list(arrays)
            for name, array in arrays.items():
                assert found[layer][name].dtype == array.dtype
                np.testing.assert_array_equal(found[layer][name], array)

    def test_what_numpy_saves(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.npy"
        np.save(path, np.array(self.LAYERS, dtype=object))
        self.same(read_numpy_layers(path), self.LAYERS)

    @pytest.mark.parametrize("protocol", [2, 3, 4])
    def test_every_protocol_of_numpy(self, tmp_path: Path, protocol: int) -> None:
        path = tmp_path / "weights.npy"
        path.write_bytes(saved(np.array(self.LAYERS, dtype=object), protocol))
        self.same(read_numpy_layers(path), self.LAYERS)

    def test_python_2_wrote_bytes_as_strings(self, tmp_path: Path) -> None:
        """As caffe-tensorflow's converter did: names and data are BINSTRING, names are old."""
        array = np.array([1.5, -2.0], np.float32)
        raw = array.tobytes()
        dtype = (
            b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
            b"K\x00tb"
        )
        inner = (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
            b"(K\x01(K\x02t" + dtype + b"\x89U" + bytes([len(raw)]) + raw + b"tb"
        )
        objects = dtype.replace(b"f4", b"O8").replace(b"U\x01<", b"U\x01|")
        objects = objects.replace(b"K\x00tb", b"K\x3ftb")  # flags: pickled as a list
        outer = (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
            b"(K\x01)" + objects + b"\x89](}U\x05conv1}U\x07weights" + inner + b"ssetb."
        )
        theirs = pickle.loads(outer, encoding="latin1").item()
        np.testing.assert_array_equal(theirs["conv1"]["weights"], array)
        path = tmp_path / "weights.npy"
        path.write_bytes(header() + outer)
        self.same(read_numpy_layers(path), {"conv1": {"weights": array}})

    def test_into_the_network(
        self,
        tmp_path: Path,
        module: Fcrn,
        published: tuple[Layers, Tensor],
        image: Tensor,
    ) -> None:
        layers, expected = published
        path = tmp_path / "fcrn.npy"
        np.save(path, np.array(layers, dtype=object))
        load_published(module, read_numpy_layers(path))
        torch.testing.assert_close(output(module, image), expected, rtol=1e-9, atol=1e-9)

    def test_nothing_in_it_is_run(self, tmp_path: Path) -> None:
        mark = tmp_path / "run"

        class Harm:
            def __reduce__(self) -> tuple[Any, ...]:
                return mark.touch, ()

        path = tmp_path / "weights.npy"
        for content in (Harm(), {"conv1": Harm()}, {"conv1": {"weights": Harm()}}):
            np.save(path, np.array(content, dtype=object))
            with pytest.raises(EdgeupError, match=r"weights\.npy: refused: .*asks to call"):
                read_numpy_layers(path)
        assert not mark.exists()
        np.load(path, allow_pickle=True)
        assert mark.exists(), "the file is harmless, and the test proves nothing"

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ([1, 2], "holds a list; a dictionary of layers is needed"),
            ({"conv1": [1]}, "conv1 in it is no layer"),
            ({3: {}}, "3 in it is no layer"),
            ({"conv1": {3: np.ones(2)}}, "a parameter of layer conv1 has no name"),
            ({"conv1": {"weights": 1.0}}, "conv1/weights is no array"),
            (
                {"conv1": {"weights": np.ones(3, np.int32)}},
                "conv1/weights holds something else than floating-point numbers",
            ),
            (
                {"conv1": {"weights": np.array([{}])}},
                "conv1/weights holds something else than floating-point numbers",
            ),
        ],
    )
    def test_what_is_no_dictionary_of_layers(
        self, tmp_path: Path, content: object, line: str
    ) -> None:
        box = np.empty((), object)
        box[()] = content
        path = tmp_path / "weights.npy"
        np.save(path, box)
        with pytest.raises(EdgeupError, match=line):
            read_numpy_layers(path)

    def test_other_files(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.npy"
        with pytest.raises(EdgeupError, match=r"weights\.npy: there is no such file"):
            read_numpy_layers(path)
        path.write_bytes(b"PK\x03\x04")
        with pytest.raises(EdgeupError, match="is no NumPy file"):
            read_numpy_layers(path)
        np.save(path, np.ones((2, 3)))
        with pytest.raises(EdgeupError, match=r"holds plain numbers.*'<f8'.*'shape': \(2, 3\)"):
            read_numpy_layers(path)

    def test_every_truncation_is_one_line(self, tmp_path: Path) -> None:
        whole = saved(np.array(self.LAYERS, dtype=object), 2)
        path = tmp_path / "weights.npy"
        for length in range(0, len(whole), 7):
            path.write_bytes(whole[:length])
            with pytest.raises(EdgeupError, match=r"weights\.npy") as refusal:
                read_numpy_layers(path)
            assert "\n" not in str(refusal.value)

    def test_every_flipped_byte_is_read_or_one_line(self, tmp_path: Path) -> None:
        whole = bytearray(saved(np.array(self.LAYERS, dtype=object), 2))
        path = tmp_path / "weights.npy"
        lines = []
        for at in range(0, len(whole), 3):
            damaged = bytearray(whole)
            damaged[at] ^= 0x15
            path.write_bytes(damaged)
            try:
                read_numpy_layers(path)
            except EdgeupError as error:
                lines.append(str(error))
        assert len(lines) > 50
        assert not any("\n" in line for line in lines)

    def test_a_declared_size_is_compared_with_the_bytes(self, tmp_path: Path) -> None:
        layers = {"conv1": {"weights": np.ones(200, np.float32)}}
        whole = saved(np.array(layers, dtype=object), 3)
        assert whole.count(b"K\xc8") == 1
        path = tmp_path / "weights.npy"
        path.write_bytes(whole.replace(b"K\xc8", b"K\xc9"))
        with pytest.raises(EdgeupError, match="conv1/weights of 201 needs 804 bytes"):
            read_numpy_layers(path)


def header() -> bytes:
    stream = io.BytesIO()
    described: dict[str, Any] = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def saved(array: NDArray[Any], protocol: int) -> bytes:
    return header() + pickle.dumps(array, protocol=protocol)
