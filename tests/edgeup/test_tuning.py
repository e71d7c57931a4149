from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeup.errors import EdgeupError
from edgeup.export.optimize import optimize
from edgeup.export.passes.contract import AS_WRITTEN, Aim, Candidate, Plan
from edgeup.export.passes.tuned import Verdict
from edgeup.pipeline.tuning import model as tuning
from edgeup.pipeline.tuning.cache import Machine, TuningCache
from edgeup.pipeline.tuning.contest import HEATS, contest
from edgeup.pipeline.tuning.model import check_tunable, measured_judge, tune_and_optimize
from edgeup.runtime.latency import Ratio
from edgeup.runtime.timer import Budget, Times
from edgeup.spec import Feeds, TensorSpec

AIM = Aim("cpu", "onnxruntime", None, 17)


class Track:
    """Times that a machine might have given: means, a noise of their own, a load shared."""

    def __init__(self, noise: float = 0.05, **means: float) -> None:
        self.means, self.noise = means, noise
        self.heats: list[list[str]] = []
        self._random = np.random.default_rng(3)

    def __call__(self, names: Sequence[str], budget: Budget) -> dict[str, Times]:
        self.heats.append(list(names))
        rounds = budget.min_rounds
        load = self._random.uniform(1, 3, rounds)
        return {
            name: self.means[name] * load * self._random.lognormal(0, self.noise, rounds)
            for name in names
        }


def test_the_fastest_wins_and_the_slow_leave_early() -> None:
    track = Track(written=3.0, slow=9.0, fast=1.0, near=1.02)
    verdict = contest(["written", "slow", "fast", "near"], track)
    assert verdict.form in ("fast", "near")
    assert verdict.low < 3.0 / track.means[verdict.form] < verdict.high
    assert track.heats[0] == ["written", "slow", "fast", "near"]
    assert all("slow" not in heat for heat in track.heats[1:])
    assert len(track.heats) == len(HEATS)  # two are too close to call


def test_a_clear_race_ends_after_one_heat() -> None:
    track = Track(written=3.0, fast=1.0)
    assert contest(["written", "fast"], track).form == "fast"
    assert track.heats == [["written", "fast"]]


@pytest.mark.parametrize("seed", range(3))
def test_within_the_noise_the_first_stays(seed: int) -> None:
    track = Track(written=1.0, other=1.0, third=1.0, noise=0.1)
    track._random = np.random.default_rng(seed)
    verdict = contest(["written", "other", "third"], track)
    assert verdict.form == "written"
    assert verdict.low < verdict.gain < verdict.high
    assert verdict.low <= 1


def test_a_first_that_is_fastest_is_told_from_a_tie() -> None:
    verdict = contest(["written", "slower"], Track(written=1.0, slower=2.0))
    assert verdict.form == "written"
    assert verdict.gain == pytest.approx(0.5, rel=0.1)
    assert verdict.high < 1


# The cache


MACHINE = Machine("onnxruntime", "1.2", "CPU: x", 1)
VERDICT = Verdict("add", 2.0, 1.9, 2.1)


def silent(words: str) -> None:
    raise AssertionError(f"unexpected notice: {words}")


