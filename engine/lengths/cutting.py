"""A prompt's sequence found in its text, and the prompt cut so that it shows fewer terms.

A term is a word, or, where a prompt has no white space, what commas or semicolons part; punctuation
behind it is none of it. The sequence is that which ends where the answer goes on: words with the
same separator between them, which are numerals, or of one of the families' lists, or of whatever
kind where the separator is more than a space or the distractor is the last of them ("un deux
trois", distractor " trois"). A word that is a style's separator, as "then", and ends the prompt is
no term. Or it is the last word of each of several clauses that share words and
of which the last is unfinished ("Van done in 1. Hat done in 2. Ring done in"). What stands before
the first term stays. A frame of words is told from terms that are words by its separator alone:
"Months: May June", but not "months May June" where neither is of a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from ..errors import NoSequence
from ..tasks.families import LADDERS
from ..tasks.pairs import Pair
from ..tasks.styles import STYLES

_LEAD = re.compile(r"[\s,;]*")
_JOINING = frozenset(style.behind.strip() for style in STYLES.values()) - {""}
_LISTED = tuple(
    frozenset(term.casefold() for term in ladder.run(0, 60))
    for ladder in LADDERS.values()
    if not ladder.counted
)


@dataclass(frozen=True)
class _Word:
    """Where a word begins and ends in a text, `stop` without the punctuation behind it."""

    start: int
    stop: int
    end: int


@dataclass(frozen=True)
class Sequence:
    """The sequence of a pair's prompt: what can be shown of it, 1 to `len` terms.

    `terms`: where each begins and ends in the prompt. `lead`: what stands in front of the answer
    and belongs to it, as a space; `begun`: whether the prompt holds the beginning of the next term,
    or the whole of what parts it from the last.
    """

    pair: Pair
    terms: tuple[tuple[int, int], ...]
    lead: str
    begun: bool

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def has_own_distractor(self) -> bool:
        """Whether the pair's distractor is another than the last term shown."""
        start, stop = self.terms[-1]
        own, text = self.pair.distractor, self.pair.prompt
        last = text[start:stop]
        return bool(own) and not last.endswith(own[len(_lead(own)) :])

    def showing(self, n: int, shared: str = "") -> Pair:
        """The pair as it is with n terms shown: the prompt up to the next term, that term as the
        answer, and as distractor the last one shown, as the families have it; whole, the pair as it
        stands. `shared`: what answer and distractor both begin with, put at the prompts' ends."""
        if n == len(self):
            return self.pair
        text, skipped = self.pair.prompt, len(shared)
        (start, stop), (last, last_stop) = self.terms[n], self.terms[n - 1]
        end = start - len(self.lead)
        distractor = self.lead + text[last:last_stop] if self.pair.distractor else ""
        return Pair(
            text[:end] + shared,
            self.cut(self.pair.corrupted, n, shared),
            text[end:stop][skipped:],
            distractor[skipped:],
        )

    def cut(self, text: str, n: int, shared: str = "") -> str:
        """Another text cut behind as many words as the prompt with n terms shown, and as far behind
        or before the end of the last; as it is where it has not as many words as the prompt."""
        words, own = _words(text), _words(self.pair.prompt)
        if n == len(self) or len(words) != len(own):
            return text
        end = self.terms[n][0] - len(self.lead)
        at = sum(word.start < end for word in own) - 1
        return text[: words[at].end + end - own[at].end] + shared


def sequence_of(pair: Pair) -> Sequence:
    """Find the sequence of a pair's prompt.

    Raises: NoSequence, saying what is missing, where there are not two terms or more that reach the
    answer.
    """
    whole, lead = pair.prompt, _lead(pair.answer)
    begun = "" if lead else _begun(whole)
    stem = whole[: len(whole) - len(begun)]
    words = _words(stem)
    if words and (joining := stem[words[-1].start : words[-1].end]) in _JOINING:
        words = [word for word in words if stem[word.start : word.end] != joining]
    before = stem[len(stem.rstrip(" ")) :] if begun else lead
    terms = _of_clauses(stem, words) or _of_words(stem, words, lead, pair.distractor)
    if len(terms) < 2:
        raise NoSequence(
            f"“{whole[-60:]}” has no sequence that could be shown term by term: two terms or more, "
            "with the same separator between them as before the answer, such as “1 2 3”, “May, "
            "June,” or “A done in 1. B done in 2. C done in”. Words of no known list need a "
            "separator other than a space, or the last of them as the distractor."
        )
    return Sequence(pair, tuple((w.start, w.stop) for w in terms), before, not lead)


def _lead(answer: str) -> str:
    match = _LEAD.match(answer)
    return match[0] if match else ""


def _begun(prompt: str) -> str:
    """What a prompt ends in that the answer goes on with, a part of the next term."""
    end = re.search(r"[^\s,;]*\Z", prompt)
    return end[0] if end and re.search(r"\w", end[0]) else ""


def _words(text: str) -> list[_Word]:
    """The words of a text, where those without a letter or digit separate the others."""
    kind = r"\S*\w\S*" if re.search(r"\s", text.strip()) else r"[^,;\s]*\w[^,;\s]*"
    result = []
    for match in re.finditer(kind, text):
        stop = match.start() + len(match[0].rstrip(".,;:!?"))
        result.append(_Word(match.start(), stop, match.end()))
    return result


def _of_words(stem: str, words: list[_Word], lead: str, distractor: str) -> list[_Word]:
    """The last words that have the same separator between them as before the answer."""
    if not words:
        return []
    *_, last = words
    between = stem[last.stop :] + lead
    between = between or " "  # a begun term's own is behind the stem
    alike = _alike(stem[last.start : last.stop], between, distractor)
    result = [last]
    for word in reversed(words[:-1]):
        goes = stem[word.stop : result[-1].start] == between
        if not (goes and alike(stem[word.start : word.stop])):
            break
        result.append(word)
    return result[::-1]


def _alike(last: str, between: str, distractor: str) -> Callable[[str], bool]:
    """What tells whether a word can be of the sequence that ends in this one."""
    if re.search(r"\d", last):
        return lambda word: bool(re.search(r"\d", word))
    for terms in _LISTED:
        if last.casefold() in terms:
            return lambda word: word.casefold() in terms
    known = between.strip() or "\n" in between or distractor[len(_lead(distractor)) :] == last
    return lambda word: bool(known)


def _of_clauses(stem: str, words: list[_Word]) -> list[_Word]:
    """The last word of each clause, where an unfinished one has all their words but that."""
    clauses: list[list[_Word]] = [[]]
    starts = [*(word.start for word in words[1:]), len(stem)]
    for word, after in zip(words, starts, strict=False):
        clauses[-1].append(word)
        if word.stop < word.end or "\n" in stem[word.stop : after]:
            clauses.append([])
    *done, frame = clauses
    n = len(frame)

    def same(clause: list[_Word]) -> set[int]:
        if len(clause) != n + 1:
            return set()
        texts = ([stem[w.start : w.end] for w in some] for some in (clause, frame))
        return {i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a == b}

    return [clause[-1] for clause in takewhile(same, reversed(done))][::-1]
