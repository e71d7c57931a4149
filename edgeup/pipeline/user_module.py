"""A user's own module: ``package.module:factory``."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeup.errors import EdgeupError, unknown
from edgeup.pipeline.subject import Subject, require_torch
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


SEEDED = (
    "{reference} draws random numbers when it is made (seed {seed}): unless it loads weights after "
    "that, they are random and the output means nothing; parity, latency, operators and sizes "
    "mean what they would with trained ones"
)


def user_subject(reference: str, shapes: Sequence[TensorSpec], seed: int = 0) -> Subject:
    """Import a module object, or a callable that returns one, and describe it.

    The current folder is importable, as it is for ``python -m``. The user's code is run, since
    that is what was asked for; torch's random state is as it was afterwards.

    Args:
        reference: ``package.module:name``.
        shapes: one per input of ``forward``.
        seed: of torch's generator while the module is made: the same seed, the same weights.

    Raises:
        EdgeupError: the reference does not lead to an ``nn.Module``, the user's code raised, or
            the shapes do not fit the parameters of ``forward``.
        MissingPackageError: torch is not installed.
    """
    require_torch("exporting a PyTorch module")
    from torch import nn

    from edgeup.models.cost import macs, parameters

    made, is_drawn = _resolve(reference, seed)
    if not isinstance(made, nn.Module):
        raise EdgeupError(
            f"{reference} gave a {type(made).__name__}, and an nn.Module was wanted: name a "
            f"module object, or a function without arguments that returns one"
        )
    inputs = _named(made, shapes, reference)
    name = reference.replace(":", ".").split(".")[-1]
    facts = {
        "decoder": None,
        "parameters": parameters(made),
        "macs": _from_user_code(reference, lambda: macs(made, inputs)),
        "weights": {"source": "module"},
    }
    return Subject(
        name=name,
        description=f"{type(made).__name__} of {reference}",
        module=made,
        inputs=inputs,
        output_names=None,
        facts=facts,
        notices=(SEEDED.format(reference=reference, seed=seed),) if is_drawn else (),
    )


def _resolve(reference: str, seed: int) -> tuple[Any, bool]:
    """What is named, and whether making it drew from torch's generator."""
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise EdgeupError(
            f"{reference!r} does not name a module: wanted package.module:name, where the name "
            f"is an nn.Module or a function without arguments that returns one"
        )
    with _importable_here(), _seeded(seed) as imports:
        imported = _from_user_code(reference, lambda: _import(module_name, reference))
        found: Any = imported
        for part in attribute.split("."):
            if not hasattr(found, part):
                names = [name for name in vars(imported) if not name.startswith("_")]
                raise unknown(f"name in {module_name}", attribute, names)
            found = getattr(found, part)
        from torch import nn

        if isinstance(found, nn.Module) or not callable(found):
            return found, imports.has_drawn()
        # Seeded anew: what an import draws is drawn once, however often the function is called.
        with _seeded(seed) as calls:
            return _from_user_code(reference, found), calls.has_drawn()


class _Generator:
    """Torch's own generator, since it was seeded."""

    def __init__(self) -> None:
        import torch

        self._seeded: torch.Tensor = torch.get_rng_state()

    def has_drawn(self) -> bool:
        import torch

        return not torch.equal(self._seeded, torch.get_rng_state())


@contextmanager
def _seeded(seed: int) -> Iterator[_Generator]:
    """Torch's generator seeded inside, and as it was after that."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield _Generator()


def _import(name: str, reference: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise EdgeupError(
            f"{reference}: there is no module {error.name}, neither in {Path.cwd()} nor installed"
        ) from error


@contextmanager
def _importable_here() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have rebuilt sys.path
            sys.path.remove(here)


def _from_user_code(reference: str, call: Callable[[], T]) -> T:
    """Call the user's code; what it raises becomes one line that names file and line."""
    try:
        return call()
    except EdgeupError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise EdgeupError(
            f"{reference} raised {type(error).__name__}: {str(error) or '(no message)'} "
            f"({frame.filename}:{frame.lineno})"
        ) from error


def _named(
    module: nn.Module, shapes: Sequence[TensorSpec], reference: str
) -> tuple[TensorSpec, ...]:
    """Inputs in the order of ``forward``, with its parameters' names where none were given."""
    if not shapes:
        raise EdgeupError(
            f"{reference} needs --shape, once per input of its forward: --shape 1x3x240x320"
        )
    parameters = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return tuple(
            replace(spec, name=spec.name or f"input_{index}") for index, spec in enumerate(shapes)
        )
    names = [parameter.name for parameter in parameters]
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    if not len(required) <= len(shapes) <= len(names):
        raise EdgeupError(
            f"{reference}: forward takes {', '.join(names)}, and {len(shapes)} "
            f"shape{'s were' if len(shapes) != 1 else ' was'} given; give one --shape per input"
        )
    given = [spec.name for spec in shapes if spec.name]
    matching = [name for name in given if name in names]
    if matching and (given != matching or len(set(given)) < len(shapes)):
        strange = [name for name in given if name not in names]
        raise EdgeupError(
            f"{reference}: forward takes {', '.join(names)}, and the shapes name "
            f"{', '.join(strange or given)}; name every input as forward does, or none"
        )
    if matching:
        by_name = {spec.name: spec for spec in shapes}
        order = [name for name in names if name in by_name]
        if order != names[: len(order)]:
            missing = next(name for name in names if name not in by_name)
            raise EdgeupError(f"{reference}: {missing} of forward has no --shape")
        return tuple(by_name[name] for name in order)
    return tuple(  # in the order of forward; other names than its own rename the graph's inputs
        replace(spec, name=spec.name or name)
        for spec, name in zip(shapes, names[: len(shapes)], strict=True)
    )
