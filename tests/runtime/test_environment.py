from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from edgeup.runtime.environment import environment, examine, installed
from edgeup.runtime.findings import findings
from edgeup.runtime.jetson import jetpack_of
from edgeup.runtime.machine import Machine, run_command

NVCC = "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release {}, V{}\n"


class World:
    """A made-up machine: files below a root, programs with their answers, Python's folders."""

    def __init__(self, root, architecture="aarch64", python=(3, 10)):
        self.root, self.architecture, self.python = root, architecture, python
        self.programs: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.in_venv = False
        self.venv = f"home/me/venv/lib/python{python[0]}.{python[1]}/site-packages"
        self.folders = [self.venv]

    def file(self, path, content=""):
        goal = self.root / path
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_bytes(content if isinstance(content, bytes) else content.encode())

    def package(self, folder, name, version, module=None):
        self.file(
            f"{folder}/{name}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        )
        if module:
            self.file(f"{folder}/{module}/__init__.py")

    def jetson(self, model, l4t):
        major, minor, patch = l4t
        self.file("proc/device-tree/model", model.encode() + b"\0")
        self.file(
            "etc/nv_tegra_release",
            f"# R{major} (release), REVISION: {minor}.{patch}, GCID: 38968081, BOARD: generic, "
            "EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\nINSTALL_TYPE=\n",
        )

    def machine(self):
        return Machine(
            root=self.root,
            which=self.programs.get,
            run=lambda command: self.answers.get(command[0].rsplit("/", 1)[-1]),
            sys_path=[str(self.root / folder) for folder in self.folders],
            python=self.python,
            in_venv=self.in_venv,
            architecture=self.architecture,
            system="Linux",
        )

    def examine(self):
        return examine(self.machine())

    def problems(self):
        return {one.what: one.remedy for one in findings(self.examine()) if one.level == "problem"}

    def lines(self, level):
        return [one.what for one in findings(self.examine()) if one.level == level]


@pytest.fixture
def orin(tmp_path):
    """Orin Nano, JetPack 6.2: all as it should be, in an environment that sees the system."""
    world = World(tmp_path)
    system = "usr/lib/python3.10/dist-packages"
    world.jetson("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", (36, 4, 3))
    world.file("var/lib/nvpmodel/status", "pmode:0002")
    world.file(
        "etc/nvpmodel.conf",
        "< POWER_MODEL ID=0 NAME=15W >\nx\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\nx\n",
    )
    world.file("usr/local/cuda/bin/nvcc")
    world.file("usr/src/tensorrt/bin/trtexec")
    world.file("proc/meminfo", "MemTotal:        7802336 kB\nMemFree: 1 kB\n")
    world.package(system, "tensorrt", "10.3.0", module="tensorrt")
    world.package(world.venv, "pycuda", "2025.1")
    world.package(world.venv, "numpy", "1.26.4")
    world.folders.append(system)
    world.in_venv = True
    world.programs = {"nvcc": "/usr/local/cuda/bin/nvcc"}
    world.answers = {"nvcc": NVCC.format("12.6", "12.6.68")}
    return world


def test_orin_as_it_should_be(orin):
    facts = orin.examine()
    assert facts.jetson is not None
    assert facts.jetson.l4t == "36.4.3"
    assert facts.jetson.jetpack == "6.2"
    assert facts.jetson.power_mode == "MAXN_SUPER"
    assert "\0" not in facts.jetson.board
    assert facts.device.endswith("Developer Kit Super, JetPack 6.2")
    assert facts.memory_bytes == 7802336 * 1024
    assert facts.nvcc is not None
    assert (facts.nvcc.version, facts.nvcc.on_path) == ("12.6.68", True)
    assert facts.trtexec is not None
    assert not facts.trtexec.on_path
    assert orin.problems() == {}
    assert "pycuda 2025.1" in orin.lines("ok")
    assert any("power mode MAXN_SUPER" in line for line in orin.lines("ok"))


def test_report_section(orin):
    section = json.loads(json.dumps(orin.examine().to_json(), allow_nan=False))
    assert section["numpy"] == "1.26.4"
    assert section["tensorrt"] == "10.3.0"
    assert section["cuda"] == "12.6.68"
    assert section["jetson"]["jetpack"] == "6.2"
    assert "/home/me" not in json.dumps(section)


def test_nvcc_that_is_not_on_the_path(orin):
    del orin.programs["nvcc"]
    assert orin.problems() == {}  # pycuda is compiled already
    assert any("not on the PATH" in line for line in orin.lines("note"))
    (orin.root / orin.venv / "pycuda-2025.1.dist-info/METADATA").unlink()
    problems = orin.problems()
    assert "export PATH=/usr/local/cuda/bin:$PATH" in problems.values()
    assert "pip install 'edgeup[jetson]'" in problems.values()
    assert len(problems) == 2


def test_a_venv_that_does_not_see_the_system(orin):
    orin.folders.pop()
    ((what, remedy),) = orin.problems().items()
    assert "does not see JetPack's TensorRT" in what
    assert "--system-site-packages" in remedy


def test_a_pip_tensorrt_that_hides_jetpacks(orin):
    orin.package(orin.venv, "tensorrt", "10.16.1.11", module="tensorrt")
    ((what, remedy),) = orin.problems().items()
    assert "10.16.1.11 from pip" in what
    assert "hides the system's 10.3.0" in what
    assert "pip uninstall tensorrt" in remedy


def test_a_pip_tensorrt_of_the_same_version_is_no_problem(orin):
    orin.package(orin.venv, "tensorrt_cu12_bindings", "10.3.0.30", module="tensorrt")
    assert orin.examine().tensorrt[0].version == "10.3.0.30"
    assert orin.problems() == {}


def test_a_jetson_without_tensorrt(orin):
    (orin.root / "usr/lib/python3.10/dist-packages/tensorrt/__init__.py").unlink()
    assert orin.problems() == {
        "TensorRT's Python module is not installed": "sudo apt-get install nvidia-jetpack"
    }


def test_nano_jetpack_4_whose_tensorrt_is_for_an_older_python(tmp_path):
    world = World(tmp_path)
    world.jetson("NVIDIA Jetson Nano Developer Kit", (32, 6, 1))
    world.package("usr/lib/python3.6/dist-packages", "tensorrt", "8.0.1.6", module="tensorrt")
    world.file("usr/src/tensorrt/bin/trtexec")
    world.file("usr/local/cuda/bin/nvcc")
    world.answers = {"nvcc": NVCC.format("10.2", "10.2.300"), "nvpmodel": "NV Power Mode: MAXN\n0"}
    facts = world.examine()
    assert facts.jetson is not None
    assert (facts.jetson.jetpack, facts.jetson.power_mode) == ("4.6", "MAXN")
    problems = world.problems()
    what = next(line for line in problems if "is for Python 3.6, this is 3.10" in line)
    assert problems[what] == "build engines with /usr/src/tensorrt/bin/trtexec"
    assert any("CUDA 10.2.300 is there, but" in line for line in problems)


def test_thor_jetpack_7(tmp_path):
    world = World(tmp_path, python=(3, 12))
    world.jetson("NVIDIA Jetson AGX Thor Developer Kit", (38, 4, 0))
    world.programs = {"nvidia-smi": "/usr/bin/nvidia-smi"}
    world.answers = {"nvidia-smi": "NVIDIA Thor, 580.00\n"}
    facts = world.examine()
    assert facts.jetson is not None
    assert facts.jetson.jetpack == "7.1"
    assert [gpu.driver for gpu in facts.gpus] == ["580.00"]


def test_a_container_on_a_jetson_tells_by_its_packages_or_not_at_all(tmp_path):
    world = World(tmp_path)
    world.file("proc/device-tree/model", b"My Carrier Board\0")
    world.file("proc/device-tree/compatible", b"me,carrier\0nvidia,tegra234\0")
    assert any("cannot be read" in line for line in world.lines("note"))
    world.answers = {"dpkg-query": "36.4.7-20250918154033"}
    facts = world.examine()
    assert facts.jetson is not None
    assert (facts.jetson.board, facts.jetson.jetpack) == ("My Carrier Board", "6.2.1")


def test_an_unknown_l4t_is_a_note(tmp_path):
    world = World(tmp_path)
    world.jetson("NVIDIA Jetson AGX Thor Developer Kit", (41, 1, 0))
    assert any("L4T 41.1.0 is of no JetPack known here" in line for line in world.lines("note"))


def test_desktop_with_a_gpu(tmp_path):
    world = World(tmp_path, architecture="x86_64")
    world.file("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD Ryzen 9  7950X\n")
    world.programs = {"nvidia-smi": "/usr/bin/nvidia-smi"}
    world.answers = {"nvidia-smi": "NVIDIA GeForce RTX 4090, 560.35.03\nTesla T4, 560.35.03\n"}
    world.package(world.venv, "torch", "2.13.0")
    world.package(world.venv, "tensorrt_rtx_cu12", "1.7.1.116")
    facts = world.examine()
    assert facts.jetson is None
    assert facts.cpu == "AMD Ryzen 9 7950X"
    assert facts.device == "NVIDIA GeForce RTX 4090"
    assert len(facts.gpus) == 2
    assert world.problems() == {}
    assert {"torch 2.13.0", "TensorRT for RTX 1.7.1.116"} <= set(world.lines("ok"))


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proc/device-tree/model": b"Raspberry Pi 5 Model B Rev 1.0\0"}, "Raspberry Pi 5 Model B"),
        (
            {
                "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
                "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n"
            },
            " 0x41:0xd0b+0xd05",
        ),
    ],
)
def test_cpus_without_a_name_are_told_apart(tmp_path, files, name):
    world = World(tmp_path)
    plain = world.examine().cpu
    for path, content in files.items():
        world.file(path, content)
    assert world.examine().cpu.startswith(plain)
    assert name in world.examine().cpu


