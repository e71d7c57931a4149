"""Fixtures that several parts share."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

# Tests run small networks, where a second thread of torch costs more than it brings, and on
# two cores that other work shares it costs several times more. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True)
class Ran:
    """What a run of the command line gave."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout; fails if anything else is there."""
        return json.loads(self.out)


@pytest.fixture
def edgeup(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line in this process, with stdout and stderr caught at their descriptors."""
    from edgeup.cli.main import main

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(status, captured.out, captured.err)

    return run
