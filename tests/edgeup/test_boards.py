"""Boards: derived figures agree with published ones, modes scale them, all have a source."""

import json
from importlib.resources import files
from typing import Any

import pytest

from edgeup.boards import all_boards, find_board, sources
from edgeup.errors import EdgeupError

# Dense peaks and bandwidths as NVIDIA and others publish them (not what they are derived from).
PUBLISHED = {
    "nano-4gb": ({"fp16": 0.472}, 25.6),
    "tx2": ({"fp16": 1.33}, 59.7),
    "xavier-nx": ({"fp32": 0.85, "fp16": 6.82, "int8": 13.63}, 59.7),
    "agx-xavier": ({"fp32": 1.41, "fp16": 11.28, "int8": 22.56}, 137),
    "orin-nano-4gb": ({"fp32": 0.64, "fp16": 5.12, "int8": 10.24}, 34),
    "orin-nano-8gb": ({"fp32": 1.28, "fp16": 10.24, "int8": 20.47}, 68),
    "orin-nx-8gb": ({"fp32": 1.57, "fp16": 12.53, "int8": 25.07}, 102.4),
    "orin-nx-16gb": ({"fp32": 1.88, "fp16": 15.04, "int8": 30.08}, 102.4),
    "agx-orin-32gb": ({"fp32": 3.33, "fp16": 26.66, "int8": 53.33}, 204.8),
    "agx-orin-64gb": ({"fp32": 5.33, "fp16": 42.61, "int8": 85.23}, 204.8),
    "thor-t4000": ({"fp16": 150}, 273),
    "thor-t5000": ({"fp32": 8.06, "fp16": 258.75, "fp4": 1035}, 273),
}


