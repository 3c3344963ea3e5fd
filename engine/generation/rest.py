"""How much of many prompts' texts is done, in time: a step reads a prompt's tokens at once, or one
token of each row, and what a token takes differs by a lot between the two."""

from __future__ import annotations

import time

_FIRST_RATIO = 2.0
"""What a token read by itself is taken to last, in tokens of a prompt, until one was."""


class Rest:
    """The tokens that are left to read, `prompts` together and `singles` one by one, and the
    seconds they take at the pace so far."""

    def __init__(self, prompts: int, singles: int) -> None:
        self.left = (prompts, singles)
        """Tokens of the two kinds; set anew where a batch ends early or is begun again."""
        self._done, self._seconds = [0, 0], [0.0, 0.0]
        self._began = self._last = time.monotonic()

    def read(self, n: int, one_by_one: bool) -> None:
        """So many tokens were read since the last time."""
        now, kind = time.monotonic(), int(one_by_one)
        self._done[kind] += n
        self._seconds[kind] += now - self._last
        self._last = now
        left = list(self.left)
        left[kind] = max(0, left[kind] - n)
        self.left = (left[0], left[1])

    def wait(self) -> None:
        """Something else was done since the last time, as before a first prompt is read."""
        self._last = time.monotonic()

    @property
    def share(self) -> float:
        """How much is done, 0 to 1, in seconds: what was spent, over that and what is to come."""
        each = [s / n if n else None for s, n in zip(self._seconds, self._done, strict=True)]
        prompt = each[0] or 0.0
        single = each[1] if each[1] is not None else _FIRST_RATIO * prompt
        spent = self._last - self._began
        total = spent + prompt * self.left[0] + single * self.left[1]
        return spent / total if total else 0.0
