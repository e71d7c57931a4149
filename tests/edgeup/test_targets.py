"""Targets: the facts are complete, agree with onnx's own table, and refusals say what to do."""

import jsonschema
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeup.boards import all_boards
from edgeup.errors import EdgeupError
from edgeup.report import schema
from edgeup.targets import (
    OLDEST_OPSET,
    all_targets,
    default_target,
    find_target,
    ir_version_of,
    sources,
)


def test_every_ir_version_is_the_one_onnx_published_with_the_opset() -> None:
    published: dict[int, int] = {}
    for _, ir_version, opset, *_ in onnx.helper.VERSION_TABLE:
        published.setdefault(opset, ir_version)
    for opset in range(OLDEST_OPSET, 25):
        assert ir_version_of(opset) == published[opset]
    for target in all_targets():
        assert target.ir_version == published[target.opset], target.name


def test_every_target_cites_known_sources_and_writes_what_it_reads() -> None:
    names = [target.name for target in all_targets()]
    assert len(set(names)) == len(names) >= 20
    for target in all_targets():
        assert target.sources
        assert set(target.sources.values()) <= set(sources())
        assert OLDEST_OPSET <= target.opset <= target.opset_max
        if target.l4t is None and target.jetpack is not None:
            assert "l4t" in target.unverified
    cited = {key for target in all_targets() for key in target.sources.values()}
    assert cited == set(sources())


@pytest.mark.parametrize(
    ("name", "tensorrt", "opset", "ir_version"),
    [
        ("trt-8.0", "8.0", 13, 7),
        ("trt-8.6", "8.6", 17, 8),
        ("trt-9.3", "9.3", 19, 9),
        ("trt-10.3", "10.3", 20, 9),
        ("trt-11.1", "11.1", 20, 9),
        ("nano", "8.2.1", 13, 7),
        ("orin-nano-8gb", "10.16.2", 20, 9),
        ("orin-nano-8gb@6.2", "10.3.0", 20, 9),
        ("Orin-Nano-8GB@JetPack-6.2", "10.3.0", 20, 9),
        ("agx-orin-64gb@trt-11.4", "11.4", 20, 9),
        ("jetpack-5.0", "8.4.0", 13, 7),
        ("jetpack-4.6", "8.0.1", 13, 7),
        ("jetpack-4.6.6", "8.2.1", 13, 7),
        ("jetpack-5.1.2", "8.5.2", 17, 8),
        ("jetpack-6.0", "8.6.2", 17, 8),
        ("jetpack-6.2", "10.3.0", 20, 9),
        ("jetpack-7.2", "10.16.2", 20, 9),
        ("cpu", None, 20, 9),
        ("rtx", None, 20, 9),
    ],
)
def test_a_target_holds_its_tensorrt_opset_and_ir_version(
    name: str, tensorrt: str | None, opset: int, ir_version: int
) -> None:
    target = find_target(name)
    assert (target.tensorrt, target.opset, target.ir_version) == (tensorrt, opset, ir_version)


def test_the_default_target_exists() -> None:
    assert find_target(default_target()).name == "jetpack-6.2"


def test_an_unknown_target_is_refused_with_near_names() -> None:
    with pytest.raises(EdgeupError, match=r"unknown target 'jetpack-6\.3'.*jetpack-6\.2"):
        find_target("jetpack-6.3")


def test_a_users_opset_must_be_within_reach() -> None:
    old = find_target("jetpack-5.1.2")
    assert old.choose_opset(None) == (17, 8)
    assert old.choose_opset(13) == (13, 7)
    for wanted in (12, 18):
        with pytest.raises(EdgeupError, match=f"opset {wanted} is out of reach"):
            old.choose_opset(wanted)