def test_a_verdict_outlives_the_run_for_its_own_machine_only(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "edgeup"
    TuningCache(folder, MACHINE, silent).put("site", VERDICT)
    again = TuningCache(folder, MACHINE, silent)
    assert (again.get("site"), again.get("other")) == (VERDICT, None)
    assert again.hits == {"site"}
    for other in (
        Machine("tensorrt", "1.2", "CPU: x", 1),
        Machine("onnxruntime", "1.3", "CPU: x", 1),
        Machine("onnxruntime", "1.2", "CPU: y", 1),
        Machine("onnxruntime", "1.2", "CPU: x", 2),
    ):
        elsewhere = TuningCache(folder, other, silent)
        assert elsewhere.get("site") is None
        elsewhere.put("site", Verdict(AS_WRITTEN, 0.9, 0.8, 1.1))
    assert TuningCache(folder, MACHINE, silent).get("site") == VERDICT


def test_runs_at_the_same_time_do_not_lose_each_others_verdicts(tmp_path: Path) -> None:
    one, two = (TuningCache(tmp_path, MACHINE, silent) for _ in range(2))
    one.put("a", VERDICT)
    two.put("b", VERDICT)
    both = TuningCache(tmp_path, MACHINE, silent)
    assert both.get("a") == both.get("b") == VERDICT


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"format": 0, "machines": {}}',
        b'{"format": 1, "machines": []}',
        b'{"format": 1, "machines": {"m": {"k": {"form": "add"}}}}',
        b'{"format": 1, "machines": {"m": {"k": {"form": 1, "gain": 1, "low": 1, "high": 1}}}}',
        b'{"format": 1, "machines": {"m": {"k": {"form": "a", "gain": NaN, "low": 1, "high": 1}}}}',
        b"[" * 100_000,
    ],
)
def test_a_cache_that_cannot_be_read_costs_a_notice_and_is_replaced(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "tuning.json").write_bytes(content)
    notices: list[str] = []
    cache = TuningCache(tmp_path, MACHINE, notices.append)
    assert len(notices) == 1
    assert "cannot be read" in notices[0]
    assert "\n" not in notices[0]
    cache.put("site", VERDICT)
    assert TuningCache(tmp_path, MACHINE, silent).get("site") == VERDICT


def test_a_cache_that_cannot_be_written_costs_one_notice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    notices: list[str] = []
    cache = TuningCache(tmp_path / "file" / "edgeup", MACHINE, notices.append)
    before = len(notices)
    cache.put("a", VERDICT)
    cache.put("b", VERDICT)
    assert len(notices) == before + 1
    assert (cache.get("a"), cache.get("b")) == (VERDICT, VERDICT)


# The whole


class Doubling:
    """A stand-in for a rule: Mul by 2 as Add of a value to itself."""

    name = "double"

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        if node.op_type != "Mul" or node.inputs[0] is None:
            return None
        return Plan(
            nodes=(node,),
            inputs=(node.inputs[0],),
            outputs=(node.outputs[0],),
            candidates=(Candidate("add", lambda build, x: [build.op("Add", [x[0], x[0]])]),),
            why="doubles",
            required=(node.name or "").startswith("must"),
        )


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optimize.__kwdefaults__, "passes", [Doubling()])


@pytest.fixture
def model() -> ir.Model:
    """Two different sites, one of which must change."""
    text = """<ir_version: 8, opset_import: ["": 17]>
        g (float[2,3] a, float[3,4] b) => (float[2,3] c, float[3,4] d)
        <float two = {2}> { c = Mul(a, two)  d = Mul(b, two) }"""
    made = ir.from_proto(onnx.parser.parse_model(text))
    for node, name in zip(made.graph, ("free", "must change"), strict=True):
        node.name = name
    return made


