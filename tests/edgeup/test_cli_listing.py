"""`edgeup list`, `edgeup doctor`: complete, true, and without torch."""

import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("kind", "count", "name"),
    [
        ("models", 17, "fcrn"),
        ("decoders", 34, "nnconv5"),
        ("upsamplers", 28, "fast-upconv"),
        ("targets", 56, "jetpack-6.2"),
    ],
)
def test_every_list_names_what_there_is(edgeup: Callable, kind: str, count: int, name: str) -> None:
    ran = edgeup("list", kind, "--format", "json")
    assert ran.status == 0
    rows = ran.json[kind]
    assert len(rows) == count
    text = edgeup("list", kind)
    assert text.status == 0
    assert max(len(line.rstrip()) for line in text.out.splitlines()) <= 80
    for row in rows:
        assert row["name"][:20] in text.out
    assert name in {row["name"] for row in rows}


def test_the_list_of_targets_shows_each_board_with_its_power_modes(edgeup: Callable) -> None:
    document = edgeup("list", "targets", "--format", "json").json
    assert [row["name"] for row in document["targets"] if row["default"]] == ["jetpack-6.2"]
    assert len(document["boards"]) == 12
    text = edgeup("list", "targets").out
    assert "jetpack-6.2  (default)" in text
    for board in document["boards"]:
        about = text.split(f"\n{board['name']}  ")[1].split("\n\n")[0]
        modes = {line.split()[0]: line.split() for line in about.splitlines()[1:]}
        for mode in board["power_modes"]:
            assert mode["name"] in modes
            assert mode["bandwidth_gbs"] > 20
        default = next(m for m in board["power_modes"] if m["name"] == board["default_mode"])
        sms, mhz = str(default["sms"]), default["gpu_mhz"]
        assert modes[default["name"]][2:4] == [sms, "-" if mhz is None else f"{mhz:.0f}"]
        assert set(board["sources"].values()) <= set(document["sources"])
    orin = text.split("\norin-nano-8gb  ")[1].split("\n\n")[0]
    assert "JetPack 5.1.1 to 6.2.2, 7.2" in orin
    assert "15W (default)                 8    625   68.3   1.28   10.2   20.5" in orin


def test_the_default_target_is_in_the_help(edgeup: Callable) -> None:
    for verb in ("export", "compare"):
        assert "jetpack-6.2" in edgeup(verb, "--help").out


def test_an_impossible_target_is_one_line(edgeup: Callable) -> None:
    ran = edgeup("export", "--decoder", "nnconv5", "--target", "thor-t5000@6.2")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert "Thor T5000 does not run JetPack 6.2: it runs JetPack 7.0, 7.1, 7.2" in ran.err


def test_an_unknown_list_is_refused(edgeup: Callable) -> None:
    ran = edgeup("list", "networks")
    assert ran.status == 2
    assert "'networks'" in ran.err


def test_a_list_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from edgeup.cli.main import main\n"
        "raise SystemExit(max(main(['list', k]) for k in ('models', 'decoders', 'upsamplers')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_torch_an_export_says_how_to_get_it() -> None:
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a)\n"
        "from edgeup.cli.main import main\n"
        "raise SystemExit(main(['export', '--decoder', 'nnconv5']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'edgeup[torch]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_doctor_shows_commands_in_full(edgeup: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeup.runtime import environment

    real = environment.installed

    def without_torch(folders: object) -> dict[str, str]:
        return {name: version for name, version in real(folders).items() if name != "torch"}

    monkeypatch.setattr(environment, "installed", without_torch)
    ran = edgeup("doctor")
    assert ran.status == 0
    assert "pip install 'edgeup[torch]'" in ran.out
    as_json = edgeup("doctor", "--format", "json").json
    assert as_json["environment"]["edgeup"]
    assert any("torch" in finding["what"] for finding in as_json["findings"])