JETPACKS = [
    *("4.6", "4.6.1", "4.6.2", "4.6.3", "4.6.4", "4.6.5", "4.6.6"),
    *("5.0", "5.0.2", "5.1", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.5", "5.1.6"),
    *("6.0", "6.1", "6.2", "6.2.1", "6.2.2", "7.0", "7.1", "7.2"),
]
XAVIER = ("4.6", "5.1.6")
# First and last JetPack of each board, from the release notes; 7.0 and 7.1 were for Thor alone.
FIRST_AND_LAST = {
    "nano-4gb": ("4.6", "4.6.6"),
    "tx2": ("4.6", "4.6.6"),
    "xavier-nx": XAVIER,
    "agx-xavier": XAVIER,
    "agx-orin-64gb": ("5.0", "7.2"),
    "agx-orin-32gb": ("5.0.2", "7.2"),
    "orin-nx-16gb": ("5.1", "7.2"),
    "orin-nx-8gb": ("5.1.1", "7.2"),
    "orin-nano-4gb": ("5.1.1", "7.2"),
    "orin-nano-8gb": ("5.1.1", "7.2"),
    "thor-t5000": ("7.0", "7.2"),
    "thor-t4000": ("7.1", "7.2"),
}


@pytest.mark.parametrize("board", FIRST_AND_LAST)
def test_a_board_runs_its_jetpacks_and_no_other(board: str) -> None:
    first, last = map(JETPACKS.index, FIRST_AND_LAST[board])
    runs = [
        jetpack
        for jetpack in JETPACKS[first : last + 1]
        if "orin" not in board or jetpack not in ("7.0", "7.1")
    ]
    for jetpack in JETPACKS:
        name = f"{board}@{jetpack}"
        if jetpack in runs:
            target = find_target(name)
            alone = find_target(f"jetpack-{jetpack}")
            assert (target.name, target.jetpack, target.tensorrt) == (name, jetpack, alone.tensorrt)
            assert target.board is not None
            assert target.board.name == board
            assert board in alone.boards
        else:
            with pytest.raises(EdgeupError) as refusal:
                find_target(name)
            assert f"does not run JetPack {jetpack}: it runs JetPack" in str(refusal.value)
            assert str(refusal.value).endswith(f"JetPack {', '.join(runs)}")
    assert find_target(board).jetpack == runs[-1]


def test_the_jetpacks_are_all_there() -> None:
    named = [target.jetpack for target in all_targets() if target.name.startswith("jetpack-")]
    assert named == JETPACKS
    assert {board.name for board in all_boards()} == set(FIRST_AND_LAST)


@pytest.mark.parametrize(
    ("board", "versions"),
    [
        ("nano-4gb", "8.0 8.2"),
        ("agx-xavier", "8.0 8.2 8.4 8.5"),
        ("orin-nano-8gb", "8.5 8.6 10.1 10.3 10.7 10.16"),
        ("agx-orin-64gb", "8.4 8.5 8.6 10.1 10.3 10.7 10.16 11.4"),
        ("thor-t5000", "10.13 10.16 11.4"),
    ],
)
def test_a_board_runs_the_tensorrts_that_exist_for_it(board: str, versions: str) -> None:
    known = [t.tensorrt for t in all_targets() if t.name.startswith("trt-") and t.tensorrt]
    assert len(known) >= 18
    for version in known:
        if version in versions.split():
            target = find_target(f"{board}@trt-{version}")
            assert (target.tensorrt, target.jetpack, target.boards) == (version, None, (board,))
        else:
            with pytest.raises(EdgeupError, match=rf"TensorRT {version}: .*{versions.split()[-1]}"):
                find_target(f"{board}@trt-{version}")


@pytest.mark.parametrize(
    ("got", "near"),
    [
        ("orin-nano", "orin-nano-8gb"),
        ("thor", "thor-t5000"),
        ("Thor-5000", "thor-t5000"),
        ("6.2", "jetpack-6.2"),
        ("trt-10.5", "trt-10.3"),
        ("trt-10.3.0.30", "trt-10.3"),
        ("jetson-orin-nano", "orin-nano-8gb"),
        ("orin-nan-8gb@6.2", "orin-nano-8gb"),
        ("", "orin-nano-8gb"),
    ],
)
def test_a_near_miss_is_refused_with_the_right_name(got: str, near: str) -> None:
    with pytest.raises(EdgeupError) as refusal:
        find_target(got)
    assert f"{got.split('@')[0]!r}" in str(refusal.value)
    assert near in str(refusal.value)
    assert len(str(refusal.value)) < 250


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="orintxna-@.0123456789 \x00é", max_size=30))
@example("@")
@example("orin-nano-8gb@")
@example("orin-nano-8gb@trt-")
@example("orin-nano-8gb@6.2@6.2")
def test_any_text_is_a_target_or_one_line(text: str) -> None:
    try:
        answer = find_target(text).name
        assert answer.startswith(text.split("@")[0])
    except EdgeupError as error:
        answer = str(error)
    assert len(answer.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "api", "strong_only", "has_strong"),
    [
        ("jetpack-4.6.6", "bindings", False, False),
        ("jetpack-5.0.2", "bindings", False, False),
        ("jetpack-5.1.2", "both", False, False),
        ("jetpack-6.0", "both", False, False),
        ("jetpack-6.2", "names", False, True),
        ("jetpack-7.2", "names", False, True),
        ("trt-11.0", "names", True, True),
        ("rtx", "names", True, True),
        ("cpu", None, False, False),
    ],
)
def test_api_and_typing_follow_from_the_tensorrt(
    name: str, api: str | None, strong_only: bool, has_strong: bool
) -> None:
    target = find_target(name)
    assert target.api == api
    assert (target.strongly_typed_only, target.has_strong_typing) == (strong_only, has_strong)


