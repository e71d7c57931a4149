"""An engine is loaded only where its sidecar fits, or where the user vouches for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.device import find_device, free_memory
from edgeup.runtime.engine.sidecar import Here, Sidecar, load_engine, sha256, sidecar_path
from edgeup.runtime.machine import Machine

CONTENT = b"an engine"
HERE = Here("tensorrt", "10.3.0", "NVIDIA Jetson Orin Nano", "8.7")


def sidecar(**more):
    facts = {
        "engine_sha256": sha256(CONTENT),
        "onnx_sha256": sha256(b"a model"),
        "package": "tensorrt",
        "version": "10.3.0.30",
        "device": "NVIDIA Jetson Orin Nano",
        "compute_capability": "8.7",
        "precision": "fp16",
        "options": {},
        "more": {"edgeup": "0.1.0"},
    }
    return Sidecar(**{**facts, **more})


@pytest.fixture
def stored(tmp_path):
    def store(described=None, content=CONTENT):
        path = tmp_path / "m.engine"
        path.write_bytes(content)
        if described is not None:
            sidecar_path(path).write_bytes(described.to_bytes())
        return path

    return store


def test_an_engine_with_its_sidecar_is_loaded(stored):
    path = stored(sidecar())
    assert path.with_name("m.engine.json").is_file()
    loaded = load_engine(path, HERE)
    assert loaded.content == CONTENT
    assert loaded.sidecar == sidecar()
    assert loaded.notices == ()


@pytest.mark.parametrize(
    ("described", "here", "said"),
    [
        (
            sidecar(),
            replace(HERE, version="10.7.0"),
            "built with TensorRT 10.3.0.30, and this is 10.7.0",
        ),
        (sidecar(), replace(HERE, version="8.5.2"), "and this is 8.5.2; build it again"),
        (
            sidecar(options={"version_compatible": True}),
            replace(HERE, version="11.0.0"),
            "built with TensorRT 10.3.0.30",
        ),
        (
            sidecar(options={"version_compatible": True}),
            replace(HERE, version="10.1.0"),
            "and this is 10.1.0",
        ),
        (
            sidecar(),
            replace(HERE, compute_capability="11.0"),
            "for compute capability 8.7, and this GPU",
        ),
        (sidecar(compute_capability="7.2"), HERE, "capability 7.2, and this GPU"),
        (sidecar(package="tensorrt_rtx"), HERE, "with TensorRT for RTX, and this is TensorRT"),
        (
            sidecar(options={"compute_capabilities": ["8.6", "8.9"]}, compute_capability=None),
            HERE,
            "capability 8.6 and 8.9, and this GPU",
        ),
    ],
)
def test_one_line_says_why_it_will_not_load_here(stored, described, here, said):
    with pytest.raises(EdgeupError) as caught:
        load_engine(stored(described), here, trust=True)
    assert "will not load here" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("described", "here"),
    [
        (sidecar(options={"version_compatible": True}), replace(HERE, version="10.13.3")),
        (
            sidecar(options={"hardware_compatibility": "ampere+"}),
            replace(HERE, compute_capability="11.0"),
        ),
        (sidecar(), replace(HERE, compute_capability=None)),
        (sidecar(compute_capability=None), HERE),
    ],
)
def test_compatible_and_unknown_places(stored, described, here):
    assert load_engine(stored(described), here).content == CONTENT


def test_another_gpu_of_the_same_capability_is_noted(stored):
    loaded = load_engine(stored(sidecar()), replace(HERE, device="NVIDIA Jetson AGX Orin"))
    assert "was built on NVIDIA Jetson Orin Nano, and this is" in loaded.notices[0]


def test_without_a_sidecar_only_on_trust(stored):
    path = stored()
    with pytest.raises(EdgeupError, match="an engine is code; build it with 'edgeup build', or"):
        load_engine(path, HERE)
    loaded = load_engine(path, HERE, trust=True)
    assert loaded.sidecar is None
    assert "on trust" in loaded.notices[0]


def test_a_changed_engine_only_on_trust(stored):
    path = stored(sidecar(), content=CONTENT + b"!")
    with pytest.raises(EdgeupError, match="it was changed or replaced"):
        load_engine(path, HERE)
    assert load_engine(path, HERE, trust=True).content == CONTENT + b"!"


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "nul\0", '{"schema_version": 2}'),
        json.dumps({**sidecar().to_json(), "engine": {"sha256": None}}),
        json.dumps({**sidecar().to_json(), "options": 3}),
        json.dumps({**sidecar().to_json(), "options": {"compute_capabilities": 8.6}}),
        json.dumps({**sidecar().to_json(), "options": {"compute_capabilities": [8.6]}}),
        json.dumps({**sidecar().to_json(), "device": {"name": 3, "compute_capability": "8.7"}}),
        json.dumps({**sidecar().to_json(), "device": {"name": "x", "compute_capability": 8.7}}),
        json.dumps(
            {**sidecar().to_json(), "tensorrt": {"package": "tensorrt", "version": "9" * 5000}}
        ),
        "[" * 100_000,
    ],
)
def test_a_damaged_sidecar_is_refused(stored, text):
    path = stored()
    sidecar_path(path).write_text(text)
    with pytest.raises(EdgeupError, match="is not a sidecar of edgeup's"):
        load_engine(path, HERE)


def test_no_engine(tmp_path, stored):
    with pytest.raises(EdgeupError, match="No such file"):
        load_engine(tmp_path / "no.engine", HERE)
    with pytest.raises(EdgeupError, match="is empty"):
        load_engine(stored(content=b""), HERE)


def machine(tmp_path, *, files=(), smi=None):
    for name, text in dict(files).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Machine(
        root=tmp_path,
        which=lambda name: name if smi is not None and name == "nvidia-smi" else None,
        run=lambda command: smi,
    )


def test_the_gpu_of_a_jetson_comes_from_its_device_tree(tmp_path):
    orin = {
        "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "proc/meminfo": "MemTotal:        7802912 kB\nMemAvailable:    5000000 kB\n",
    }
    here = machine(tmp_path, files=orin)
    device = find_device(here)
    assert device.name == "NVIDIA Jetson Orin Nano Developer Kit"
    assert device.compute_capability == "8.7"
    assert device.shares_memory
    assert free_memory(here) == 5_000_000 * 1024


@pytest.mark.parametrize(
    ("smi", "capability"),
    [("NVIDIA GeForce RTX 3060, 8.6\nNVIDIA A2, 8.6\n", "8.6"), ("no devices\n", None), ("", None)],
)
def test_the_gpu_of_a_desktop_comes_from_nvidia_smi(tmp_path, smi, capability):
    device = find_device(machine(tmp_path, smi=smi))
    assert (device and device.compute_capability) == capability
    assert free_memory(machine(tmp_path)) is None


def test_no_gpu(tmp_path):
    assert find_device(machine(tmp_path)) is None
