"""The wheel holds the whole package and nothing beside it."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WINGS = ("models", "export", "runtime")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of the tracked files, so that nothing is left in the tree."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for folder in ("edgeup", *WINGS):
        shutil.copytree(
            ROOT / folder,
            source / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    goal = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", goal, source],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(goal.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_package_and_no_other_top_level(
    wheel: zipfile.ZipFile,
) -> None:
    wanted = {
        "/".join(path.relative_to(ROOT).parts)
        for folder in (ROOT / "edgeup", *(ROOT / "edgeup" / wing for wing in WINGS))
        for path in folder.glob("**/*")
        if path.suffix in (".py", ".json", ".typed")
    }
    assert len(wanted) > 30
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == wanted


def test_the_core_needs_no_torch_and_extras_are_those_the_readme_names(
    wheel: zipfile.ZipFile,
) -> None:
    name = next(n for n in wheel.namelist() if n.endswith("METADATA"))
    metadata = wheel.read(name).decode()
    needs = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    core = {re.match(r"[\w-]+", need)[0] for need in needs if "extra ==" not in need}
    assert core == {
        *("ml_dtypes", "numpy", "onnx", "onnxruntime", "onnx-ir", "onnxscript", "onnxsim"),
        *("typer", "rich"),
    }
    extras = set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE))
    assert extras == {
        *("torch", "image", "rtx", "tensorrt", "jetson", "cuda-graphs", "test", "dev"),
    }
    assert [need for need in needs if need.startswith("torch")] == [
        'torch<2.14,>=2.9; extra == "torch"'
    ]
