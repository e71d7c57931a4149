from __future__ import annotations

import os
import re
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.runtime.board.power import (
    LEAST_SAMPLES,
    NotMeasured,
    Power,
    PowerSample,
    Window,
    measure_power,
)
from edgeup.runtime.board.rails import total_of
from edgeup.runtime.board.watch import BoardWatch
from edgeup.runtime.machine import Machine

IDLE, TIMED = Window(0.0, 2.0), Window(2.0, 6.0)


def samples(power, every=0.1, stop=6.1, rail="VDD_IN"):
    times = np.arange(0.03, stop, every)
    return [PowerSample(float(at), {rail: float(power(at))}) for at in times]


def measured(found, **settings):
    power = measure_power(
        found, **{"idle": IDLE, "timed": TIMED, "inferences": 40, "source": "sysfs", **settings}
    )
    assert isinstance(power, Power), power
    return power


def refused(found, **settings):
    power = measure_power(
        found, **{"idle": IDLE, "timed": TIMED, "inferences": 40, "source": "sysfs", **settings}
    )
    assert isinstance(power, NotMeasured), power
    return power.reason


def test_a_constant_power_above_idle():
    power = measured(samples(lambda at: 4000 if at < 2 else 10000))
    assert power.energy_per_inference_mj == pytest.approx(600)  # (10 W - 4 W) x 4 s / 40
    assert power.gross_per_inference_mj == pytest.approx(1000)
    assert (power.idle_mw, power.idle_std_mw) == (pytest.approx(4000), 0)
    assert (power.min_mw, power.max_mw) == (10000, 10000)
    assert (power.samples, power.idle_samples) == (40, 20)
    assert power.to_json()["measured"] is True


@settings(deadline=None, max_examples=50)
@given(
    slope=st.floats(-1000, 1000),
    level=st.floats(-500, 50000),
    jitter=st.lists(st.floats(0.0, 0.09), min_size=61, max_size=61),
)
def test_a_ramp_is_integrated_whenever_it_is_sampled(slope, level, jitter):
    """The trapezoid of a straight line is exact but at the ends, less than two intervals each."""
    found = [
        PowerSample(at, {"VDD_IN": level + slope * at})
        for at in (index * 0.1 + late for index, late in enumerate(jitter))
    ]
    power = measured(found, idle=Window(0.5, 1.9), timed=Window(2.03, 5.77))
    middle, idle = level + slope * (2.03 + 5.77) / 2, level + slope * (0.5 + 1.9) / 2
    ends_mj = abs(slope) * 0.2**2  # two triangles
    seconds = 5.77 - 2.03
    assert power.mean_mw == pytest.approx(middle, rel=1e-9, abs=ends_mj / seconds + 1e-6)
    assert power.idle_mw == pytest.approx(idle, rel=1e-9, abs=ends_mj / 1.4 + 1e-6)
    wanted = (power.mean_mw - power.idle_mw) * seconds / 40
    assert power.energy_per_inference_mj == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_the_total_is_one_rail_or_the_sum():
    orin = samples(lambda at: 5000)
    both = [PowerSample(s.at_s, {**s.rails, "VDD_CPU_GPU_CV": -100.0}) for s in orin]
    assert measured(both).mean_mw == pytest.approx(5000)
    assert measured(both).rails_mw["VDD_CPU_GPU_CV"] == pytest.approx(-100)
    assert measured(both).total == "VDD_IN, the rail of the whole"
    agx = [
        PowerSample(s.at_s, {"VDD_GPU_SOC": 3000.0, "VDD_CPU_CV": -20.0, "VIN_SYS_5V0": 2000.0})
        for s in orin
    ]
    power = measured(agx)
    assert power.mean_mw == pytest.approx(4980)
    assert power.total_rails == ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0")
    three = "no rail of the whole: the sum of VDD_CPU_CV, VDD_GPU_SOC, VIN_SYS_5V0"
    assert power.total == three
    memory = [PowerSample(s.at_s, {**s.rails, "VDDQ_VDD2_1V8AO": 700.0}) for s in agx]
    power = measured(memory)
    assert power.mean_mw == pytest.approx(4980)  # the memory's draws from VIN_SYS_5V0
    assert power.rails_mw["VDDQ_VDD2_1V8AO"] == pytest.approx(700)
    assert power.total == f"{three}, in which VDDQ_VDD2_1V8AO is contained"


AGX_ORIN = ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0")


