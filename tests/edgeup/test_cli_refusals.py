"""Bad input: one line on stderr, exit status 2, no traceback, nothing written."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REFUSED = [
    (["--decoder", "nnconv4"], r"unknown decoder 'nnconv4': did you mean .*nnconv"),
    (["--decoder", "bilinear"], r"unknown decoder 'bilinear'"),
    (["--encoder", "resnet35"], r"unknown encoder 'resnet35': did you mean .*resnet34"),
    (["--skip", "sum"], r"unknown skip 'sum'"),
    (["--skip", "add", "--decoder", "upconv"], r"skip 'add' with mobilenet has wiring for .*dw"),
    (["--skip", "concat", "--encoder", "resnet50"], r"skip 'concat' has no wiring for resnet50"),
    (["--preset", "mobilenet-nnconv"], r"unknown preset .*did you mean mobilenet-nnconv5"),
    (["--preset", "mobilenet-nnconv5", "--skip", "add"], r"--skip add contradicts preset"),
    (["--model", "slowdepth"], r"unknown model 'slowdepth': did you mean .*fastdepth"),
    (["--shape", "3x224x224"], r"has 3 numbers, and an image has four"),
    (["--shape", "1x3xHxW"], r"'1x3xHxW' is not a shape"),
    (["--shape", "1x4x224x224"], r"takes 3 channels \(RGB\), got 4"),
    (["--shape", "1x3x228x304"], r"228x304.*224x288, 224x320, 256x288, 256x320"),
    (["--dynamic", "depth"], r"unknown dynamic dimension 'depth'"),
    (["--target", "jetpack-8"], r"unknown target 'jetpack-8'"),
    (["--opset", "11"], r"opset 11 is out of reach: jetpack-6.2 reads up to 20"),
    (["--target", "jetpack-4.6", "--opset", "17"], r"jetpack-4.6 reads up to 13"),
    (["--weights", "missing.pth"], r"missing\.pth"),
    (["-o", "no/such/folder"], r"no/such does not exist; create it"),
    (["-o", "a-file"], r"a-file is a file"),
    (["--threads", "0"], r"threads"),
    (["--decodr", "nnconv5"], r"[Nn]o such option.*--decodr"),
    (["nonsense"], r"'nonsense' does not name a module: wanted package\.module:name"),
    (["no_such_package.m:f"], r"there is no module no_such_package"),
    (["json:loads", "--decoder", "upconv"], r"--decoder choose"),
    (["json:loads", "--model", "unet"], r"--model choose.*leave one of the two out$"),
    (["json:loads", "--weights", "a.pth"], r"--weights choose.*weights inside of the function"),
    (["-o", ""], r"an empty path was given"),
]


@pytest.mark.parametrize(("arguments", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_wrong_request_is_one_line(
    edgeup: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    (tmp_path / "a-file").write_text("kept")
    monkeypatch.chdir(tmp_path)
    ran = edgeup("export", *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert re.search(reason, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("edgeup: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_with_json_the_refusal_is_a_document(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = edgeup("export", "--decoder", "nnconv4", "--format", "json")
    assert ran.status == 2
    assert ran.json["exit_status"] == 2
    assert "unknown decoder" in ran.json["error"]
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_refused_before_any_work(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so the operating system's answer is put in its place.
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edgeup.files.tempfile.TemporaryFile", refused)
    ran = edgeup("export", "-o", tmp_path)
    assert ran.status == 2
    assert "is not writable; name another with -o" in ran.err


USER_CODE = """
import torch
from torch import nn

class Twice(nn.Module):
    def forward(self, left, right):
        return left * 2, right + 1

def build():
    return Twice()

def broken():
    raise KeyError("weights")

number = 7

class Skips(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 3, 3, 4, 1)

    def forward(self, image):
        small = self.down(image)
        return image + nn.functional.interpolate(small, scale_factor=4.0)
