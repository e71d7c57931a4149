"""One way to open models and engines."""

from __future__ import annotations

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.device import Device
from edgeup.runtime.engine.loaded import RunOptions
from edgeup.runtime.engine.session import TensorRTSession
from edgeup.runtime.engine.sidecar import Sidecar, sha256, sidecar_path
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.sessions import is_engine, open_session
from edgeup.runtime.timer import Budget, measure

LIMITS = {"x": [[1, 2, 4, 4], [1, 2, 8, 8], [2, 2, 16, 16]]}


@pytest.fixture
def feeds():
    return {"x": np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)}


@pytest.fixture
def orin(monkeypatch):
    device = Device("Orin Nano", "8.7", shares_memory=True)
    monkeypatch.setattr("edgeup.runtime.engine.device.find_device", lambda machine: device)


@pytest.fixture
def stored(tmp_path, orin):
    """Writes an engine, and a sidecar with some facts of its own."""

    def write(engine, **facts):
        path = tmp_path / "m.engine"
        path.write_bytes(engine)
        wanted = {
            "engine_sha256": sha256(engine),
            "onnx_sha256": "0" * 64,
            "package": "tensorrt",
            "version": "10.3.0",
            "device": "Orin Nano",
            "compute_capability": "8.7",
            "precision": "fp32",
            "options": {},
            "more": {},
        }
        sidecar_path(path).write_bytes(Sidecar(**(wanted | facts)).to_bytes())
        return path

    return write


def test_onnx_and_engines_open_the_same_way(simulate, conv_model, stored, tmp_path, feeds):
    sim = simulate(integrated=True)
    onnx_path = tmp_path / "m.onnx"
    onnx_path.write_bytes(conv_model)
    engine_path = stored(sim.engine(conv_model, profiles=[LIMITS]))
    notices = []
    options = RunOptions(zero_copy=True)
    with (
        open_session(conv_model) as from_bytes,
        open_session(onnx_path, threads=1) as reference,
        open_session(engine_path, options=options, notice=notices.append) as engine,
    ):
        assert isinstance(reference, OnnxRuntimeSession)
        assert isinstance(engine, TensorRTSession)
        assert [spec.name for spec in engine.inputs] == [spec.name for spec in reference.inputs]
        wanted = reference.run(feeds)
        for session in (from_bytes, engine):
            np.testing.assert_allclose(session.run(feeds)["y"], wanted["y"], rtol=1e-5, atol=1e-6)
        works = {"onnx": reference.bind(feeds), "engine": engine.bind(feeds)}
        budget = Budget(warmup_s=0, warmup_limit_s=0, duration_s=0, min_rounds=3, max_rounds=3)
        assert {name: times.size for name, times in measure(works, budget).items()} == {
            "onnx": 3,
            "engine": 3,
        }
    assert notices == []
    assert "copy_in" not in sim.gpu.calls


def test_the_sidecar_says_how_to_load(simulate, conv_model, stored, feeds):
    sim = simulate("rtx-1.7.1")
    engine = sim.engine(conv_model, profiles=[LIMITS], version_compatible=True)
    facts = {"package": "tensorrt_rtx", "version": "1.7.1"}
    path = stored(engine, **facts, options={"version_compatible": True})
    with open_session(path) as session:
        assert session.run(feeds)["y"].std() > 0


def test_an_engine_that_is_not_vouched_for_is_not_loaded(simulate, conv_model, stored, feeds):
    sim = simulate()
    path = stored(sim.engine(conv_model, profiles=[LIMITS]), engine_sha256="0" * 64)
    with pytest.raises(EdgeupError, match="is not the file that its sidecar describes"):
        open_session(path)
    assert sim.gpu.calls == []  # it was not even shown to TensorRT
    notices = []
    with open_session(path, trust=True, notice=notices.append) as session:
        assert session.run(feeds)["y"].std() > 0
    assert len(notices) == 1
    sidecar_path(path).unlink()
    with pytest.raises(EdgeupError, match="has no sidecar"):
        open_session(path)


def test_an_engine_of_another_gpu_is_refused_before_it_is_loaded(simulate, conv_model, stored):
    sim = simulate()
    path = stored(sim.engine(conv_model), compute_capability="7.2", device="Xavier")
    with pytest.raises(EdgeupError, match=r"compute capability 7\.2.*has 8\.7"):
        open_session(path)
    assert sim.gpu.calls == []


def test_options_of_the_wrong_kind_are_refused(conv_model, tmp_path):
    with pytest.raises(EdgeupError, match="are for engines alone"):
        open_session(conv_model, options=RunOptions())
    with pytest.raises(EdgeupError, match="an engine runs on the GPU"):
        open_session(tmp_path / "m.plan", threads=2)


def test_engines_are_known_by_their_suffix(tmp_path):
    assert is_engine(tmp_path / "A.PLAN")
    assert not is_engine(tmp_path / "a.onnx")
    assert not is_engine(b"x.engine")
