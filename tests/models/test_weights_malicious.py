"""Files that try to run something: nothing runs, and the line names what they asked for."""

from __future__ import annotations

import builtins
import functools
import importlib
import io
import operator
import os
import pickle
import re
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeup.errors import EdgeupError
from edgeup.models.weights.checkpoint import read_checkpoint


class Call:
    """Pickled as a call, as an exploit's ``__reduce__`` does it."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts

    def __call__(self) -> None:
        """Lets the result be pickled as a function in its turn."""


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _global(name: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def _as_file(pickled: bytes, container: str) -> bytes:
    stream = io.BytesIO()
    if container == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/version", "3\n")
    else:
        for header in (0x1950A86A20F9469CFC6C, 1001, {}):
            pickle.dump(header, stream, protocol=2)
        stream.write(pickled + pickle.dumps([], protocol=2))
    return stream.getvalue()


def _dumped(make: Callable[[str], object]) -> Callable[[str], bytes]:
    return lambda command: pickle.dumps(make(command), protocol=4)


LIVE: dict[str, tuple[Callable[[str], bytes], str]] = {
    "os.system": (_dumped(lambda c: Call(os.system, c)), "posix.system"),
    "a shell": (_dumped(lambda c: Call(subprocess.getoutput, c)), "subprocess.getoutput"),
    "a process": (_dumped(lambda c: Call(subprocess.Popen, ["sh", "-c", c])), "subprocess.Popen"),
    "eval": (_dumped(lambda c: Call(eval, f"__import__('os').system({c!r})")), "builtins.eval"),
    "exec": (_dumped(lambda c: Call(exec, f"import os; os.system({c!r})")), "builtins.exec"),
    "a getattr chain": (
        _dumped(lambda c: Call(Call(getattr, Call(importlib.import_module, "os"), "system"), c)),
        "importlib.import_module",
    ),
    "a partial": (_dumped(lambda c: Call(Call(functools.partial, os.system), c)), "functools"),
    "beside good weights": (
        _dumped(lambda c: {"best_result": Call(os.system, c), "state_dict": {}}),
        "posix.system",
    ),
    "as a dict's key": (_dumped(lambda c: {Call(os.system, c): 1}), "posix.system"),
    "INST": (lambda c: b"(" + _text(c) + b"iposix\nsystem\n.", "posix.system"),
    "OBJ": (lambda c: b"(" + _global("posix.system") + _text(c) + b"o.", "posix.system"),
    "a dotted name": (
        # protocol 4 walks attributes: torch.serialization's own `os`
        lambda c: (
            b"\x80\x04"
            + _text("torch.serialization")
            + _text("os.system")
            + b"\x93"
            + _text(c)
            + b"\x85R."
        ),
        "torch.serialization.os.system",
    ),
    "in a memoized place": (
        lambda c: (
            b"\x80\x02" + _global("posix.system") + b"q\x010" + b"h\x01" + _text(c) + b"\x85R."
        ),
        "posix.system",
    ),
}
"""Pickles that Python itself would obey, and what the refusal must name."""


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("trick", LIVE)
def test_nothing_runs(tmp_path: Path, container: str, trick: str) -> None:
    marker = tmp_path / "ran"
    build, name = LIVE[trick]
    pickled = build(f"touch {marker}")
    path = tmp_path / "model.pth"
    path.write_bytes(_as_file(pickled, container))
    with pytest.raises(EdgeupError, match=f"asks to call {re.escape(name)}") as refusal:
        read_checkpoint(path)
    assert "\n" not in str(refusal.value)
    assert not marker.exists()
    assert _obeyed(pickled, marker), "this pickle is harmless, so the test proved nothing"


def _obeyed(pickled: bytes, marker: Path) -> bool:
    # The marker is all that these commands make.
    made = pickle.loads(pickled)
    if isinstance(made, subprocess.Popen):
        made.wait(timeout=60)
    return marker.exists()


def test_state_that_would_be_called(tmp_path: Path) -> None:
    # BUILD with {"__setstate__": system}, then BUILD with a command, calls it in Python.
    marker = tmp_path / "ran"
    pickled = (
        b"\x80\x02" + _global("models.Net") + b")\x81}" + _text("__setstate__")
        + _global("posix.system") + b"sb" + _text(f"touch {marker}") + b"b."
    )  # fmt: skip
    path = tmp_path / "model.pth"
    path.write_bytes(_as_file(pickled, "zip"))
    with pytest.raises(EdgeupError, match=r"holds an object of type models\.Net"):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("opcode", [b"\x81", b"}\x92"])
def test_a_class_that_acts_when_it_is_made(tmp_path: Path, opcode: bytes) -> None:
    marker = tmp_path / "ran"
    command = b"(" + b"".join(map(_text, ("touch", str(marker)))) + b"l\x85"
    path = tmp_path / "model.pth"
    pickled = b"\x80\x04" + _global("subprocess.Popen") + command + opcode + b"."
    path.write_bytes(_as_file(pickled, "legacy"))
    with pytest.raises(EdgeupError, match=r"holds an object of type subprocess\.Popen"):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (b"\x80\x02" + _global("models.Net") + b")\x81)R.", "call a value"),
        (b"\x80\x02\x82\x01)R.", "opcode EXT1"),
        (b"\x80\x02P1\n.", "opcode PERSID"),
        (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
        (b"\x80\x02Q.", "damaged|truncated"),
        (b"\x80\x02" + _text("x") + b"Q.", "persistent id"),
        (b"\x80\x02" + _text("module") + _global("posix.system") + b"NN(0tQ.", "damaged|trunc"),
        (
            b"\x80\x02("
            + _text("module")
            + _global("posix.system")
            + b"NNtQ"
            + _text("x")
            + b"\x85R.",
            r"posix\.system",
        ),
        (b"\x80\x02K\x01s.", "damaged|truncated"),
        (b"\x80\x02})K\x01s.", "uses a tuple as a key"),
        (b"\x80\x02}]K\x01s.", "uses a list as a key"),
    ],
)
def test_other_opcodes_are_refused(tmp_path: Path, pickled: bytes, reason: str) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(_as_file(pickled, "zip"))
    with pytest.raises(EdgeupError, match=reason):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "function",
    [
        torch.storage._load_from_bytes,  # unpickles its argument
        torch.load,
        torch._utils._rebuild_qtensor,
        torch._utils._rebuild_wrapper_subclass,
        operator.attrgetter,
        builtins.open,
        builtins.print,
        type,
    ],
)
def test_no_function_but_the_rebuilders(tmp_path: Path, function: Any) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(_as_file(pickle.dumps(Call(function, b"x"), protocol=4), "zip"))
    with pytest.raises(EdgeupError, match=re.escape(f"{function.__module__}.{function.__name__}")):
        read_checkpoint(path)


def test_names_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    name = "os.\x1b[2Jsystem\r" + "x" * 500
    module, _, attribute = name.rpartition(".")
    pickled = b"\x80\x04" + _text(module) + _text(attribute) + b"\x93)R."
    path.write_bytes(_as_file(pickled, "zip"))
    with pytest.raises(EdgeupError) as refusal:
        read_checkpoint(path)
    assert str(refusal.value).isprintable()
    assert "os.?[2Jsystem?xxx" in str(refusal.value)
    assert len(str(refusal.value)) < 500 + len(str(path))
