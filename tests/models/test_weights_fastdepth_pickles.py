"""FastDepth's published form: a whole module of a package that is not there when it is read.

No published file is at hand, so these are written from classes of the same names and structure
(dwofk/fast-depth ``models.py``, ``metrics.py``), with what PyTorch 0.4 put into a module.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
import subprocess
import sys
import textwrap
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from edgeup.models.weights.checkpoint import read_checkpoint
from edgeup.models.weights.recognition import recognise

MODELS = """
import torch
import torch.nn as nn
import torch.nn.backends.thnn

class Backend:  # PyTorch before 1.2 kept one in every module
    def __reduce__(self):
        return torch.nn.backends.thnn._get_thnn_function_backend, ()

def bn_relu(c):
    return nn.BatchNorm2d(c), nn.ReLU(inplace=True)

def conv_bn(ci, co):
    return nn.Sequential(nn.Conv2d(ci, co, 3, 2, 1, bias=False), *bn_relu(co))

def conv_dw(ci, co):
    return nn.Sequential(nn.Conv2d(ci, ci, 3, 1, 1, groups=ci, bias=False), *bn_relu(ci),
                         nn.Conv2d(ci, co, 1, 1, 0, bias=False), *bn_relu(co))

def depthwise(c, k):
    return nn.Sequential(nn.Conv2d(c, c, k, 1, k // 2, bias=False, groups=c), *bn_relu(c))

def pointwise(ci, co):
    return nn.Sequential(nn.Conv2d(ci, co, 1, bias=False), *bn_relu(co))

def encoder(widths):
    return [conv_bn(3, widths[0])] + [conv_dw(a, b) for a, b in zip(widths, widths[1:])]

class MobileNetSkipAdd(nn.Module):
    def __init__(self, output_size, widths, decoder):
        super().__init__()
        self.output_size = output_size
        for i, block in enumerate(encoder(widths)):
            setattr(self, 'conv{}'.format(i), block)
        for i, (a, b) in enumerate(zip([widths[-1]] + decoder, decoder)):
            stage = nn.Sequential(depthwise(a, 5), pointwise(a, b))
            setattr(self, 'decode_conv{}'.format(i + 1), stage)
        self.decode_conv6 = pointwise(decoder[-1], 1)
        for module in self.modules():
            module._backend = Backend()

class NNConv(nn.Module):
    def __init__(self, kernel_size, widths):
        super().__init__()
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            stage = nn.Sequential(depthwise(a, kernel_size), pointwise(a, b))
            setattr(self, 'conv{}'.format(i + 1), stage)
        self.conv6 = pointwise(widths[-1], 1)

class BLConv(NNConv):
    pass

class MobileNet(nn.Module):
    def __init__(self, decoder, widths):
        super().__init__()
        self.mobilenet = nn.Sequential(*encoder(widths))
        self.decoder = decoder
"""

METRICS = """
import numpy as np

class Result(object):
    def __init__(self):
        self.irmse, self.imae = np.inf, np.inf
        self.rmse, self.delta1 = np.float64(0.604), 0.771
        self.absrel = float('nan')
"""

ENCODER = [4, 6, 8, 10, 12, 14, 10, 8, 8, 8, 8, 8, 12, 16]
DECODER = [10, 14, 10, 6, 4]


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Callable[[str, bool, Callable[..., object]], Any]]:
    """Saves what a builder makes of the modules `models` and `metrics`, and removes them."""

    def save(name: str, zipped: bool, make: Callable[[Any, Any], object]) -> tuple[Path, Any]:
        modules = [_module("models", MODELS, tmp_path), _module("metrics", METRICS, tmp_path)]
        try:
            torch.manual_seed(1)
            content = make(*modules)
            torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
        finally:
            for module in modules:
                del sys.modules[module.__name__]
                Path(str(module.__file__)).unlink()
        return tmp_path / name, content

    yield save
    assert "models" not in sys.modules
    assert "metrics" not in sys.modules


def _module(name: str, source: str, folder: Path) -> ModuleType:
    # From a file, so that the legacy container finds the source that it embeds.
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _assert_same(state: Any, network: torch.nn.Module) -> None:
    expected = network.state_dict()
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(state[name], tensor.numpy())


@pytest.mark.parametrize("zipped", [False, True])
def test_the_published_checkpoint(published, zipped: bool) -> None:
    path, content = published(
        "mobilenet-nnconv5dw-skipadd-pruned.pth.tar",
        zipped,
        lambda models, metrics: {
            "epoch": 22,
            "best_result": metrics.Result(),
            "model": models.MobileNetSkipAdd((224, 224), ENCODER, DECODER),
        },
    )
    data = path.read_bytes()
    assert (b"class MobileNetSkipAdd" in data) is not zipped  # the source that is never compiled
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == "whole module in a checkpoint"
    assert checkpoint.classes[""] == "models.MobileNetSkipAdd"
    assert checkpoint.notes == ("epoch 22", "best_result: rmse 0.604, delta1 0.771")
    _assert_same(checkpoint.state, content["model"])
    config = recognise(checkpoint).config
    assert (config.encoder, config.decoder, config.skip) == ("mobilenet", "nnconv5dw", "add")
    assert config.encoder_widths == tuple(ENCODER)
    assert config.decoder_widths == tuple(DECODER)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_the_bare_module(published, zipped: bool, parallel: bool) -> None:
    def make(models: Any, _: Any) -> object:
        network = models.MobileNetSkipAdd((224, 224), ENCODER, DECODER)
        return torch.nn.DataParallel(network) if parallel else network

    path, content = published("bare.pth.tar", zipped, make)
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == "whole module"
    assert checkpoint.classes[""] == "models.MobileNetSkipAdd"
    _assert_same(checkpoint.state, content.module if parallel else content)


@pytest.mark.parametrize(("cls", "name"), [("NNConv", "nnconv5dw"), ("BLConv", "blconv5dw")])
def test_the_pickled_class_tells_nearest_from_bilinear(published, cls: str, name: str) -> None:
    path, _ = published(
        "w.pth.tar",
        False,
        lambda models, _: models.MobileNet(
            getattr(models, cls)(5, [ENCODER[-1], *DECODER]), ENCODER
        ),
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.classes["decoder"] == f"models.{cls}"
    recognised = recognise(checkpoint)
    assert recognised.config.decoder == name
    assert recognised.notes == ()


def test_reading_imports_neither_torch_nor_what_the_file_names(published) -> None:
    path, _ = published(
        "w.pth.tar", False, lambda models, _: models.MobileNetSkipAdd((224, 224), ENCODER, DECODER)
    )
    # Decoys beside the reader's own folder would be imported if anything imported them.
    (path.parent / "models.py").write_text("raise SystemExit('models was imported')")
    code = f"""
        import sys
        from pathlib import Path
        from edgeup.models.weights.checkpoint import read_checkpoint
        from edgeup.models.weights.recognition import recognise
        seen = []
        sys.addaudithook(lambda event, args: seen.append((event, args)))
        checkpoint = read_checkpoint(Path({str(path)!r}))
        recognise(checkpoint)
        acts = ('import', 'exec', 'os.', 'subprocess', 'socket', 'ctypes', 'pickle.find_class')
        # compile: NumPy and re may; with a file's text they would name its class
        print([e for e in seen if e[0].startswith(acts) or 'MobileNetSkipAdd' in str(e)])
        print([m for m in ('torch', 'models', 'metrics') if m in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        cwd=path.parent,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["[]", "[]"], done


class _Storage:
    """Pickled by persistent id, with the view metadata that PyTorch 0.4 wrote."""

    def __init__(self, *fields: object) -> None:
        self.id = ("storage", torch.FloatStorage, *fields)


class _Tensor:
    def __init__(self, rebuild: Callable[..., object], *args: object) -> None:
        self.reduced = (rebuild, args)

    def __reduce__(self) -> Any:
        return self.reduced


def _legacy_file(root: object, storages: dict[str, np.ndarray]) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return obj.id if isinstance(obj, _Storage) else None

    stream = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, stream, protocol=2)
    Pickler(stream, protocol=2).dump(root)
    pickle.dump(list(storages), stream, protocol=2)
    for array in storages.values():
        stream.write(len(array).to_bytes(8, "little") + array.astype("<f4").tobytes())
    return stream.getvalue()


def test_storage_views_and_old_rebuilders_on_a_gpu(tmp_path: Path) -> None:
    rebuild = torch._utils._rebuild_tensor, torch._utils._rebuild_tensor_v2
    whole = _Storage("94", "cuda:0", 12, None)
    view = _Storage("94", "cuda:0", 12, ("95", 3, 8))
    inner = _Tensor(rebuild[1], view, 2, (3,), (2,), True, OrderedDict())
    state = {
        "old": _Tensor(rebuild[0], whole, 1, (2, 3), (3, 1)),
        "view": inner,
        "parameter": _Tensor(torch._utils._rebuild_parameter, inner, True, OrderedDict()),
        "oldest": _Tensor(torch.nn.Parameter, inner, True),
    }
    path = tmp_path / "old.pth"
    path.write_bytes(_legacy_file(state, {"94": np.arange(12.0)}))
    read = read_checkpoint(path).state
    np.testing.assert_array_equal(read["old"], [[1, 2, 3], [4, 5, 6]])
    for name in ("view", "parameter", "oldest"):
        np.testing.assert_array_equal(read[name], [5, 7, 9])  # 3 + 2, in steps of 2