"""


@pytest.mark.parametrize(
    ("name", "shapes", "reason"),
    [
        ("build", [], "needs --shape, once per input"),
        ("build", ["1x2"], "forward takes left, right, and 1 shape was given"),
        (
            "build",
            ["left:1x2", "middle:1x2"],
            "forward takes left, right, and the shapes name middle",
        ),
        ("broken", ["1x2"], r"raised KeyError: 'weights' \(.*subject_code.py:13\)"),
        (
            "Skips",
            ["1x3x26x32"],
            r"(size|broadcast).* \(.*subject_code.py:24\); it takes --shape image:1x3x28x32$",
        ),
        ("Skips", ["1x4x26x32"], r"channels.* \(.*subject_code.py:23\)$"),
        ("number", ["1x2"], "gave a int, and an nn.Module was wanted"),
        ("bild", ["1x2"], "unknown name in subject_code 'bild': did you mean build"),
    ],
)
def test_a_users_module_that_does_not_fit_is_one_line(
    edgeup: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    shapes: list[str],
    reason: str,
) -> None:
    (tmp_path / "subject_code.py").write_text(USER_CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "subject_code", raising=False)
    options = [part for shape in shapes for part in ("--shape", shape)]
    ran = edgeup("export", f"subject_code:{name}", *options)
    assert ran.status == 2
    assert re.search(reason, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1


COMMAND = [sys.executable, "-m", "edgeup.cli.main", "export", "--shape", "1x3x64x64", "-o", "out"]


INTERRUPTED = """
import os, signal, sys

def stop(event, arguments):
    if event == "import" and arguments[0] == os.environ["STOP_AT"]:
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(stop)
"""


@pytest.mark.parametrize("module", ["edgeup.cli.app", "torch", "onnxruntime"])
def test_an_interrupt_leaves_an_earlier_result_untouched(tmp_path: Path, module: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_text("earlier")
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    done = subprocess.run(
        COMMAND,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "STOP_AT": module},
        capture_output=True,
        text=True,
        # A shell in the background lets its children ignore Ctrl-C; a user's shell does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr == "edgeup: interrupted: nothing was written\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.onnx"]
    assert (tmp_path / "out" / "model.onnx").read_text() == "earlier"


def test_an_interrupt_inside_of_an_exec_is_exit_status_2(tmp_path: Path) -> None:
    # As in a dataclass that is being made. CPython would end `python -m` with SIGINT for it.
    (tmp_path / "stopped.py").write_text(
        "import sys\n"
        "from edgeup.cli import app, main\n"
        "app.run_command = lambda arguments: exec('raise KeyboardInterrupt')\n"
        "sys.exit(main.main([]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "stopped"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "edgeup: interrupted: nothing was written\n")


def test_a_disk_that_fills_while_writing_leaves_an_earlier_result_untouched(
    tmp_path: Path,
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_text("earlier")
    # A limit on the size of any file is what a full disk looks like to write().
    limited = f"ulimit -f 2000; exec {' '.join(COMMAND)} --format json"
    done = subprocess.run(
        ["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert "could not write" in json.loads(done.stdout)["error"]
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.onnx"]
    assert (tmp_path / "out" / "model.onnx").read_text() == "earlier"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["compare", "--decoder", "all", "--duration", "inf"], r"--duration"),
        (["compare", "--decoder", "all", "--duration", "nan"], r"--duration"),
        (["compare", "--decoder", "all", "-o", ""], r"an empty path was given"),
        (["run", "a.onnx", "b.png", "--threads", "1025"], r"--threads"),
        (["run", "a.onnx", "b.png", "-o", ""], r"an empty path was given"),
        (["run", "a.onnx", "b.png", "--save-raw", " "], r"an empty path was given"),
    ],
)
def test_other_verbs_refuse_as_well(edgeup: Callable, arguments: list[str], reason: str) -> None:
    ran = edgeup(*arguments)
    assert ran.status == 2
    assert re.search(reason, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
