from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.runtime.board.tegrastats import Tegrastats, parse_tegrastats

# What tegrastats printed on real boards (published in tests and texts of public repositories),
# and what a reader has to find: rails, GPU load and clocks, memory load and clock, a temperature,
# cores.
LINES = {
    "nano-jp4": (
        "RAM 330/3964MB (lfb 758x4MB) SWAP 0/1982MB (cached 0MB) CPU [N%@102,N%@102,N%@102,N%@102]"
        " EMC_FREQ 0% GR3D_FREQ N% PLL@20.5C CPU@23C PMIC@100C GPU@22.5C AO@27C thermal@22.5C"
        " POM_5V_IN 933/933 POM_5V_GPU 0/0 POM_5V_CPU 84/84",
        {"POM_5V_IN": 933, "POM_5V_GPU": 0, "POM_5V_CPU": 84},
        (None, (), (0, None)),
        ("GPU", 22.5, 4),
    ),
    "nano-jp4-root": (
        "RAM 331/3964MB (lfb 758x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB)"
        " CPU [4%@102,off,off,N%@102] EMC_FREQ 3%@204 GR3D_FREQ N%@76 APE 25 PLL@20.5C CPU@23.5C"
        " POM_5V_IN 933/933 POM_5V_GPU 0/0 POM_5V_CPU 84/105",
        {"POM_5V_IN": 933, "POM_5V_GPU": 0, "POM_5V_CPU": 84},
        (None, (76,), (3, 204)),
        ("CPU", 23.5, 4),
    ),
    "tx2-jp4-root": (
        "RAM 2135/7855MB (lfb 1057x4MB) CPU [2%@2035,0%@2035,off,2%@2035,2%@2036,2%@2035]"
        " EMC_FREQ 1%@1866 GR3D_FREQ 0%@1300 APE 150 MTS fg 0% bg 0% BCPU@30C MCPU@30C GPU@29C"
        " PLL@30C Tboard@28C Tdiode@28.25C PMIC@100C thermal@29.4C VDD_IN 3104/4029"
        " VDD_CPU 291/730 VDD_GPU 145/207 VDD_SOC 727/746 VDD_WIFI 0/180 VDD_DDR 1248/1375",
        {
            **{"VDD_IN": 3104, "VDD_CPU": 291, "VDD_GPU": 145, "VDD_SOC": 727, "VDD_WIFI": 0},
            "VDD_DDR": 1248,
        },
        (0, (1300,), (1, 1866)),
        ("Tdiode", 28.25, 6),
    ),
    "agx-xavier-jp4-root": (
        "RAM 408/15823MB (lfb 3702x4MB) SWAP 0/7911MB (cached 0MB) CPU [1%@1190,off] EMC_FREQ"
        " 0%@2133 GR3D_FREQ N%@1377 APE 150 MTS fg 0% bg 0% AO@26.5C GPU@28C GPU 1155/1155"
        " CPU 385/385 SOC 2502/2502 CV 0/0 VDDRQ 192/192 SYS5V 2692/2692",
        {"GPU": 1155, "CPU": 385, "SOC": 2502, "CV": 0, "VDDRQ": 192, "SYS5V": 2692},
        (None, (1377,), (0, 2133)),
        ("AO", 26.5, 2),
    ),
    "xavier-nx-jp4": (
        "RAM 2387/7774MB (lfb 961x4MB) SWAP 0/3887MB (cached 0MB) CPU [14%@1190,9%@1190]"
        " EMC_FREQ 7% GR3D_FREQ 33% VIC_FREQ 0%@115 AO@35C GPU@33C VDD_IN 3902/3611"
        " VDD_CPU_GPU_CV 1331/1180 VDD_SOC 997/941",
        {"VDD_IN": 3902, "VDD_CPU_GPU_CV": 1331, "VDD_SOC": 997},
        (33, (), (7, None)),
        ("GPU", 33.0, 2),
    ),
    "agx-orin-jp5-root": (
        "01-03-2023 16:07:54 RAM 2257/30536MB (lfb 5392x4MB) SWAP 0/15268MB (cached 0MB)"
        " CPU [N%@729,off] EMC_FREQ 0%@204 GR3D_FREQ N%@0 GR3D2_FREQ N%@0 NVJPG1 729 VIC_FREQ 115"
        " APE 233 CV0@-256C CPU@41.437C Tboard@29C GPU@-256C tj@41.656C VDD_GPU_SOC 2390mW/2390mW"
        " VDD_CPU_CV 796mW/796mW VIN_SYS_5V0 3522mW/3522mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW"
        " NC 0mW/0mW",
        {"VDD_GPU_SOC": 2390, "VDD_CPU_CV": 796, "VIN_SYS_5V0": 3522, "VDDQ_VDD2_1V8AO": 301},
        (None, (0,), (0, 204)),
        ("tj", 41.656, 2),
    ),
    "orin-nano-jp6-root": (
        "11-15-2024 08:38:09 RAM 6185/7620MB (lfb 8x2MB) SWAP 851/3810MB (cached 1MB)"
        " CPU [15%@729,3%@729,off,off] EMC_FREQ 43%@2133 GR3D_FREQ 63%@[621] NVDEC off NVJPG off"
        " NVJPG1 off VIC off OFA off APE 200 cpu@53.968C soc2@52.437C soc0@50.75C gpu@53.343C"
        " tj@53.968C soc1@51.656C VDD_IN 12479mW/12479mW VDD_CPU_GPU_CV 4667mW/4667mW"
        " VDD_SOC 2817mW/2817mW",
        {"VDD_IN": 12479, "VDD_CPU_GPU_CV": 4667, "VDD_SOC": 2817},
        (63, (621,), (43, 2133)),
        ("gpu", 53.343, 4),
    ),
    "orin-nano-jp6": (
        "04-27-2026 14:59:41 RAM 775/7620MB (lfb 1x512kB) SWAP 0/3810MB (cached 0MB)"
        " CPU [1%@729,0%@729] GR3D_FREQ 0% cpu@48.468C soc2@47.531C tj@49.156C soc1@49.156C"
        " VDD_IN 4761mW/4778mW VDD_CPU_GPU_CV 515mW/501mW VDD_SOC 1428mW/1428mW",
        {"VDD_IN": 4761, "VDD_CPU_GPU_CV": 515, "VDD_SOC": 1428},
        (0, (), (None, None)),
        ("cpu", 48.468, 2),
    ),
    "agx-orin-jp7-root": (
        "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201] EMC_FREQ 3%@3199"
        " GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off NVJPG0 off NVJPG1 off VIC off OFA off"
        " NVDLA0 off NVDLA1 off PVA0_FREQ off APE 174 cpu@52.968C/52.968C soc2@48.406C/48.406C"
        " gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW"
        " VIN_SYS_5V0 5500mW/5500mW/5500mW",
        {"VDD_GPU_SOC": 5139, "VDD_CPU_CV": 3268, "VIN_SYS_5V0": 5500},
        (12, (1300, 1300), (3, 3199)),
        ("gpu", 47.625, 2),
    ),
    "thor-jp7-root": (
        "04-21-2026 15:50:52 RAM 105265/125772MB (lfb 34x4MB) CPU [0%@972,1%@972] EMC_FREQ 0%@2750"
        " GR3D_FREQ @[314,314,314] NVENC0_FREQ @314 NVDEC0_FREQ @314 VIC off OFA_FREQ @315"
        " PVA0_FREQ off APE 300 cpu@37.343C tj@38.875C soc012@37.468C gpu@38.875C soc345@37.406C"
        " VDD_GPU 1962mW/1962mW VDD_CPU_SOC_MSS 5887mW/5887mW VIN_SYS_5V0 5635mW/5635mW"
        " VIN 19780mW/19780mW",
        {"VDD_GPU": 1962, "VDD_CPU_SOC_MSS": 5887, "VIN_SYS_5V0": 5635, "VIN": 19780},
        (None, (314, 314, 314), (0, 2750)),
        ("tj", 38.875, 2),
    ),
    "thor-jp7": (
        "01-20-2026 22:46:22 RAM 17842/125772MB (lfb 79x4MB) CPU [1%@972,0%@972] cpu@30.468C"
        " tj@31.218C soc012@30.218C soc345@31.218C VDD_GPU -392mW/0mW"
        " VDD_CPU_SOC_MSS 5535mW/5535mW VIN_SYS_5V0 5040mW/5040mW VIN 16802mW/16802mW",
        {"VDD_GPU": -392, "VDD_CPU_SOC_MSS": 5535, "VIN_SYS_5V0": 5040, "VIN": 16802},
        (None, (), (None, None)),
        ("tj", 31.218, 2),
    ),
    "thor-jp7.2": (
        "07-02-2026 13:45:44 RAM 36529/125749MB (lfb 12x4MB) SWAP 11/4096MB (cached 9MB)"
        " CPU [5%@2601,0%@2601] cpu@60.406C tj@63.281C soc012@58.468C gpu@62.906C soc345@63.281C"
        " VDD_GPU 37528mW/37528mW/37528mW VDD_CPU_SOC_MSS 18961mW/18961mW/18961mW"
        " VIN_SYS_5V0 18331mW/18331mW/18331mW VIN 87426mW/43713mW/87426mW",
        {"VDD_GPU": 37528, "VDD_CPU_SOC_MSS": 18961, "VIN_SYS_5V0": 18331, "VIN": 87426},
        (None, (), (None, None)),
        ("gpu", 62.906, 2),
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_real_line_is_read_whole(name):
    line, rails, (load, clocks, emc), (sensor, celsius, cores) = LINES[name]
    read = parse_tegrastats(line + "\n")
    assert read.unknown == []
    assert read.rails == rails
    assert (read.gpu_load, read.gpu_mhz, read.emc) == (load, clocks, emc)
    assert read.temperatures[sensor] == celsius
    assert len(read.cpu) == cores
    assert read.ram_mb[1] > read.ram_mb[0] > 0


def test_sensors_and_cores_that_are_off():
    read = parse_tegrastats(LINES["agx-orin-jp5-root"][0])
    assert read.cpu == [(None, 729), None]
    assert "CV0" not in read.temperatures
    assert "GPU" not in read.temperatures


def test_a_field_of_a_later_release_does_not_cost_the_others():
    line, rails, _, _ = LINES["orin-nano-jp6-root"]
    read = parse_tegrastats(line.replace("OFA off", "QPU <1>%=@{3}"))
    assert read.unknown == ["QPU", "<1>%=@{3}"]
    assert read.rails == rails


def test_a_power_that_is_cut_off_or_garbled_is_not_taken():
    line = LINES["orin-nano-jp6"][0]
    assert "VDD_SOC" not in parse_tegrastats(line.removesuffix("/1428mW")).rails
    garbled = parse_tegrastats(line.replace("4761mW", "47x1mW"))
    assert "VDD_IN" not in garbled.rails
    assert "47x1mW/4778mW" in garbled.unknown


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "sh: tegrastats: command not found",
        "RAM",
        "RAM 1/2MB " * 5000,
        "VDD_IN 1/2",
        "RAM 3/4MBx",
        "RAM 99999999999/4MB",
        "RAM 0/0MB",
        "RAM ١/٢MB",
    ],
)
def test_what_is_no_line_of_tegrastats_is_refused(line):
    with pytest.raises(EdgeupError, match="not a line of tegrastats") as refused:
        parse_tegrastats(line)
    assert len(str(refused.value)) < 200
    assert "\n" not in str(refused.value)


