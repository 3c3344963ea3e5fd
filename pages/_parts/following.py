"""Work that tells what it knows by and by, kept beside a page while no script runs."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any

import engine

EVERY = 0.4
"""Seconds between what the browser is told while such work goes on."""
AT_FIRST = 0.6
"""Seconds that a page waits for work it has begun: most on small models ends in that."""


@dataclass
class Following:
    """Work as it was asked for, and what of it is known. `failed`: why it ended."""

    asked: Any
    going: engine.Sweeping | engine.Discovering | None
    found: Any = None
    failed: str = ""

    def follow(self, seconds: float = 0.0) -> None:
        """Take over what has come since, and what comes within so many seconds."""
        if self.going is None:
            return
        until = monotonic() + seconds
        try:
            for found in self.going.within(min(seconds, EVERY)):
                self.found = found or self.found
                if monotonic() >= until and found is None:
                    return
        except engine.EngineError as wrong:
            self.failed = str(wrong)
        self.going = None

    def cancel(self) -> None:
        """Call it off, if it still runs."""
        if self.going is not None:
            self.going.cancel()