def test_a_bare_desktop_gets_notes_and_no_problem(tmp_path):
    world = World(tmp_path, architecture="x86_64")
    remedies = {one.level: [] for one in findings(world.examine())}
    for one in findings(world.examine()):
        remedies[one.level].append(one.remedy)
    assert remedies == {"note": ["pip install 'edgeup[torch]'", "pip install 'edgeup[rtx]'"]}
    assert world.examine().device.startswith("CPU: ")


def test_another_boards_device_tree_is_no_jetson(tmp_path):
    world = World(tmp_path)
    world.file("proc/device-tree/model", b"Raspberry Pi 5 Model B Rev 1.0\0")
    world.file("proc/device-tree/compatible", b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert world.examine().jetson is None


def test_odd_files_leave_facts_out(orin):
    junk = bytes(range(128, 256)) * 4
    for path in ("etc/nv_tegra_release", "etc/nvpmodel.conf", "proc/meminfo", "proc/cpuinfo"):
        orin.file(path, junk)
    orin.file("var/lib/nvpmodel/status", "pmode:0009")
    orin.file(f"{orin.venv}/broken-1.dist-info/METADATA", junk)
    (orin.root / orin.venv / "empty-2.dist-info").mkdir()
    orin.folders += ["no/such/folder", "etc/nvpmodel.conf"]
    orin.answers = {"nvcc": "Segmentation fault"}
    facts = orin.examine()
    assert facts.jetson is not None
    assert (facts.jetson.l4t, facts.jetson.power_mode) == (None, "mode 9")
    assert facts.memory_bytes is None
    assert facts.nvcc is not None
    assert facts.nvcc.version is None
    assert facts.versions["numpy"] == "1.26.4"
    assert findings(facts)


def test_the_first_of_two_versions_is_the_one_that_is_imported(tmp_path):
    world = World(tmp_path)
    world.package("first", "NumPy", "2.0")
    world.package("second", "numpy", "1.0")
    folders = [str(tmp_path / name) for name in ("first", "second")]
    assert installed(folders) == {"numpy": "2.0"}
    assert installed(folders[::-1]) == {"numpy": "1.0"}


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ((32, 6, 1), "4.6"),
        ((32, 7, 1), "4.6.1"),
        ((35, 4, 1), "5.1.2"),
        ((36, 3, 0), "6.0"),
        ((36, 4, 0), "6.1"),
        ((36, 4, 7), "6.2.1"),
        ((36, 5, 0), "6.2.2"),
        ((38, 2, 1), "7.0"),
        ((39, 2, 0), "7.2"),
        ((36, 4, 8), None),
        ((37, 0, 0), None),
    ],
)
def test_jetpack_of_l4t(l4t, jetpack):
    assert jetpack_of(l4t) == jetpack


def test_this_machine_without_heavy_imports():
    program = (
        "import json, sys\n"
        "from edgeup.runtime.environment import environment\n"
        "from edgeup.runtime.findings import findings\n"
        "print(json.dumps(environment(), allow_nan=False))\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'tensorrt', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == environment()
    assert environment()["python"] == sys.version.split()[0]
    assert "onnxruntime" in environment()


def test_commands_that_fail_answer_nothing():
    assert run_command([sys.executable, "-c", "print('x')"]) == "x\n"
    assert run_command([sys.executable, "-c", "import sys; print('x'); sys.exit(3)"]) is None
    assert run_command(["/no/such/program"]) is None


def test_findings_judge_facts_and_look_at_nothing_else(orin):
    facts = replace(orin.examine(), versions={}, tensorrt=(), trtexec=None)
    whats = [one.what for one in findings(facts)]
    assert any("torch is not installed" in what for what in whats)
    assert "TensorRT's Python module is not installed" in whats
