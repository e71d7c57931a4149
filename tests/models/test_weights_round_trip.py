"""Every container times every kind of checkpoint: the arrays that come back are those saved."""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.models.weights.checkpoint import read_checkpoint

CONTAINERS = {"zip": True, "legacy": False}


def _network() -> nn.Module:
    torch.manual_seed(3)
    network = nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU()),
            head=nn.Conv2d(5, 2, 1),
            up=nn.ConvTranspose2d(2, 4, 5, 2, 2, 1),
        )
    )
    for value in network.state_dict().values():
        if value.is_floating_point():
            nn.init.normal_(value)
    return network


def _save(content: object, path: Path, container: str, **options: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: "couldn't retrieve source code"
        torch.save(content, path, _use_new_zipfile_serialization=CONTAINERS[container], **options)
    return path


def _assert_same(state: dict[str, np.ndarray], network: nn.Module) -> None:
    expected = network.state_dict()
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.numpy().dtype
        assert state[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(state[name], tensor.numpy())
    assert any(np.ptp(array) > 0 for array in state.values())


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        ("state dict", lambda n: n.state_dict()),
        ("state dict", lambda n: nn.DataParallel(n).state_dict()),
        ("state dict", lambda n: dict(n.state_dict())),
        ("state dict in a checkpoint", lambda n: {"epoch": 7, "state_dict": n.state_dict()}),
        ("state dict in a checkpoint", lambda n: {"model": n.state_dict(), "lr": 0.1}),
        ("whole module", lambda n: n),
        ("whole module", lambda n: nn.DataParallel(n)),
        ("whole module in a checkpoint", lambda n: {"epoch": 7, "model": n}),
    ],
)
def test_a_checkpoint_comes_back(tmp_path: Path, container: str, kind: str, wrap) -> None:
    network = _network()
    checkpoint = read_checkpoint(_save(wrap(network), tmp_path / "w.pth", container))
    assert checkpoint.kind == kind
    _assert_same(dict(checkpoint.state), network)
    whole = "module" in kind
    wanted = "torch.nn.modules.container.Sequential" if whole else None
    assert checkpoint.classes.get("") == wanted


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(tmp_path: Path, container: str, protocol: int) -> None:
    network = _network()
    path = _save({"model": network}, tmp_path / "w.pth", container, pickle_protocol=protocol)
    _assert_same(dict(read_checkpoint(path).state), network)


def test_safetensors_comes_back(tmp_path: Path) -> None:
    network = _network()
    save_file({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / "w.st")
    state = dict(read_checkpoint(tmp_path / "w.st").state)
    _assert_same({name: state[name] for name in network.state_dict()}, network)


@pytest.mark.parametrize("container", [*CONTAINERS, "safetensors"])
def test_every_element_type(tmp_path: Path, container: str) -> None:
    values = torch.tensor([0.0, 1.0, 3.0, 100.0])
    floats = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    tensors = {str(dtype): values.to(dtype) for dtype in (*floats, *integers)}
    path = tmp_path / "w"
    if container == "safetensors":
        save_file(tensors, path)
    else:
        _save(tensors, path, container)
    state = read_checkpoint(path).state
    assert state["torch.bfloat16"].dtype == ml_dtypes.bfloat16
    for name, tensor in tensors.items():
        assert str(state[name].dtype) == name.removeprefix("torch.")
        np.testing.assert_array_equal(state[name].astype(np.float64), tensor.double().numpy())


@pytest.mark.parametrize("container", CONTAINERS)
def test_views_of_one_storage(tmp_path: Path, container: str) -> None:
    base = torch.arange(24.0)
    views = {
        "whole": base,
        "tail": base[20:],
        "transposed": base.view(4, 6).t(),
        "strided": base[1::5],
        "scalar": base[7],
        "empty": base[:0],
        "column": base.view(4, 6)[:, 2:3].expand(4, 3),
    }
    state = read_checkpoint(_save(views, tmp_path / "w.pth", container)).state
    for name, view in views.items():
        np.testing.assert_array_equal(state[name], view.numpy())
        assert not state[name].flags.writeable
    assert np.shares_memory(state["whole"], state["transposed"])


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path, container: str) -> None:
    path = _save({"w": torch.ones(1).expand(2**40)}, tmp_path / "w.pth", container)
    with pytest.raises(EdgeupError, match=r"1099511627776 at offset 0 .* storage .* of 1 elements"):
        read_checkpoint(path)


