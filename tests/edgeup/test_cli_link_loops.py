"""Links that lead in a circle, where a file is wanted: one line and exit status 2, by any verb."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from PIL import Image

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,3,8,8] image) => (float[1,3,8,8] depth) { depth = Relu(image) }"""

READS = [
    "optimize loop.onnx -o out.onnx",
    "check loop.onnx",
    "build loop.onnx --target rtx",
    "build net.onnx --target rtx --fp16 --keep-fp32 loop.txt",
    "estimate loop.onnx --target tx2",
    "verify loop.onnx net.onnx",
    "verify net.onnx loop.onnx",
    "verify net.onnx loop.npz --fail-on parity",
    "verify net.onnx loop.engine",
    "verify net.onnx net.onnx --load-inputs loop.npz",
    "verify net.onnx net.onnx --load-inputs loop",
    "verify net.onnx net.onnx --task depth --ground-truth loop.npz",
    "profile loop.onnx",
    "profile loop.engine",
    "profile net.onnx --vs loop.onnx",
    "profile net.onnx --load-times loop.json",
    "profile net.onnx --baseline loop.json --max-regression 5%",
    "report loop.json",
    "report loop.json -o page.html",
    "run loop.onnx photo.png",
    "run net.onnx loop.png --preprocess unit",
    "run net.onnx photo.png --preprocess unit --feed other=loop.npy",
    "run loop.onnx loop.png -o depth.png --save-raw depth.npy",
    "export --weights loop.pth --shape 1x3x32x32",
]


@pytest.mark.parametrize("command", READS)
def test_a_circle_of_links_is_one_line(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    onnx.save(onnx.parser.parse_model(NET), "net.onnx")
    for word in command.replace("=", " ").split():
        if word.startswith("loop"):
            Path(word).unlink(missing_ok=True)
            Path(word).symlink_to(f"again.{word}")
            Path(f"again.{word}").unlink(missing_ok=True)
            Path(f"again.{word}").symlink_to(word)
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = edgeup(*command.split())
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    assert "loop" in ran.err or "unknown input 'other'" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
