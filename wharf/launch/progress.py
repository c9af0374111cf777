"""Lines of progress, which go beside a command's results."""

from __future__ import annotations

import sys
from collections.abc import Callable

Say = Callable[[str], None]


def say(text: str) -> None:
    """One line of progress; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)
