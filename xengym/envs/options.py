"""Options of ``reset``: what an environment does not know is an error, and not let be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def known_options(options: dict[str, Any] | None, known: Sequence[str]) -> dict[str, Any]:
    """The options that were given.

    Raises:
        ValueError: one of them is none of ``known``.
    """
    options = options or {}
    unknown = set(options) - set(known)
    if unknown:
        raise ValueError(f"reset: unknown option {', '.join(sorted(unknown))}; expected {' or '.join(known)}")
    return options
