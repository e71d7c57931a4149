"""A small file cannot make the reader copy without end."""

import pickle
from pathlib import Path

import pytest

from edgeup.errors import EdgeupError
from edgeup.models.weights.checkpoint import read_checkpoint


def test_calls_that_copy_one_long_string_many_times_are_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "bomb.pth"
    torch.save({"a": 1}, path, _use_new_zipfile_serialization=False)
    head = path.read_bytes()
    whole = pickle.dumps({"a": 1}, protocol=2)
    long_string = b"X" + (100_000).to_bytes(4, "little") + b"a" * 100_000 + b"q\x01"
    call = b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R0"
    assert whole in head
    path.write_bytes(head.replace(whole, b"\x80\x02" + long_string + call * 200 + b"."))
    with pytest.raises(EdgeupError, match="copies more than"):
        read_checkpoint(path)