class Counted:
    """A judge that finds the last form best, and may be interrupted."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.asked = 0
        self._interrupt_at = interrupt_at

    def __call__(self, forms: Mapping[str, bytes], specs: tuple[TensorSpec, ...]) -> Verdict:
        self.asked += 1
        if self.asked == self._interrupt_at:
            raise KeyboardInterrupt
        return Verdict(list(forms)[-1], 2.0, 1.9, 2.1)


def says(low: float, high: float) -> Any:
    def compare(original: bytes, tuned: bytes, feeds: Feeds, threads: int | None) -> Ratio:
        assert original != tuned
        assert sorted(feeds) == ["a", "b"]
        return Ratio((low + high) / 2, low, high, 0.95, 30)

    return compare


def tuned_with(model: ir.Model, **options: Any) -> tuning.Tuned:
    return tune_and_optimize(model, AIM, threads=1, **options)


def operators(tuned: tuning.Tuned) -> list[str]:
    return [node.op_type for node in tuned.verified.optimized.model.graph]


def test_a_model_that_gains_keeps_its_tuned_forms(model: ir.Model) -> None:
    tuned = tuned_with(model, judge=Counted(), compare=says(1.1, 1.3))
    assert operators(tuned) == ["Add", "Add"]
    assert tuned.verified.passed
    assert tuned.facts["kept"]
    assert tuned.facts["versus_original"]["low"] == 1.1
    assert json.loads(json.dumps(tuned.facts)) == tuned.facts
    assert tuned.notices == ()


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.2), (0.5, 0.6), (1.0, 1.0)])
def test_without_a_sure_gain_only_the_required_stays(
    model: ir.Model, low: float, high: float
) -> None:
    tuned = tuned_with(model, judge=Counted(), compare=says(low, high))
    assert operators(tuned) == ["Mul", "Add"]
    assert not tuned.facts["kept"]
    assert "the original sites stay" in tuned.notices[0]
    assert "not surely faster" in tuned.verified.optimized.sites[0].why


def test_a_model_without_sites_is_not_timed(model: ir.Model) -> None:
    for node in model.graph:
        node.op_type = "Div"
    tuned = tuned_with(model, judge=Counted(), compare=says(2.0, 3.0))
    assert tuned.facts["versus_original"] is None
    assert not tuned.facts["kept"]


def test_a_second_run_measures_no_site(model: ir.Model, tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    for judge in (first, second):
        tuned = tuned_with(model, judge=judge, compare=says(1.1, 1.3), cache_folder=tmp_path)
    assert (first.asked, second.asked) == (1, 0)  # the required one has a single form
    assert (tuned.facts["measured"], tuned.facts["from_cache"]) == (0, 1)
    assert tuned.facts["cache"] == str(tmp_path / "tuning.json")


def test_ctrl_c_keeps_what_was_measured(model: ir.Model, tmp_path: Path) -> None:
    for node, name in zip(model.graph, ("one", "two"), strict=True):
        node.name = name
    with pytest.raises(KeyboardInterrupt):
        tuned_with(model, judge=Counted(interrupt_at=2), cache_folder=tmp_path)
    judge = Counted()
    tuned_with(model, judge=judge, compare=says(1.1, 1.3), cache_folder=tmp_path)
    assert judge.asked == 1


def test_a_damaged_cache_is_told_of_in_the_result(model: ir.Model, tmp_path: Path) -> None:
    (tmp_path / "tuning.json").write_text("{")
    tuned = tuned_with(model, judge=Counted(), compare=says(1.1, 1.3), cache_folder=tmp_path)
    assert "cannot be read" in tuned.notices[0]
    assert tuned.facts["measured"] == 1


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_another_backend_is_not_tuned_on_this_cpu(backend: str, model: ir.Model) -> None:
    with pytest.raises(EdgeupError, match=rf"jetson runs {backend}.*leave --tune out"):
        check_tunable("jetson", backend)
    with pytest.raises(EdgeupError, match="leave --tune out"):
        tune_and_optimize(model, Aim("jetson", backend, (10, 3), 17))
    check_tunable("cpu", "onnxruntime")


def test_open_dimensions_are_refused_before_anything_is_measured(model: ir.Model) -> None:
    model.graph.inputs[0].shape = ir.Shape(["n", 3])
    judge = Counted()
    with pytest.raises(EdgeupError, match="open dimensions"):
        tuned_with(model, judge=judge, verify=False)
    assert judge.asked == 0


def test_the_judge_times_every_form_with_its_own_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the timer; the times themselves are made up."""
    seen: list[tuple[list[str], Feeds, int | None]] = []

    def measure(models: Mapping[str, bytes], feeds: Feeds, **options: Any) -> dict[str, Times]:
        seen.append((list(models), feeds, options["threads"]))
        return {name: np.linspace(1, 1.1, 10) * (1 + len(name)) for name in models}

    monkeypatch.setattr("edgeup.runtime.latency.measure_onnx", measure)
    stages: list[str] = []
    judge = measured_judge(2, 0, stages.append)
    verdict = judge({"long name": b"", "short": b""}, (TensorSpec("x", (1, 2, 3), "float16"),))
    assert verdict.form == "short"
    names, feeds, threads = seen[0]
    assert (names, threads) == (["long name", "short"], 2)
    assert (feeds["x"].shape, feeds["x"].dtype) == ((1, 2, 3), np.float16)
    assert np.ptp(feeds["x"]) > 0
    assert stages == ["tuning site 1: 2 forms at x:1x2x3"]


def test_the_real_timer_fits_in(model: ir.Model) -> None:
    """Real sessions; whichever form wins, the result is equal."""
    tuned = tuned_with(model, compare=says(1.1, 1.3))
    assert tuned.verified.passed
    assert tuned.facts["measured"] == 1
