"""Files that are no checkpoint, or half of one: one clear line each, and bounded memory."""

from __future__ import annotations

import io
import pickle
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.models.weights.checkpoint import read_checkpoint

MAGIC = 0x1950A86A20F9469CFC6C


def _saved(content: object, zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def _network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    network = _network()
    state = network.state_dict()
    return {
        "zip": _saved(state, True),
        "zip module": _saved({"epoch": 1, "model": network}, True),
        "legacy": _saved(state, False),
        "legacy module": _saved({"epoch": 1, "model": network}, False),
        "safetensors": save_safetensors(state),
    }


def _tar(mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"), io.BytesIO(b""))
    return stream.getvalue()


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"\x80", r"is truncated \(1 bytes\)"),
        (pickle.dumps(MAGIC, protocol=2)[:9], r"is truncated \(9 bytes\)"),
        (pickle.dumps(MAGIC, protocol=2), "truncated"),
        (pickle.dumps({"w": 1}), "is a Python pickle, but not one of torch.save"),
        (_tar("w"), "is a tar archive: unpack it"),
        (_tar("w:gz"), "is compressed with gzip"),
        (_tar("w:bz2"), "is compressed with bzip2"),
        (_tar("w:xz"), "is compressed with xz"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "is a web page"),
        (b"\n  <HTML><head></head>", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"404: Not Found", "is a text file"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (bytes(range(128, 228)), "neither a PyTorch checkpoint nor safetensors"),
        (_zip({"a.txt": b"x"}), "is a zip archive, but not a checkpoint"),
        (_zip({"m/data.pkl": b"N.", "m/constants.pkl": b"N."}), "is a TorchScript archive"),
        (_zip({"m/data.pkl": b"N." * 99}, zipfile.ZIP_DEFLATED), "data.pkl .* is compressed"),
        (_zip({"m/data.pkl": b"N.", "n/data.pkl": b"N."}), "not a checkpoint"),
        (_zip({"../data.pkl": b"N."}), "holds an object of type NoneType"),
        (_zip({"m/data.pkl": b""}), "truncated"),
    ],
    # Archives hold the time at which they were made: no name for a test that must be found again.
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mobilenet.pth.tar"
    path.write_bytes(content)
    with pytest.raises(EdgeupError, match=reason) as refusal:
        read_checkpoint(path)
    assert str(refusal.value).startswith(f"weights {path}: ")
    assert "\n" not in str(refusal.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(EdgeupError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(EdgeupError, match="there is no such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(EdgeupError, match="is not a regular file"):
        read_checkpoint(Path("/dev/zero"))


def test_two_members_of_one_name(tmp_path: Path) -> None:
    content = _zip({"m/data.pkl": b"N.", "m/data.pkL": b"N."}).replace(b"data.pkL", b"data.pkl")
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(EdgeupError, match="two members of one name"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", ["zip", "zip module", "legacy", "legacy module", "safetensors"])
def test_a_truncated_file_says_so(tmp_path: Path, good: dict[str, bytes], kind: str) -> None:
    whole = good[kind]
    path = tmp_path / "w.pth"
    draw = random.Random(5)
    lengths = {len(whole) - 1, *(draw.randrange(1, len(whole)) for _ in range(60))}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(EdgeupError, match="truncated"):
            read_checkpoint(path)


def _survives(content: bytes, folder: Path) -> None:
    path = folder / "w.pth"
    path.write_bytes(content)
    try:
        checkpoint = read_checkpoint(path)
    except EdgeupError as error:
        assert str(error).isprintable()  # noqa: PT017 - both outcomes are allowed
    else:
        for array in checkpoint.state.values():
            assert array.nbytes <= len(content)
            np.array(array)  # touches every element


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_mutation_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, good: dict[str, bytes], data: st.DataObject
) -> None:
    content = bytearray(good[data.draw(st.sampled_from(sorted(good)))])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        old = data.draw(st.integers(0, 4))
        content[place : place + old] = data.draw(st.binary(max_size=6))
        content = content or bytearray(b"\x00")
    _survives(bytes(content), tmp_path_factory.getbasetemp())


FRAGMENTS = [
    *(
        bytes([code])
        for code in b"(0123lt})]sueabRoQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94N."
    ),
    *(b"K\x00", b"K\x07", b"h\x00", b"q\x00", b"q\x01", b"h\x01", b"X\x01\x00\x00\x00x"),
    *(b"J\xff\xff\xff\x7f", b"\x8a\x09" + b"\x7f" * 9, b"G" + struct.pack(">d", float("nan"))),
    *(f"ctorch._utils\n{name}\n".encode() for name in ("_rebuild_tensor_v2", "_rebuild_parameter")),
    *(b"ctorch\nSize\n", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n"),
    *(b"c__builtin__\nset\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\nscalar\n", b"cm\nN\n"),
    *(b"X\x07\x00\x00\x00storage", b"X\x01\x00\x00\x000", b"X\x0b\x00\x00\x00_parameters"),
    *(b"X\x08\x00\x00\x00_buffers", b"X\x08\x00\x00\x00_modules", b"X\x02\x00\x00\x00f8"),
]
"""Opcodes and the names that mean something here, to be thrown together at random."""


@settings(max_examples=400, deadline=None)
@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=40))
def test_any_pickle_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    content = _zip({"m/data.pkl": b"\x80\x02" + b"".join(parts) + b".", "m/data/0": b"\x00" * 16})
    _survives(content, tmp_path_factory.getbasetemp())


def _tensor_pickle(
    numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> bytes:
    def number(n: int) -> bytes:
        raw = n.to_bytes(9, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(numel) + b"tQ"
        + number(offset) + numbers(size) + numbers(stride) + b"\x89}tR"
    )  # fmt: skip
    return b"\x80\x02}X\x01\x00\x00\x00w" + tensor + b"s."


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ((4, 0, (2, 2), (2, 1)), None),
        ((4, 0, (2, 2), (1, 2)), None),
        ((4, 1, (2, 2), (2, 1)), "does not fit storage 0 of 4"),
        ((4, 0, (5,), (1,)), "does not fit storage 0 of 4"),
        ((4, 0, (2, 2), (3, 1)), "does not fit storage 0 of 4"),
        ((4, 2**62, (1,), (1,)), "does not fit storage 0 of 4"),
        ((4, -1, (1,), (1,)), "offset is damaged"),
        ((4, 0, (-2, -2), (2, 1)), "not a tuple of natural numbers"),
        ((4, 0, (2, 2), (-2, 1)), "not a tuple of natural numbers"),
        ((4, 0, (2**40, 2**40), (0, 0)), "does not fit storage 0 of 4"),
        ((4, 0, (2**63, 2**63), (0, 0)), "not a tuple of natural numbers"),
        ((4, 0, (0, 2**47, 2**47), (1, 1, 1)), "is damaged"),
        ((4, 0, (2, 2), (2,)), "2 sizes and 1 strides"),
        ((4, 0, (1,) * 40, (1,) * 40), "40 sizes"),
        ((5, 0, (2, 2), (2, 1)), "declares 20 bytes, and the file has 16"),
        ((2**60, 0, (2, 2), (2, 1)), "storage 0 declares 4,611,686,018,427,387,904 bytes"),
        ((-4, 0, (2, 2), (2, 1)), "declares -4 elements"),
    ],
)
def test_declared_sizes(
    tmp_path: Path, declared: tuple[int, int, tuple[int, ...], tuple[int, ...]], reason: str | None
) -> None:
    values = np.arange(4.0, dtype="<f4")
    pickled = _tensor_pickle(*declared)
    (tmp_path / "w.pth").write_bytes(_zip({"m/data.pkl": pickled, "m/data/0": values.tobytes()}))
    if reason is None:
        state = read_checkpoint(tmp_path / "w.pth").state
        assert sorted(state["w"].ravel()) == [0, 1, 2, 3]
        return
    with pytest.raises(EdgeupError, match=reason):
        read_checkpoint(tmp_path / "w.pth")


def test_oversize_legacy_storage_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    pickled = _tensor_pickle(2**50, 0, (2,), (1,)).replace(b"cputQ", b"cpu" + b"N" + b"tQ")
    headers = b"".join(pickle.dumps(part, protocol=2) for part in (MAGIC, 1001, {}))
    keys = pickle.dumps(["0"], protocol=2)
    (tmp_path / "w.pth").write_bytes(headers + pickled + keys + b"\x00" * 64)
    with pytest.raises(EdgeupError, match="declares 4,503,599,627,370,496 bytes, and the whole"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("stored", [3, -1, 2**40])
def test_legacy_storage_of_another_length(
    tmp_path: Path, good: dict[str, bytes], stored: int
) -> None:
    network = _network()
    whole = bytearray(_saved({"w": network.state_dict()["0.bias"].clone()}, False))
    place = len(whole) - 8 - 3 * 4
    assert whole[place : place + 8] == (3).to_bytes(8, "little")
    whole[place : place + 8] = stored.to_bytes(8, "little", signed=True)
    (tmp_path / "w.pth").write_bytes(whole)
    if stored == 3:
        assert list(read_checkpoint(tmp_path / "w.pth").state) == ["w"]
        return
    with pytest.raises(EdgeupError, match=f"holds {stored:,} elements and was declared with 3"):
        read_checkpoint(tmp_path / "w.pth")


def _deep(count: int) -> bytes:
    return b"\x80\x02" + b")" + b"\x85" * count + b"."


def _doubling(count: int) -> bytes:
    # A module whose two children are one object, which has two children, ...: 2**count paths.
    tables = b"X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules"
    pickled = b"\x80\x02" + b"cm\nN\n)\x81}(" + tables + b"}ub" + b"q\x00"
    for _ in range(count):
        children = b"}(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00u"
        pickled += b"cm\nN\n)\x81}(" + tables + children + b"ub" + b"q\x00"
    return pickled + b"."


def _self_holding() -> bytes:
    tables = b"X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules"
    cls = b"ctorch.nn\nDataParallel\n)\x81q\x00}("
    return b"\x80\x02" + cls + tables + b"}X\x06\x00\x00\x00moduleh\x00subh\x00."


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "deep nesting": (lambda: _deep(100_000), "holds an object of type tuple"),
    "a deep key": (lambda: b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s.", "a tuple as a key"),
    "a module in itself": (_self_holding, "deeper than 64"),
    "a long string": (lambda: b"\x80\x02\x8d" + b"\xff" * 7 + b"\x7fx.", "truncated"),
    "long bytes": (lambda: b"\x80\x03B\xff\xff\xff\xffx.", "truncated"),
    "a long number": (lambda: b"\x80\x02\x8b\xff\xff\xff\x7f\x01.", "truncated"),
    "a frame": (lambda: b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "holds an object of type NoneType"),
    "a memo index": (lambda: b"\x80\x02Nr\xff\xff\xff\xff.", "holds an object of type NoneType"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_stay_small(tmp_path: Path, bomb: str) -> None:
    build, reason = BOMBS[bomb]
    (tmp_path / "w.pth").write_bytes(_zip({"m/data.pkl": build()}))
    tracemalloc.start()
    try:
        with pytest.raises(EdgeupError, match=reason):
            read_checkpoint(tmp_path / "w.pth")
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()


def test_endless_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeup.models.weights.unpickler.MAX_OPCODES", 2_000)
    for count, reason in ((900, "holds an object of type NoneType"), (1_100, "more than 2,000")):
        pickled = b"\x80\x02" + b"}0" * count + b"N."
        (tmp_path / "w.pth").write_bytes(_zip({"m/data.pkl": pickled}))
        with pytest.raises(EdgeupError, match=reason):
            read_checkpoint(tmp_path / "w.pth")


def test_children_that_are_shared_over_and_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeup.models.weights.module_tree.MAX_ENTRIES", 2_000)
    for levels, reason in ((9, "holds no tensors"), (50, "more than 2,000 modules and tensors")):
        (tmp_path / "w.pth").write_bytes(_zip({"m/data.pkl": _doubling(levels)}))
        with pytest.raises(EdgeupError, match=reason):
            read_checkpoint(tmp_path / "w.pth")
