"""Names, presets and refusals of the FastDepth catalogue."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeup.errors import EdgeupError
from edgeup.models.catalog import (
    DECODERS,
    ENCODERS,
    PRESETS,
    SKIPS,
    FastDepthConfig,
    check_input_size,
    default_decoder,
    validate,
)

PRUNED = PRESETS["mobilenet-nnconv5dw-skipadd-pruned"]


def accepted(config: FastDepthConfig) -> bool:
    try:
        validate(config)
    except EdgeupError:
        return False
    return True


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from edgeup.models.catalog import DECODERS, FastDepthConfig, validate\n"
        "validate(FastDepthConfig()); print(len(DECODERS))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "34\n"


def test_the_34_decoders_of_fastdepth() -> None:
    ladders = product(("deconv", "nnconv", "blconv", "shuffle"), "3579", ("", "dw"))
    assert set(DECODERS) == {"".join(parts) for parts in ladders} | {"upconv", "upproj"}
    assert len({decoder.description for decoder in DECODERS.values()}) == 34


@pytest.mark.parametrize("table", [DECODERS, ENCODERS])
def test_entries_stand_under_their_own_names(table: dict[str, object]) -> None:
    assert all(getattr(entry, "name", None) == name for name, entry in table.items())


def test_presets_are_valid_and_bear_the_names_of_the_published_files() -> None:
    for name, config in PRESETS.items():
        validate(config)
        assert config.name == name


def test_valid_combinations_have_different_names() -> None:
    configs = [FastDepthConfig(*names) for names in product(ENCODERS, DECODERS, SKIPS)]
    names = [config.name for config in configs if accepted(config)]
    # Every encoder with every decoder, and two skips of mobilenet, resnet18 and resnet34.
    assert len(names) == len(set(names)) == 6 * 34 + 2 * 3


def test_widths_show_in_the_name() -> None:
    narrow = FastDepthConfig(decoder_widths=(64, 32, 16, 8, 4))
    assert narrow.name == "mobilenet-nnconv5-custom"
    assert FastDepthConfig(decoder_widths=(512, 256, 128, 64, 32)).name == "mobilenet-nnconv5"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (FastDepthConfig(decoder="nnconv4"), "unknown decoder 'nnconv4': did you mean nnconv"),
        (FastDepthConfig(encoder="resnet8"), "unknown encoder 'resnet8': did you mean resnet18"),
        (FastDepthConfig(skip="sum"), "unknown skip 'sum': there is none, add, concat"),
        (
            FastDepthConfig(decoder="nnconv5", skip="add"),
            "skip 'add' with mobilenet has wiring for decoder nnconv5dw only, got nnconv5;",
        ),
        (
            FastDepthConfig("resnet18", "nnconv5dw", "concat"),
            "skip 'concat' with resnet18 has wiring for decoder nnconv5 only, got nnconv5dw;",
        ),
        (
            FastDepthConfig("resnet50", "nnconv5", "add"),
            "skip 'add' has no wiring for resnet50, whose maps are four times as wide",
        ),
        (
            FastDepthConfig("resnet18", encoder_widths=PRUNED.encoder_widths),
            "encoder widths can be set for mobilenet only, got resnet18",
        ),
        (
            FastDepthConfig("resnet18", skip="add", decoder_widths=PRUNED.decoder_widths),
            "decoder widths of resnet18 with skip 'add' are fixed",
        ),
        (
            FastDepthConfig(decoder="shuffle5", encoder_widths=PRUNED.encoder_widths),
            "widths of shuffle5 are fixed: five pixel shuffles turn 1024 channels into one",
        ),
        (
            FastDepthConfig(decoder_widths=(8, 8)),
            "decoder widths are 5 positive numbers, got (8, 8)",
        ),
        (
            FastDepthConfig(encoder_widths=(8,) * 13 + (0,)),
            "encoder widths are 14 positive numbers, got (8,",
        ),
        (
            FastDepthConfig("mobilenet", "nnconv5dw", "add", PRUNED.encoder_widths),
            "skip 'add' adds conv3 (120 channels) to decoder stage 3 (128 channels);",
        ),
    ],
)
def test_what_is_not_a_network_is_refused(config: FastDepthConfig, reason: str) -> None:
    with pytest.raises(EdgeupError, match=re.escape(reason)) as refusal:
        validate(config)
    assert "\n" not in str(refusal.value)


def test_concatenated_widths_need_not_be_equal() -> None:
    validate(FastDepthConfig("mobilenet", "nnconv5dw", "concat", PRUNED.encoder_widths))


@pytest.mark.parametrize("encoder", ["mobilenet", "resnet18", "resnet34"])
@pytest.mark.parametrize("skip", SKIPS)
def test_the_default_decoder_has_the_wiring(encoder: str, skip: str) -> None:
    validate(FastDepthConfig(encoder, default_decoder(encoder, skip), skip))


def test_without_skips_the_default_decoder_is_nnconv5() -> None:
    assert {default_decoder(encoder) for encoder in ENCODERS} == {"nnconv5"}


def test_the_nearest_sizes_are_listed() -> None:
    check_input_size(224, 320)
    with pytest.raises(EdgeupError, match=r"nearest are 224x288, 224x320, 256x288, 256x320$"):
        check_input_size(228, 304)
    with pytest.raises(EdgeupError, match=r"nearest are 224x32$"):
        check_input_size(224, 20)


@given(st.integers(-5, 700), st.integers(-5, 700))
def test_listed_sizes_are_accepted_and_near(height: int, width: int) -> None:
    try:
        check_input_size(height, width)
    except EdgeupError as refusal:
        _, _, listed = str(refusal).partition("the nearest are ")
        sizes = [tuple(map(int, size.split("x"))) for size in listed.split(", ")]
        assert sizes
        for near_height, near_width in sizes:
            check_input_size(near_height, near_width)
            assert abs(near_height - height) < 38
            assert abs(near_width - width) < 38
    else:
        assert height > 0
        assert width > 0
        assert height % 32 == width % 32 == 0