def test_versions_are_numbers() -> None:
    assert find_target("jetpack-7.2").version == (10, 16)
    assert find_target("trt-10.3").version == (10, 3)
    assert find_target("rtx").version is None
    tensorrts = [t.version for t in all_targets() if t.name.startswith("trt-")]
    assert all(version is not None for version in tensorrts)
    assert tensorrts == sorted(tensorrts, key=lambda version: version or (0, 0))


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("nano", "fp16", "int8"),
        ("jetpack-4.6.6", "int8", "bf16"),
        ("agx-xavier", "int8", "tf32"),
        ("jetpack-6.0", "int8", "bf16"),
        ("orin-nano-8gb@6.2", "bf16", "fp8"),
        ("jetpack-6.2", "bf16", "fp8"),
        ("thor-t5000", "fp4", "int4"),
        ("trt-10.3", "fp8", "fp4"),
        ("rtx", "bf16", "int8"),
        ("cpu", "fp16", "bf16"),
    ],
)
def test_precisions_are_what_tensorrt_takes_and_the_board_runs(
    name: str, has: str, lacks: str
) -> None:
    precisions = find_target(name).precisions
    assert "fp32" in precisions
    assert has in precisions
    assert lacks not in precisions


def test_accelerators_depend_on_board_and_tensorrt() -> None:
    dla = find_target("orin-nx-16gb@6.2").dla
    assert dla is not None
    assert dla.cores == 2
    assert find_target("orin-nx-16gb").dla is None  # TensorRT 10.16 does not drive it
    assert find_target("agx-orin-64gb@trt-11.4").dla is not None
    assert find_target("orin-nano-8gb@6.2").dla is None
    assert find_target("jetpack-6.2").dla is None


def test_what_a_report_holds_of_a_target_follows_its_schema() -> None:
    part = schema()["properties"]["target"]
    for target in all_targets():
        jsonschema.validate(target.to_json(), part)
    document = find_target("orin-nano-8gb@6.2").to_json()
    assert (document["board"], document["compute_capability"]) == ("orin-nano-8gb", [8, 7])
    assert find_target("jetpack-6.2").to_json()["board"] is None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "board": {}}, part)
