"""What an entry of the table of networks is made of. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from edgeup.errors import EdgeupError, unknown

Settings: TypeAlias = Mapping[str, Any]
"""What a factory gets: ``decoder``, ``encoder`` and the options, by keyword."""

Fits: TypeAlias = Callable[[int, Settings], "str | None"]
"""Whether a height or width comes out of the wiring whole: None, or the reason why not."""


def positive_integer(text: str) -> int:
    """An integer of at least 1.

    Raises:
        ValueError: it is none; the text says what is wanted.
    """
    return _integer(text, 1, "a whole number above 0")


def natural_number(text: str) -> int:
    """An integer of at least 0.

    Raises:
        ValueError: it is none; the text says what is wanted.
    """
    return _integer(text, 0, "a whole number, 0 or above")


def _integer(text: str, least: int, wanted: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise ValueError(wanted)
    return int(text)


def positive_number(text: str) -> float:
    """A finite number above 0.

    Raises:
        ValueError: it is none; the text says what is wanted.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError("a number above 0")
    return number


@dataclass(frozen=True)
class Option:
    """A setting of a network.

    Attributes:
        default: its value where the user gave none, as a user would write it.
        choices: the values that there are; None where ``parse`` decides.
        help: one line.
        parse: from text to what the factory takes; ValueError says what is wanted.
    """

    default: str
    choices: tuple[str, ...] | None
    help: str
    parse: Callable[[str], Any] = str

    def read(self, name: str, text: str) -> Any:
        """The value of ``text``.

        Args:
            name: the option's name, for the error line.
            text: as a user wrote it.

        Raises:
            EdgeupError: not one of the choices, or not what ``parse`` takes.
        """
        if self.choices is not None and text not in self.choices:
            raise unknown(name, text, self.choices)
        try:
            return self.parse(text)
        except ValueError as error:
            raise EdgeupError(f"{name} is {text!r}; give {error}") from error


@dataclass(frozen=True)
class Network:
    """A network by name, and how to build it.

    Attributes:
        name: lower case, as a user types it.
        title: one line.
        paper: where it was published.
        input_name: the graph input's name.
        input_shape: the published one; all but channels and rank may differ.
        output_names: the graph outputs' names, in order.
        factory: ``module:function``; it takes the settings by keyword.
        fits: says which heights and widths work; it sees each by itself.
        decoders: what ``decoder`` may be, the default first; empty where there is no choice.
        encoders: the same for ``encoder``.
        options: the other settings by name (``-`` becomes ``_`` in the keyword).
        default_decoder: where the default depends on the other settings: which it is.
    """

    name: str
    title: str
    paper: str
    input_name: str
    input_shape: tuple[int, ...]
    output_names: tuple[str, ...]
    factory: str
    fits: Fits
    decoders: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    default_decoder: Callable[[Settings], str] | None = None

    def settings(
        self, decoder: str | None, encoder: str | None, options: Mapping[str, str]
    ) -> dict[str, Any]:
        """The factory's keywords, from what a user gave and the defaults.

        Raises:
            EdgeupError: a name or value that there is not, or a choice where there is none.
        """
        for option in options:
            if option not in self.options:
                raise unknown(f"option of {self.name}", option, self.options)
        chosen: dict[str, Any] = {
            name.replace("-", "_"): option.read(name, options.get(name, option.default))
            for name, option in self.options.items()
        }
        if encoder is not None or self.encoders:
            chosen["encoder"] = self._pick("encoder", encoder, self.encoders)
        if decoder is None and self.default_decoder is not None:
            decoder = self.default_decoder(chosen)
        if decoder is not None or self.decoders:
            chosen["decoder"] = self._pick("decoder", decoder, self.decoders)
        return chosen

    def _pick(self, kind: str, got: str | None, known: tuple[str, ...]) -> str:
        if not known:
            raise EdgeupError(f"{self.name} has no choice of {kind}, got {got!r}; leave it out")
        if got is not None and got not in known:
            raise unknown(f"{kind} of {self.name}", got, known)
        return known[0] if got is None else got