def test_big_endian_storages(tmp_path: Path) -> None:
    little = _save({"w": torch.arange(5.0), "n": torch.tensor(258)}, tmp_path / "l.pth", "zip")
    big = tmp_path / "b.pth"
    with zipfile.ZipFile(little) as source, zipfile.ZipFile(big, "w") as goal:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.endswith("byteorder"):
                content = b"big"
            elif "/data/" in info.filename:
                width = 4 if len(content) == 20 else 8
                content = np.frombuffer(content, f"u{width}").byteswap().tobytes()
            goal.writestr(info.filename, content)
    state = read_checkpoint(big).state
    np.testing.assert_array_equal(state["w"], np.arange(5.0))
    assert state["n"] == 258


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_training_leaves_beside_the_weights(tmp_path: Path, container: str) -> None:
    network = _network()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "args": argparse.Namespace(arch="mobilenet", lr=0.01, gpus=(0, 1)),
        "epoch": np.int64(19),
        "arch": "mobilenet",
        "best_prec1": np.float32(70.5),
        "optimizer": optimizer,
        "optimizer_state": optimizer.state_dict(),
        "seen": {1, 2},
        "raw": b"\x00\xff",
        "curve": np.arange(3.0),
        "device": torch.device("cuda:0"),
        "dtype": torch.float16,
        "model": network,
    }
    checkpoint = read_checkpoint(_save(content, tmp_path / "w.pth", container))
    _assert_same(dict(checkpoint.state), network)
    assert checkpoint.notes == ("arch mobilenet", "epoch 19", "best_prec1 70.5")


def test_buffers_that_a_state_dict_leaves_out(tmp_path: Path) -> None:
    network = nn.BatchNorm2d(3)
    network.register_buffer("cache", torch.ones(3), persistent=False)
    checkpoint = read_checkpoint(_save(network, tmp_path / "w.pth", "zip"))
    assert list(checkpoint.state) == list(network.state_dict())


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "torch.ComplexFloatStorage"),
        (lambda: torch.eye(3).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (
            lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            "torch.QInt8Storage",
        ),
        (lambda: torch.ones(2, dtype=torch.uint16), "torch.storage.UntypedStorage"),
    ],
)
def test_other_tensors_are_refused_by_name(tmp_path: Path, tensor, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: quantized tensors are deprecated
        content = {"w": tensor()}
    with pytest.raises(EdgeupError, match=name.replace(".", r"\.")):
        read_checkpoint(_save(content, tmp_path / "w.pth", "zip"))


def test_safetensors_types_without_a_numpy_dtype(tmp_path: Path) -> None:
    save_file({"w": torch.ones(4).to(torch.float8_e4m3fn)}, tmp_path / "w.safetensors")
    with pytest.raises(EdgeupError, match="tensor w has elements of type F8_E4M3"):
        read_checkpoint(tmp_path / "w.safetensors")


def test_an_object_that_holds_no_weights(tmp_path: Path) -> None:
    for content, reason in (
        ({"epoch": 3, "optimizer": {}}, "its keys are epoch, optimizer"),
        ([torch.ones(1)], "holds an object of type list"),
        (argparse.Namespace(a=1), r"holds an object of type argparse\.Namespace"),
        ({"w": torch.ones(1), "note": "x"}, "note in its state dict is no tensor but a str"),
        (nn.ReLU(), "holds no tensors"),
    ):
        with pytest.raises(EdgeupError, match=reason):
            read_checkpoint(_save(content, tmp_path / "w.pth", "zip"))