def document(name: str) -> dict[str, Any]:
    text = (files("edgeup") / "data" / name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.mark.parametrize("name", PUBLISHED)
def test_peaks_and_bandwidth_are_the_published_ones(name: str) -> None:
    board = find_board(name)
    peaks, bandwidth = PUBLISHED[name]
    assert {p: board.peak[p] for p in peaks} == pytest.approx(peaks, rel=0.01)
    assert board.bandwidth_gbs == pytest.approx(bandwidth, rel=0.01)


def test_all_boards_are_there_and_named_once() -> None:
    assert [board.name for board in all_boards()] == list(PUBLISHED)


@pytest.mark.parametrize(("name", "sparse_int8_tops"), [("MAXN", 171), ("50W", 109), ("30W", 41)])
def test_modes_of_agx_orin_reach_what_nvidia_publishes_for_them(
    name: str, sparse_int8_tops: float
) -> None:
    """NVIDIA/Deep-Learning-Accelerator-SW README, GPU column; sparsity doubles the dense rate."""
    dense = find_board("agx-orin-64gb").mode(name).peak["int8"]
    assert 2 * dense == pytest.approx(sparse_int8_tops, rel=0.03)


@pytest.mark.parametrize(
    ("board", "mode", "sms", "mhz", "bandwidth"),
    [
        ("nano-4gb", "5W", 1, 640, 25.6),
        ("xavier-nx", "10W_DESKTOP", 6, 510, 51.2),
        ("xavier-nx", "20W_6CORE", 6, 1109.25, 59.7),
        ("agx-xavier", "10W", 4, 520, 68.2),  # TPC mask 5: two of four TPCs are off
        ("orin-nano-8gb", "7W", 4, 408, 68.3),
        ("orin-nano-8gb", "15W-super", 8, 612, 68.3),
        ("orin-nano-8gb", "MAXN_SUPER", 8, 1020, 102.4),
        ("orin-nx-16gb", "15W", 4, 612, 102.4),
        ("orin-nx-16gb", "25W", 8, 408, 102.4),
        ("orin-nx-16gb", "10W", 4, 612, 68.3),
        ("agx-orin-32gb", "40W", 14, 816, 204.7),
    ],
)
def test_a_power_mode_has_its_own_sms_clock_and_bandwidth(
    board: str, mode: str, sms: int, mhz: float, bandwidth: float
) -> None:
    found = find_board(board).mode(mode.lower())
    assert (found.name, found.sms, found.gpu_mhz) == (mode, sms, mhz)
    assert found.bandwidth_gbs == pytest.approx(bandwidth, rel=2e-3)


@pytest.mark.parametrize("board", all_boards(), ids=lambda board: board.name)
def test_the_peak_of_a_mode_scales_with_sms_and_clock(board: Any) -> None:
    assert {"sms", "peak", "bandwidth_gbs", "precisions", "rails"} <= set(board.sources)
    assert set() < set(board.total_rails) <= set(board.rails)
    names = [mode.name for mode in board.power_modes]
    assert len(set(names)) == len(names)
    assert board.mode().name == board.default_mode in names
    for mode in board.power_modes:
        assert 0 < mode.sms <= board.sms
        assert mode.peak.keys() == board.peak.keys()
        if mode.gpu_mhz is None:
            assert mode.peak == board.peak
            continue
        scale = mode.sms * mode.gpu_mhz / (board.sms * board.gpu_max_mhz)
        assert mode.peak == pytest.approx({p: peak * scale for p, peak in board.peak.items()})
        assert mode.bandwidth_gbs <= board.bandwidth_gbs or mode.super
    if len(names) > 1:
        assert len({tuple(mode.peak.values()) for mode in board.power_modes}) > 1


def test_an_unknown_mode_or_board_is_refused_with_the_names() -> None:
    with pytest.raises(EdgeupError, match=r"power mode of Jetson Orin Nano 8 GB '10W'.*15W"):
        find_board("orin-nano-8gb").mode("10W")
    with pytest.raises(EdgeupError, match=r"unknown board 'orin-nano'.*orin-nano-8gb"):
        find_board("orin-nano")
    assert find_board("nano") is find_board("NANO-4GB")


def test_accelerators_are_where_they_are_and_run_with_what_drives_them() -> None:
    with_dla = {board.name: board.dla for board in all_boards() if board.dla is not None}
    assert {name: dla.cores for name, dla in with_dla.items()} == {
        "xavier-nx": 2,
        "agx-xavier": 2,
        "orin-nx-8gb": 1,
        "orin-nx-16gb": 2,
        "agx-orin-32gb": 2,
        "agx-orin-64gb": 2,
    }
    # 11.4 dense TOPS for both of Xavier's; 105 sparse for both of Orin's.
    assert 2 * with_dla["agx-xavier"].int8_tops_each == pytest.approx(11.4, rel=0.01)
    assert 4 * with_dla["agx-orin-64gb"].int8_tops_each == pytest.approx(105, rel=0.01)
    for version, agx, nx in (
        ((8, 5), True, True),
        ((10, 7), True, True),
        ((10, 16), False, False),
        ((11, 1), False, False),
        ((11, 4), True, False),
    ):
        assert with_dla["agx-orin-64gb"].runs_with(version) is agx
        assert with_dla["orin-nx-16gb"].runs_with(version) is nx


@pytest.mark.parametrize("name", ["boards.json", "targets.json"])
def test_every_figure_has_a_source_or_is_said_to_have_none(name: str) -> None:
    data = document(name)
    known = data["_sources"]
    entries = [
        entry
        for part, rows in data.items()
        if isinstance(rows, list) and part[0] != "_"
        for entry in rows
    ]
    assert len(entries) >= 12
    for entry in entries:
        where = entry.get("name") or entry["version"]
        uncertain = {fact.split(":")[0] for fact in entry["unverified"]}
        fields = set(entry) - {"name", "title", "version", "backend", "sources", "unverified"}
        assert uncertain <= fields, where
        for field in fields - {"power_modes"}:
            source = entry["sources"].get(field)
            if entry[field] is None and source is None:
                assert field in uncertain or field in ("api", "typing"), (where, field)
                continue
            assert source in known, (where, field)
            if source == "u":
                assert field in uncertain, (where, field)
        assert set(entry["sources"]) <= fields, where
        for mode in entry.get("power_modes", []):
            assert mode["source"] in known, (where, mode["name"])
            if mode["source"] == "u":
                assert "power_modes" in uncertain, (where, mode["name"])


def test_no_source_is_listed_in_vain() -> None:
    used = {
        key
        for board in document("boards.json")["boards"]
        for key in (*board["sources"].values(), *(m["source"] for m in board["power_modes"]))
    }
    assert used == set(sources())
