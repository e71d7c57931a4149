"""The state of made-up boards: a tree of sysfs files, and a tegrastats that is a script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.board.clocks import all_locked, find_gpu
from edgeup.runtime.board.power import NotMeasured
from edgeup.runtime.board.rails import find_rails, total_of
from edgeup.runtime.board.sources import SysfsRails, find_source
from edgeup.runtime.board.state import Probe
from edgeup.runtime.board.tegrastats_process import TegrastatsProcess
from edgeup.runtime.board.watch import BoardWatch, require_locked_clocks
from edgeup.runtime.jetson import find_jetson
from edgeup.runtime.machine import Machine


@dataclass(frozen=True)
class Kind:
    """What distinguishes the trees: paths and names as the boards have them."""

    model: str
    l4t: str
    mode: tuple[int, str]
    gpu: tuple[str, str]  # devfreq entry, device-tree name
    mhz: float
    cpus: tuple[int, ...]
    memory: str  # where its clock is told
    rails: dict[str, tuple[str, ...]]  # by folder of the sensor: names of its channels
    total: tuple[str, ...]


IIO, HWMON, INA238 = "ina3221x", "ina3221", "ina238"
ORIN_RAILS = {f"{HWMON}/1-0040": ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")}
AGX_RAILS = {
    f"{HWMON}/1-0040": ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    f"{HWMON}/1-0041": ("NC", "VDDQ_VDD2_1V8AO", "NC"),
}
AGX_TOTAL = ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0")
KINDS = {
    "nano-jp4": Kind(
        *("NVIDIA Jetson Nano Developer Kit", "R32 (release), REVISION: 7.1", (0, "MAXN")),
        *(("57000000.gpu", "gpu"), 921.6, (0,), "clk"),
        {f"{IIO}/6-0040": ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")},
        ("POM_5V_IN",),
    ),
    "tx2-jp4": Kind(
        *("quill", "R32 (release), REVISION: 7.6", (3, "MAXP_CORE_ARM")),
        *(("17000000.gp10b", "gp10b"), 1122.0, (0, 1), "bpmp"),
        {
            f"{IIO}/0-0041": ("VDD_IN", "VDD_GPU", "VDD_SOC"),
            f"{IIO}/0-0042": ("VDD_CPU", "VDD_WIFI", "VDD_DDR"),
        },
        ("VDD_IN",),
    ),
    "xavier-nx-jp5": Kind(
        *("NVIDIA Jetson Xavier NX", "R35 (release), REVISION: 4.1", (2, "MODE_15W_6CORE")),
        *(("17000000.gv11b", "gv11b"), 1109.25, (0, 2, 4), "bpmp"),
        {f"{HWMON}/7-0040": ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")},
        ("VDD_IN",),
    ),
    "agx-xavier-jp4": Kind(
        *("Jetson-AGX", "R32 (release), REVISION: 7.2", (0, "MAXN")),
        *(("17000000.gv11b", "gv11b"), 1377.0, (0, 2, 4, 6), "bpmp"),
        {f"{IIO}/1-0040": ("GPU", "CPU", "SOC"), f"{IIO}/1-0041": ("CV", "VDDRQ", "SYS5V")},
        ("CPU", "CV", "GPU", "SOC", "SYS5V", "VDDRQ"),
    ),
    "orin-nano-jp6": Kind(
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        *("R36 (release), REVISION: 4.3", (2, "MAXN_SUPER")),
        *(("17000000.gpu", "gpu"), 1020.0, (0, 4), "cap"),
        *(ORIN_RAILS, ("VDD_IN",)),
    ),
    "orin-nx-jp6": Kind(
        *("My Own Carrier", "R36 (release), REVISION: 4.4", (0, "MAXN_SUPER")),
        *(("17000000.gpu", "gpu"), 1173.0, (0, 4), "bpmp"),
        *(ORIN_RAILS, ("VDD_IN",)),
    ),
    "agx-orin-jp5": Kind(
        *("Jetson AGX Orin Developer Kit", "R35 (release), REVISION: 4.1", (0, "MAXN")),
        *(("17000000.ga10b", "ga10b"), 1300.5, (0, 4, 8), "bpmp"),
        *(AGX_RAILS, AGX_TOTAL),
    ),
    "agx-orin-jp7": Kind(
        *("NVIDIA Jetson AGX Orin Developer Kit", "R39 (release), REVISION: 2.0", (3, "MODE_50W")),
        *(("17000000.gpu", "gpu"), 816.0, (0, 4, 8), "bwmgr"),
        {f"{HWMON}/1-0040": AGX_RAILS[f"{HWMON}/1-0040"]},
        AGX_TOTAL,
    ),
    "thor-jp7": Kind(
        *("NVIDIA Jetson AGX Thor Developer Kit", "R38 (release), REVISION: 4.0", (0, "MAXN")),
        *(("gpu-gpc-0", ""), 1575.0, (0, 2), "bwmgr"),
        {
            f"{HWMON}/2-0040": ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
            f"{INA238}/2-0044": ("VIN",),
        },
        ("VIN",),
    ),
}
JETPACKS = {"nano": "4.6.1", "orin-nano": "6.2", "agx-orin-jp7": "7.2", "thor": "7.1"}


class Board:
    """A tree of such a board; files can be changed while a watch runs."""

    def __init__(self, root, kind, *, locked=True):
        self.root, self.kind, self.programs = root, kind, {}
        self.write("etc/nv_tegra_release", f"# {kind.l4t}, GCID: 1")
        self.write("proc/device-tree/model", kind.model + "\0")
        self.write("proc/device-tree/compatible", "nvidia,p1\0nvidia,tegra000\0")
        self.write("proc/loadavg", "0.10 0.20 0.30 1/234 5678")
        identity, name = kind.mode
        self.write("var/lib/nvpmodel/status", f"pmode:{identity:04}")
        self.write("etc/nvpmodel.conf", f"# x\n< POWER_MODEL ID={identity} NAME={name} >\n")
        self.gpu = f"sys/class/devfreq/{kind.gpu[0]}"
        self.clocks(self.gpu, "", 1e6, kind.mhz, locked)
        if kind.gpu[1]:
            self.write(f"{self.gpu}/device/of_node/name", kind.gpu[1] + "\0")
            self.write(f"{self.gpu}/device/load", 0)
        for first in kind.cpus:
            policy = f"sys/devices/system/cpu/cpufreq/policy{first}"
            self.clocks(policy, "scaling_", 1e3, 1728, locked)
        self.clocks("sys/class/devfreq/15340000.vic", "", 1e6, 600, False)
        self.memory(locked)
        self.heat()
        for folder, names in kind.rails.items():
            self.sensor(folder, names)
        self.power(1000)

    def write(self, path, value):
        goal = self.root / path
        goal.parent.mkdir(parents=True, exist_ok=True)
        fresh = goal.with_name(goal.name + ".new")  # no reader may see a half-written file
        fresh.write_text(f"{value}\n")
        fresh.replace(goal)

    def clocks(self, folder, prefix, unit, mhz, locked):
        self.write(f"{folder}/{prefix}max_freq", int(mhz * unit))
        self.write(f"{folder}/{prefix}cur_freq", int(mhz * unit))
        self.write(f"{folder}/{prefix}min_freq", int((mhz if locked else 100) * unit))
        self.write(f"{folder}/{prefix}governor", "performance" if locked else "schedutil")

    def memory(self, locked):
        if self.kind.memory == "cap":
            self.write("sys/kernel/nvpmodel_clk_cap/emc", 3199000000)
        elif self.kind.memory == "bwmgr":
            self.clocks("sys/class/devfreq/bwmgr", "", 1e6, 3199, locked)
        elif self.kind.memory == "bpmp":
            for name, value in (("rate", 2133), ("min_rate", 204), ("max_rate", 2133)):
                self.write(f"sys/kernel/debug/bpmp/debug/clk/emc/{name}", value * 1000000)
            self.write("sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked", int(locked))
        else:
            self.write("sys/kernel/debug/tegra_bwmgr/emc_min_rate", 204000000)
            self.write("sys/kernel/debug/tegra_bwmgr/emc_max_rate", 1600000000)
            self.write("sys/kernel/debug/clk/override.emc/clk_rate", 1600000000)
            self.write("sys/kernel/debug/clk/override.emc/clk_state", int(locked))

    def heat(self):
        zones = {"cpu-thermal": 48468, "gpu-thermal": 47531, "cv0-thermal": -256000}
        for index, (name, value) in enumerate(zones.items()):
            self.write(f"sys/class/thermal/thermal_zone{index}/type", name)
            self.write(f"sys/class/thermal/thermal_zone{index}/temp", value)
        coolers = {"pwm-fan": 3, "gpu-throttle-alert": 0, "cpufreq-cpu0": 0, "hot-surface-alert": 0}
        for index, (name, value) in enumerate(coolers.items()):
            self.write(f"sys/class/thermal/cooling_device{index}/type", name)
            self.write(f"sys/class/thermal/cooling_device{index}/cur_state", value)
        for alarm, count in ((1, 0), (3, 27390)):
            self.write(f"sys/class/hwmon/hwmon3/oc{alarm}_event_cnt", count)

    def sensor(self, folder, names):
        base = f"sys/bus/i2c/drivers/{folder}"
        self.write(f"{base}/name", folder.split("/")[0])
        if folder.startswith(HWMON + "/"):
            for channel, name in enumerate(names, 1):
                self.write(f"{base}/hwmon/hwmon1/in{channel}_label", name)
            self.write(f"{base}/hwmon/hwmon1/in7_label", "sum of shunt voltages")
            self.write(f"{base}/hwmon/hwmon1/in7_input", 1000)
        elif folder.startswith(IIO):
            for channel, name in enumerate(names):
                self.write(f"{base}/iio:device0/rail_name_{channel}", name)

    def power(self, mw):
        """Set every rail to so much."""
        for folder, names in self.kind.rails.items():
            base = f"sys/bus/i2c/drivers/{folder}"
            if folder.startswith(INA238):
                self.write(f"{base}/hwmon/hwmon2/power1_input", int(mw * 1000))
            for channel, _ in enumerate(names):
                if folder.startswith(HWMON + "/"):
                    self.write(f"{base}/hwmon/hwmon1/in{channel + 1}_input", 5000)
                    self.write(f"{base}/hwmon/hwmon1/curr{channel + 1}_input", mw / 5)
                elif folder.startswith(IIO):
                    self.write(f"{base}/iio:device0/in_power{channel}_input", mw)

    @property
    def machine(self):
        return Machine(root=self.root, which=self.programs.get, run=lambda command: None)

    def watch(self, **settings):
        return BoardWatch(self.machine, **{"interval_s": 0.02, **settings})


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeup.runtime.board.watch._IDLE_AT_LEAST_S", 0.0)
    return lambda name, **settings: Board(tmp_path, KINDS[name], **settings)


@pytest.mark.parametrize("name", KINDS)
def test_state_of_each_board(board, name):
    made = board(name)
    kind = made.kind
    state = Probe(made.machine).look()
    gpu = state.clock("gpu")
    assert gpu is not None
    assert (gpu.mhz, gpu.max_mhz, gpu.locked) == (kind.mhz, kind.mhz, True)
    assert [clock.name for clock in state.clocks] == [
        *("gpu", *(f"cpu{first}" for first in kind.cpus), "memory")
    ]
    memory = state.clock("memory")
    assert memory is not None
    assert memory.max_mhz in (1600.0, 2133.0, 3199.0)
    assert memory.locked is (None if kind.memory == "cap" else True)
    assert all_locked(state.clocks, gpu=True) is True
    assert state.temperatures == {"cpu": 48.468, "gpu": 47.531}
    assert state.cooling == {"gpu-throttle-alert": 0, "cpufreq-cpu0": 0, "hot-surface-alert": 0}
    assert state.over_current == {"oc1": 0, "oc3": 27390}
    assert state.load_average == (0.1, 0.2, 0.3)
    assert state.power_mode == kind.mode[1]
    require_locked_clocks(made.machine)  # does not refuse


@pytest.mark.parametrize("name", KINDS)
def test_rails_of_each_board(board, name):
    made = board(name)
    rails = find_rails(made.machine)
    wanted = [rail for names in made.kind.rails.values() for rail in names if rail != "NC"]
    assert sorted(rail.name for rail in rails) == sorted(wanted)
    assert {rail.milliwatts(made.machine) for rail in rails} == {1000.0}
    total = total_of([rail.name for rail in rails])
    assert total is not None
    assert (total.rails, total.is_whole) == (made.kind.total, True)


def test_a_channel_that_is_switched_off_is_no_rail(board):
    made = board("orin-nx-jp6")
    made.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_enable", 0)
    made.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in3_enable", 1)
    assert [rail.name for rail in find_rails(made.machine)] == ["VDD_IN", "VDD_SOC"]


def test_tegrastats_is_asked_only_where_the_kernel_shows_no_total(board):
    made = board("thor-jp7")
    made.programs["tegrastats"] = "/usr/bin/tegrastats"
    jetson = find_jetson(made.machine)
    found = find_source(made.machine, jetson, 0.1)
    assert isinstance(found, SysfsRails)
    (made.root / "sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon2/power1_input").unlink()
    assert isinstance(find_source(made.machine, jetson, 0.1), TegrastatsProcess)
    made.programs.clear()
    found = find_source(made.machine, jetson, 0.1)
    assert isinstance(found, SysfsRails)
    total = total_of([rail.name for rail in find_rails(made.machine)])
    assert total is not None
    assert total.words.endswith("the sum of VDD_CPU_SOC_MSS, VDD_GPU, VIN_SYS_5V0, a part")


@pytest.mark.parametrize("name", KINDS)
def test_unlocked_clocks_of_each_board(board, name):
    made = board(name, locked=False)
    with pytest.raises(EdgeupError, match="run sudo jetson_clocks") as refused:
        require_locked_clocks(made.machine)
    assert f"gpu 100 to {made.kind.mhz:.0f} MHz, cpu 100 to 1728 MHz" in str(refused.value)
    assert ("memory" in str(refused.value)) == (made.kind.memory != "cap")
    with made.watch(no_power="not asked") as watch:
        watch.end(1)
    record = watch.record()
    assert record.locked is False
    assert record.marks[0].startswith("the clocks are not locked: gpu 100")
    assert (record.refusal() or "").startswith("--require-locked-clocks: the clocks are not locked")


@pytest.mark.parametrize(("name", "jetpack"), JETPACKS.items())
def test_the_record_names_board_and_mode(board, name, jetpack):
    full = next(full for full in KINDS if full.startswith(name))
    made = board(full)
    with made.watch(no_power="not asked") as watch:
        watch.end(1)
    jetson = json.loads(json.dumps(watch.record().to_json(), allow_nan=False))["jetson"]
    assert (jetson["board"], jetson["jetpack"]) == (made.kind.model, jetpack)
    assert (jetson["power_mode_id"], jetson["power_mode"]) == made.kind.mode


def test_one_unlocked_clock_is_enough(board):
    made = board("agx-orin-jp5")
    made.write("sys/devices/system/cpu/cpufreq/policy8/scaling_min_freq", 729000)
    assert all_locked(Probe(made.machine).look().clocks, gpu=True) is False
    made = board("agx-orin-jp5")
    made.write("sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked", 0)
    with pytest.raises(EdgeupError, match=r"not locked: memory 204 to 2133 MHz"):
        require_locked_clocks(made.machine)


def test_clocks_that_were_loose_at_the_start_are_told_though_locked_since(board):
    made = board("orin-nano-jp6", locked=False)
    with made.watch(no_power="not asked") as watch:
        made.clocks(made.gpu, "", 1e6, 1020, True)
        for first in made.kind.cpus:
            made.clocks(
                f"sys/devices/system/cpu/cpufreq/policy{first}", "scaling_", 1e3, 1728, True
            )
        watch.end(1)
    record = watch.record()
    assert record.locked is False
    assert "the clocks are not locked: gpu 100 to 1020 MHz" in (record.refusal() or "")


def test_a_gpu_that_cannot_be_seen_leaves_the_lock_unknown(board):
    made = board("orin-nano-jp6")
    (made.root / made.gpu / "max_freq").unlink()
    assert find_gpu(made.machine) is None
    assert all_locked(Probe(made.machine).look().clocks, gpu=True) is None
    with pytest.raises(EdgeupError, match="cannot be read on this machine"):
        require_locked_clocks(made.machine)


def test_odd_files_are_left_out(board):
    made = board("orin-nano-jp6")
    for path in made.root.glob("sys/**/*_freq"):
        path.write_bytes(b"\xff\xfe nan\0")
    for path in made.root.glob("sys/class/thermal/*/temp"):
        path.write_text("inf")
    for path in made.root.glob("sys/bus/**/curr*_input"):
        path.write_text("-" * 5000)
    made.write("proc/loadavg", "1.2.3 x")
    made.write("var/lib/nvpmodel/status", "pmode:9999999999")
    state = Probe(made.machine).look()
    assert all(clock.mhz is None for clock in state.clocks)
    assert (state.temperatures, state.load_average) == ({}, ())
    assert {rail.milliwatts(made.machine) for rail in find_rails(made.machine)} == {None}
    with made.watch() as watch:
        watch.end(1)
    assert watch.record().power == NotMeasured(
        "this user may not read the power rails, and there is no tegrastats"
    )


GARBAGE = (
    b"",
    b"\xff\xfe\0",
    b"-1",
    b"1e308",
    b"1.2.3 1.2.3 1.2.3 ",
    b"pmode:1\0x",
    b"nan",
    b"7" * 999,
)


@pytest.mark.parametrize("seed", range(12))
def test_a_tree_of_garbage_gives_a_record_all_the_same(board, seed):
    random = Random(seed)
    made = board(sorted(KINDS)[seed % len(KINDS)])
    for path in sorted(made.root.rglob("*")):
        if path.is_file() and random.random() < 0.5 and path.name != "nv_tegra_release":
            path.write_bytes(random.choice(GARBAGE))
    with made.watch() as watch:
        watch.begin()
        watch.end(1)
    assert json.dumps(watch.record().to_json(), allow_nan=False)
    assert json.dumps(watch.record().power.to_json(), allow_nan=False)


def test_a_desktop_has_cpu_clocks_and_no_power(tmp_path):
    made = Board.__new__(Board)
    made.root, made.programs = tmp_path, {}
    made.write("proc/loadavg", "64.00 9.00 1.00 3/99 1")
    for policy in range(3):
        made.clocks(f"sys/devices/system/cpu/cpufreq/policy{policy}", "scaling_", 1e3, 4700, False)
    with BoardWatch(made.machine) as watch:
        watch.end(5)
    record = watch.record()
    assert record.jetson is None
    assert record.power == NotMeasured("this is no Jetson: power is read from a Jetson's rails")
    assert record.power.to_json()["measured"] is False
    assert record.marks[0] == "the clocks are not locked: cpu 100 to 4700 MHz"
    assert record.marks[1].startswith("the load average was 64.0 on ")
    assert record.before.clocks[0].governor == "schedutil"
    assert "jetson_clocks" not in (record.refusal() or "")


def test_this_machine_can_be_looked_at():
    with BoardWatch(Machine()) as watch:
        watch.begin()
        watch.end(1)
    assert json.dumps(watch.record().to_json(), allow_nan=False)
    assert watch.record().before.load_average


def throttled_by(board, change, name="agx-orin-jp5", **settings):
    """What a watch says when the board changes while it runs."""
    made = board(name, **settings)
    with made.watch(no_power="not asked") as watch:
        watch.begin()
        made.write(f"{made.gpu}/device/load", 990)
        watch._look()  # the thread's own looks come at their time
        change(made)
        watch._look()
        watch.end(1)
    record = watch.record()
    assert set(record.throttled) <= set(record.marks)
    assert bool(record.refusal()) == bool(record.throttled or not record.locked)
    return record.throttled


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sys/class/hwmon/hwmon3/oc3_event_cnt", 27395, "over-current alarm oc3 throttled 5 times"),
        ("sys/class/thermal/cooling_device1/cur_state", 1, "gpu-throttle-alert was active"),
        (
            *("sys/class/thermal/cooling_device2/cur_state", 4),
            "cooling device cpufreq-cpu0 rose from state 0 to 4",
        ),
        (
            *("sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq", 1190400),
            "the cap of the cpu4 clock fell from 1728 to 1190 MHz",
        ),
        (
            *("sys/class/devfreq/17000000.ga10b/cur_freq", 612000000),
            "the gpu clock fell to 612 MHz though locked at 1300",
        ),
        (
            *("sys/kernel/debug/bpmp/debug/clk/emc/rate", 665600000),
            "the memory clock fell to 666 MHz though locked at 2133",
        ),
    ],
)
def test_each_way_of_throttling_is_seen(board, path, value, words):
    assert throttled_by(board, lambda made: made.write(path, value)) == (words,)


def test_a_clock_that_is_free_throttles_only_while_the_gpu_is_busy(board):
    def fall(made):
        made.write(f"{made.gpu}/cur_freq", 612000000)

    def fall_when_idle(made):
        made.write(f"{made.gpu}/device/load", 120)
        fall(made)

    (words,) = throttled_by(board, fall, locked=False)
    assert words.startswith("the gpu clock fell from 13")
    assert words.endswith("to 612 MHz while it was busy")
    assert throttled_by(board, fall_when_idle, locked=False) == ()


def test_a_locked_gpu_that_is_slow_counts_wherever_the_run_used_it(board):
    def fall_between_two_inferences(made):
        made.write(f"{made.gpu}/device/load", 0)
        made.write(f"{made.gpu}/cur_freq", 306000000)

    words = ("the gpu clock fell to 306 MHz though locked at 1300",)
    assert throttled_by(board, fall_between_two_inferences) == words


def test_a_locked_gpu_that_rests_before_or_without_a_run_on_it_is_not_slow(board):
    made = board("agx-orin-jp5")
    with made.watch(no_power="not asked") as watch:
        made.write(f"{made.gpu}/cur_freq", 114750000)
        watch._look()
        watch.begin()
        watch._look()  # a network on the CPU
        watch.end(1)
        watch._look()
    assert watch.record().throttled == ()
    with made.watch(no_power="not asked") as watch:
        watch._look()
        made.write(f"{made.gpu}/device/load", 990)
        made.write(f"{made.gpu}/cur_freq", 1300500000)
        watch.begin()
        watch._look()
        watch.end(1)
        made.write(f"{made.gpu}/cur_freq", 114750000)
        watch._look()
    assert watch.record().throttled == ()


@pytest.mark.parametrize("name", KINDS)
def test_a_quiet_run_is_not_called_throttled(board, name):
    def fan(made):
        made.write("sys/class/thermal/cooling_device0/cur_state", 255)
        made.write("sys/class/thermal/thermal_zone1/temp", 71000)
        made.write("sys/class/thermal/cooling_device3/cur_state", 1)

    assert throttled_by(board, fan, name) == ()


@pytest.mark.parametrize(
    ("cooler", "caps"),
    [
        *((name, True) for name in ("cpufreq-cpu0", "devfreq-17000000.gpu", "gpu-balanced")),
        *((name, True) for name in ("gpu-throttle-alert", "cv0-throttle-alert", "Processor")),
        *((name, False) for name in ("pwm-fan", "hot-surface-alert", "CORE-floor", "LCD")),
    ],
)
def test_a_cap_that_was_there_before_counts_and_fans_and_warnings_do_not(board, cooler, caps):
    made = board("orin-nano-jp6")
    made.write("sys/class/thermal/cooling_device2/type", cooler)
    made.write("sys/class/thermal/cooling_device2/cur_state", 4)
    with made.watch(no_power="not asked") as watch:
        watch.begin()
        watch.end(1)
    record = watch.record()
    assert [cooler in words for words in record.throttled or ()] == [True] * caps
    if caps:
        with pytest.raises(EdgeupError, match=f"{cooler} was .*; let the board cool down"):
            require_locked_clocks(made.machine)
        assert cooler in (record.refusal() or "")
    else:
        require_locked_clocks(made.machine)
        assert record.refusal() is None


def test_throttling_is_unknown_where_nothing_tells_of_it(tmp_path):
    with BoardWatch(Machine(root=tmp_path, which=lambda name: None)) as watch:
        watch.end(1)
    record = watch.record()
    assert record.throttled is None
    assert record.to_json()["throttled"] is None
    made = Board.__new__(Board)
    made.root, made.programs = tmp_path, {}
    made.clocks("sys/devices/system/cpu/cpufreq/policy0", "scaling_", 1e3, 4700, False)
    with BoardWatch(made.machine) as watch:
        watch.end(1)
    assert watch.record().throttled == ()


def test_a_changed_power_mode_and_other_load_are_marked(board):
    made = board("agx-orin-jp5")
    made.write(f"{made.gpu}/device/load", 350)
    with made.watch(no_power="not asked") as watch:
        made.write("var/lib/nvpmodel/status", "pmode:0002")
        watch.end(1)
    assert watch.record().marks == (
        "the power mode changed from MAXN to mode 2",
        "the GPU was 35 % busy before the run",
    )
