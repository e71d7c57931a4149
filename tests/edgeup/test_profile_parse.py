from __future__ import annotations

import pytest

from edgeup.cli.profile_parse import parse_budget, parse_percents, parse_share, parse_warmup
from edgeup.errors import EdgeupError


def test_runs_or_time_or_both():
    default = parse_budget(None, None, None, None)
    assert (default.warmup_s, default.duration_s, default.min_rounds) == (0.2, 3.0, 10)
    assert default.max_rounds is None
    runs = parse_budget(None, None, 50, None)
    assert (runs.min_rounds, runs.max_rounds, runs.duration_s) == (50, 50, 0.0)
    both = parse_budget(None, None, 50, 1.5)
    assert (both.min_rounds, both.max_rounds, both.duration_s) == (50, None, 1.5)


def test_warm_up_in_either_unit_and_trtexecs_milliseconds():
    assert parse_warmup("200ms") == (0.2, 0)
    assert parse_warmup("2s") == (2.0, 0)
    assert parse_warmup("20it") == (0.0, 20)
    assert parse_budget(None, 500.0, None, None).warmup_s == 0.5
    assert parse_budget("20it", None, None, None).warmup_rounds == 20
    long = parse_budget("60s", None, None, None)
    assert long.warmup_limit_s > 60


@pytest.mark.parametrize("text", ["20", "ms", "-1ms", "1.5it", "200 m", "1e3ms", "", "nanms"])
def test_other_warm_ups_are_refused(text):
    with pytest.raises(EdgeupError, match="wanted a time or runs"):
        parse_warmup(text)


def test_percentiles():
    assert parse_percents(["50,90", "99.9,90"]) == (50.0, 90.0, 99.9)
    for text in ("100", "0", "00.0", "p99", "", "-5", "1e1"):
        with pytest.raises(EdgeupError, match="between 0 and 100"):
            parse_percents([text])


def test_shares():
    assert parse_share("5%") == 0.05
    assert parse_share("0.5 %") == 0.005
    for text in ("5", "0.05", "-5%", "%"):
        with pytest.raises(EdgeupError, match="wanted a share"):
            parse_share(text)