def _read_or_refused(line: str) -> Tegrastats | None:
    try:
        read = parse_tegrastats(line)
    except EdgeupError:
        return None
    assert all(isinstance(power, int) for power in read.rails.values())
    assert all(-256 < celsius < 1e4 for celsius in read.temperatures.values())
    return read


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    _read_or_refused(text)
    _read_or_refused("RAM 1/2MB " + text)


@settings(deadline=None, max_examples=300)
@given(
    line=st.sampled_from([line for line, *_ in LINES.values()]),
    cuts=st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 12), st.text(max_size=6)), max_size=6
    ),
)
def test_a_damaged_line_is_read_or_refused(line, cuts):
    for at, length, text in cuts:
        line = line[:at] + text + line[at + length :]
    _read_or_refused(line)


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.from_regex(r"V[A-Z_0-9]{1,12}", fullmatch=True), st.integers(-9999, 99999), max_size=6
    ),
    st.sampled_from(["", "mW"]),
    st.integers(1, 2),
)
def test_any_rails_come_back(rails, unit, others):
    powers = " ".join(
        f"{name} {'/'.join([f'{p}{unit}'] * (1 + others))}" for name, p in rails.items()
    )
    read = parse_tegrastats(f"RAM 1/2MB CPU [off] {powers}")
    assert (read.rails, read.unknown) == (rails, [])
