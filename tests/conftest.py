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


@pytest.fixture(scope="session")
def builds_for_rtx() -> Callable[[Any], str]:
    """Parse and build a model with TensorRT for RTX; the answer is empty, or what it refuses."""
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed")
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)

    def build(model: Any) -> str:
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model.SerializeToString()):
            errors = (parser.get_error(i).desc() for i in range(parser.num_errors))
            return "; ".join(errors) or "refused"
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        profile = builder.create_optimization_profile()
        for given in (network.get_input(i) for i in range(network.num_inputs)):
            if given.is_shape_tensor:  # each element of a shape: 1 to 64
                length = given.shape[0]
                profile.set_shape_input(given.name, [1] * length, [8] * length, [64] * length)
            elif -1 in given.shape:
                least, most = ([n if d == -1 else d for d in given.shape] for n in (1, 4))
                profile.set_shape(given.name, least, most, most)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        return "" if plan is not None else "does not build"

    return build
