"""README is true: each command in it runs, and its table is what the networks give."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP = [
    "pip install -e '.[torch]' && edgeup export --decoder nnconv5",
    "pip install -e '.[test]' && pytest",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


PRESET = "mobilenet-nnconv5dw-skipadd-pruned"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's export of the pruned preset writes."""
    folder = tmp_path_factory.mktemp("exported") / PRESET
    command = [sys.executable, "-m", "edgeup.cli.main", "export", "--preset", PRESET, "-o", folder]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def commands() -> list[str]:
    """Every line of the sh blocks; of the set-up, what stands after the installation."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert lines[:2] == SETUP
    return [lines[0].split(" && ")[1], *lines[2:]]


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs(command: str, tmp_path: Path, exported: Path) -> None:
    [module] = [block for block in blocks("python") if "def build" in block]
    (tmp_path / "my_net.py").write_text(module)
    program, *arguments = shlex.split(command)
    if any(
        argument.startswith(PRESET) for argument in arguments
    ):  # they read what an earlier command wrote
        shutil.copytree(exported, tmp_path / PRESET)
        Image.effect_noise((96, 64), 50).convert("RGB").save(tmp_path / "photo.jpg")
    assert program == "edgeup"
    done = subprocess.run(
        [sys.executable, "-m", "edgeup.cli.main", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout) > 10
    if arguments[0] == "export":
        assert len(list(tmp_path.glob("*/model.onnx"))) == 1
        assert len(list(tmp_path.glob("*/report.json"))) == 1


def test_the_ci_job_of_the_readme_runs(tmp_path: Path) -> None:
    [job] = blocks("yaml")
    lines = [line.removeprefix("- run: edgeup ") for line in job.splitlines()]
    model = f"{PRESET}/model.onnx"
    lines.insert(-1, f"profile {model} --threads 1 --save-baseline baseline.json")
    for line in lines:
        command = [sys.executable, "-m", "edgeup.cli.main", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        # Times of this machine may break a limit; then a line says so, and nothing else is wrong.
        timed = line.startswith("profile")
        assert done.returncode in ((0, 1) if timed else (0,)), (line, done.stderr)
        assert (done.returncode == 1) == ("failed:" in done.stderr), (line, done.stderr)


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    runner = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in runner
    pattern = re.compile(r"^pip install .*&& pytest$", re.MULTILINE)
    assert pattern.findall(README) == SETUP[1:]


def decoder_rows() -> dict[str, tuple[float, float]]:
    rows = {}
    for line in README.splitlines():
        match = re.match(r"\| `(\w+)` \|[^|]+\|(.+)\|$", line)
        if match:
            for kernel, cell in zip("3579", match[2].split("|"), strict=True):
                if cell.strip():
                    parameters, macs = cell.split(" M, ")
                    rows[match[1].replace("K", kernel)] = (float(parameters), float(macs))
    return rows


def test_the_table_of_decoders_is_what_the_networks_give() -> None:
    import torch

    from edgeup.models.catalog import DECODERS, FastDepthConfig
    from edgeup.models.cost import macs, parameters
    from edgeup.models.fastdepth import build

    counted = {}
    for name in DECODERS:
        with torch.device("meta"):
            network = build(FastDepthConfig(decoder=name)).eval()
        counted[name] = (
            round(parameters(network) / 1e6, 2),
            round(macs(network, [(1, 3, 224, 224)]) / 1e9, 2),
        )
    assert decoder_rows() == counted
