"""How many digits a number needs, where another one stands beside it."""

from __future__ import annotations


def shortest(value: float, beside: float | None, digits: int) -> str:
    """``value`` in so many significant digits, or in as many more as show which is greater."""
    most = 17  # tell any two floats apart
    for more in range(digits, most):
        text = f"{value:.{more}g}"
        shown = float(text)
        if beside is None or beside == value:
            return text
        if shown != beside and (shown > beside) == (value > beside):
            return text
    return f"{value:.{most}g}"