@pytest.mark.parametrize(
    ("rails", "total", "is_whole"),
    [
        (("POM_5V_GPU", "POM_5V_IN", "POM_5V_CPU"), ("POM_5V_IN",), True),
        (("VDD_IN", "VDD_MUX"), ("VDD_IN",), True),
        (("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "VIN"), ("VIN",), True),
        (("VDD_GPU", "VDD_CPU_SOC_MSS"), ("VDD_CPU_SOC_MSS", "VDD_GPU"), False),
        (("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), (), True),
        (("GPU", "CPU", "SOC", "VDDRQ"), (), False),
        ((*AGX_ORIN, "VDDQ_VDD2_1V8AO"), AGX_ORIN, True),
        ((*AGX_ORIN, "CVB_ATX_12V", "CVB_ATX_3V3"), AGX_ORIN, True),  # Industrial's carrier
        (("VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"), ("VIN_SYS_5V0",), False),
        (("MY_RAIL",), ("MY_RAIL",), False),
    ],
)
def test_which_rail_is_the_total(rails, total, is_whole):
    found = total_of(rails)
    assert found is not None
    assert found.rails == (total or tuple(sorted(rails)))
    assert found.is_whole is is_whole
    assert total_of(()) is None


def test_too_few_samples_are_counted_and_named():
    sparse = samples(lambda at: 5000, every=1.0)
    assert refused(sparse) == (
        f"4 samples of power during the timed runs (4.00 s), {LEAST_SAMPLES} are needed: run longer"
    )
    late = [sample for sample in samples(lambda at: 5000) if sample.at_s > 1.5]
    assert "5 samples of power before the runs, idle (2.00 s)" in refused(late)
    assert refused([]) == "sysfs gave no power"
    assert refused(samples(lambda at: 5000), timed=Window(2.0, 2.0)).startswith("0 samples")
    assert "no timed run" in refused(samples(lambda at: 5000), inferences=0)


def test_a_slow_sensor_read_often_is_not_many_samples():
    found = samples(lambda at: 5000)
    assert "9 samples of power during" in refused(found, sensor_interval_ms=431)
    assert measured(found, sensor_interval_ms=150).sensor_interval_ms == 150


def test_a_sample_that_lacks_a_rail_is_left_out():
    found = samples(lambda at: 5000)
    found += [PowerSample(2.5 + i / 100, {"VDD_SOC": 1.0}) for i in range(3)]
    whole = [PowerSample(s.at_s, {**s.rails, "VDD_SOC": 2.0}) for s in samples(lambda at: 5000)]
    found = sorted([*found, *whole], key=lambda sample: sample.at_s)
    power = measured(found)
    assert power.samples == 40
    assert power.rails_mw["VDD_SOC"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("first", "last", "seconds"),
    [(3.2, 9.0, 2.87), (2.0, 3.0, 1.03), (3.0, 3.9, 1.0)],
    ids=["end", "start", "middle"],
)
def test_a_time_without_samples_is_not_filled_up(first, last, seconds):
    found = [s for s in samples(lambda at: 5000) if not first <= s.at_s <= last]
    assert len(found) > LEAST_SAMPLES
    said = f"no sample of power for {seconds:.2f} of the 4.00 s of the timed runs: "
    assert refused(found) == said + "this machine was too busy to take them; measure again"
    died = "tegrastats ended by itself with status 3"
    assert refused(found, stopped=died) == said + died


def test_a_short_delay_of_a_sample_is_none():
    found = [s for s in samples(lambda at: 5000) if not 3.2 <= s.at_s <= 3.4]
    assert measured(found).mean_mw == pytest.approx(5000)
    slow = samples(lambda at: 5000, every=0.35)  # less often than they were asked for
    assert measured(slow, idle=Window(0.0, 4.0), timed=Window(0.0, 6.0)).samples >= LEAST_SAMPLES


def test_a_rail_that_vanishes_is_named():
    whole = [
        PowerSample(s.at_s, {**s.rails, **({"VDD_SOC": 2.0} if s.at_s < 4 else {})})
        for s in samples(lambda at: 5000)
    ]
    assert refused(whole) == (
        "no sample of power for 2.07 of the 4.00 s of the timed runs: "
        "VDD_SOC could not be read any more"
    )
    assert refused([s for s in whole if not 2 < s.at_s < 4]) == (
        f"0 samples of power during the timed runs (4.00 s), {LEAST_SAMPLES} are needed: "
        "VDD_SOC could not be read any more"
    )


TEGRASTATS = """#!{python}
import os, sys, time, signal
{preface}
interval = int(sys.argv[sys.argv.index("--interval") + 1]) / 1e3
open({log!r}, "a").write("started %s\\n" % interval)
while True:
    power = 15000 if os.path.exists({busy!r}) else 5000
    print(f"RAM 1/2MB CPU [1%@729] GR3D_FREQ 0% VDD_IN {{power}}mW/1mW VDD_SOC 100mW/1mW",
          flush=True)
    time.sleep(interval)
"""


@pytest.fixture
def jetson(tmp_path, monkeypatch):
    """A Jetson whose kernel shows no rails, and whose tegrastats is a script."""
    monkeypatch.setattr("edgeup.runtime.board.watch._IDLE_AT_LEAST_S", 0.3)
    monkeypatch.setattr("edgeup.runtime.board.tegrastats_process._PATIENCE_S", 0.5)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1")
    program = tmp_path / "tegrastats"

    def make(preface="", body=TEGRASTATS):
        names = {"log": str(tmp_path / "log"), "busy": str(tmp_path / "busy")}
        program.write_text(body.format(python=sys.executable, preface=preface, **names))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return Machine(
            root=tmp_path,
            which={"tegrastats": str(program)}.get,
            run=lambda command: None,
        )

    return make


def children():
    """The processes that this one started and that are not gone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            words = (process / "cmdline").read_bytes()
        except OSError:  # gone in the meantime
            continue
        if int(parent) == os.getpid() and b"tegrastats" in words:
            found.append(words)
    return found


def threads():
    return {thread.name for thread in threading.enumerate()} & {
        *("tegrastats", "power rails", "board state")
    }


def test_power_from_tegrastats(jetson, tmp_path):
    with BoardWatch(jetson(), interval_s=0.02) as watch:
        assert children()
        assert threads() == {"tegrastats", "board state"}
        (tmp_path / "busy").touch()
        time.sleep(0.1)
        watch.begin()
        time.sleep(0.6)
        watch.end(10)
    assert (children(), threads()) == ([], set())
    power = watch.record().power
    assert isinstance(power, Power), power
    assert power.source == "tegrastats"
    assert power.idle_mw == pytest.approx(5000)
    assert power.mean_mw == pytest.approx(15000)
    # 10 W x 0.6 s / 10
    assert power.energy_per_inference_mj == pytest.approx(1e4 * power.seconds / 10)
    assert (tmp_path / "log").read_text() == "started 0.02\n"


DYING = TEGRASTATS.replace("while True:", "for _ in range({lines}):") + "sys.exit(3)\n"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("40", r"no sample of power for 0\.\d\d of the 1\.00 s of the timed runs: "),
        ("14", r"\d samples of power during the timed runs \(1\.00 s\), 10 are needed: "),
    ],
)
def test_a_tegrastats_that_dies_meanwhile_is_no_measurement(jetson, lines, reason):
    with BoardWatch(jetson(body=DYING.replace("{lines}", lines)), interval_s=0.02) as watch:
        watch.begin()
        time.sleep(1.0)
        watch.end(10, seconds=1.0)
    power = watch.record().power
    assert isinstance(power, NotMeasured), power
    assert re.fullmatch(reason + "tegrastats ended by itself with status 3", power.reason)


def test_what_comes_after_the_runs_is_not_theirs(jetson, tmp_path):
    with BoardWatch(jetson(), interval_s=0.02) as watch:
        (tmp_path / "busy").touch()
        time.sleep(0.1)
        watch.begin()
        time.sleep(0.5)
        (tmp_path / "busy").unlink()
        time.sleep(0.2)
        watch.end(10, seconds=0.45)
    power = watch.record().power
    assert isinstance(power, Power), power
    assert power.seconds == pytest.approx(0.45)
    assert power.mean_mw == pytest.approx(15000)


def test_a_tegrastats_that_does_not_listen_is_ended_all_the_same(jetson):
    stubborn = jetson("signal.signal(signal.SIGTERM, signal.SIG_IGN)")

    def fail():
        with BoardWatch(stubborn, interval_s=0.02):
            assert children()
            raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        fail()
    assert (children(), threads()) == ([], set())


def test_an_interrupt_ends_everything_even_while_it_waits_for_idle_samples(jetson):
    machine = jetson()
    alarm = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    alarm.start()
    with pytest.raises(KeyboardInterrupt), BoardWatch(machine, interval_s=0.2):
        pytest.fail("the watch was entered too soon")
    alarm.join()
    assert (children(), threads()) == ([], set())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("#!{python}\nprint('RAM 1/2MB VDD_IN 5mW')", "tegrastats gave no power"),
        ("#!{python}\nprint('x' * 100000)", "tegrastats gave no power"),
        ("#!{python}\nimport sys; sys.exit(1)", "tegrastats gave no power"),
        ("#!/no/such/interpreter\n", "tegrastats does not start: No such file or directory"),
    ],
)
def test_a_tegrastats_that_tells_nothing(jetson, body, reason):
    with BoardWatch(jetson(body=body), interval_s=0.02) as watch:
        watch.begin()
        watch.end(1)
    power = watch.record().power
    assert isinstance(power, NotMeasured)
    assert power.reason.endswith(reason)


def test_a_jetson_without_either_says_so(tmp_path, jetson):
    machine = jetson()
    bare = Machine(root=machine.root, which=lambda name: None, run=machine.run)
    with BoardWatch(bare) as watch:
        watch.end(1)
    power = watch.record().power
    assert isinstance(power, NotMeasured)
    assert "no power rails here, and there is no tegrastats" in power.reason
