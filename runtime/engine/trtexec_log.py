"""What trtexec says on its output: its version, its verdict, its errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgeup.runtime.engine.request import BuildError

_BANNER = re.compile(
    r"^&&&& (?P<state>\w+) TensorRT\.trtexec \[TensorRT v(?P<number>\d+)\]", re.MULTILINE
)
_LINE = re.compile(r"^\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] \[(?P<level>[EWIV])\] (?P<text>.*)$")


@dataclass(frozen=True)
class Log:
    """trtexec's output, read.

    Attributes:
        version: of TensorRT: major, minor, patch; None without the banner.
        passed: trtexec's own verdict; None where it stopped before giving one.
        errors: as lines, in order.
        warnings: as lines, in order, each once.
    """

    version: tuple[int, int, int] | None
    passed: bool | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def parse_log(text: str) -> Log:
    """Read what trtexec printed to stdout and stderr."""
    banners = list(_BANNER.finditer(text))
    verdicts = [banner["state"] for banner in banners if banner["state"] in ("PASSED", "FAILED")]
    lines = [match for line in text.splitlines() if (match := _LINE.match(line))]

    def said(level: str) -> tuple[str, ...]:
        texts = (" ".join(line["text"].split()) for line in lines if line["level"] == level)
        return tuple(dict.fromkeys(text for text in texts if text))

    return Log(
        version=version_of(banners[0]["number"]) if banners else None,
        passed=verdicts[-1] == "PASSED" if verdicts else None,
        errors=said("E"),
        warnings=said("W"),
    )


def version_of(number: str) -> tuple[int, int, int]:
    """``8502`` is 8.5.2, ``8510`` is 8.5.10; from 10.0 on, minor has two digits: ``100300``."""
    value = int(number)
    minor_digits = 100 if value >= 10000 else 10
    rest, patch = divmod(value, 100)
    major, minor = divmod(rest, minor_digits)
    return major, minor, patch


def build_errors(text: str) -> tuple[BuildError, ...]:
    """Why trtexec made no engine: the parser's reason with its node, or the builder's words.

    The parser's message follows the dump of the node that it stumbled over, which holds lines
    ``name: "..."`` and ``op_type: "..."``.
    """
    log = parse_log(text)
    node = re.findall(r'^name: "(.*)"$', text, re.MULTILINE)
    op = re.findall(r'^op_type: "(.*)"$', text, re.MULTILINE)
    # "[6] Invalid Node - Resize_3" stands on a line of its own; its reason on the next.
    invalid = re.search(r"^\[\d+\] (.+?)(?: - (\S+))?$(?:\n(?!\[\d\d/)(.+)$)?", text, re.MULTILINE)
    if op and invalid:
        reason = " ".join(filter(None, (invalid[3] or invalid[1],)))
        code = invalid[1].upper().replace(" ", "_") if invalid[3] else ""
        return (BuildError("parser", reason, invalid[2] or (node or [""])[-1], op[-1], code),)
    stage: Literal["parser", "builder"] = (
        "parser" if "Failed to parse onnx file" in text else "builder"
    )
    own = [line for line in log.errors if not _FOLLOW_UP.match(line)]
    return tuple(BuildError(stage, line) for line in own or log.errors)


_FOLLOW_UP = re.compile(
    r"(Engine could not be created|Building engine failed|Parsing model failed|Engine set up "
    r"failed|Failed to create engine|Failed to parse onnx file)"
)
"""What trtexec adds after the cause."""
