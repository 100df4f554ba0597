"""Operators on texts, which only the host computes.

An array of texts is a NumPy array of Python's ``str``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np

from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.op import Hosted
from glowpy_ir.types import Array


class LetterCase(Enum):
    """What becomes of a text's letters."""

    NONE = "NONE"
    LOWER = "LOWER"
    UPPER = "UPPER"

    def apply(self, text: str) -> str:
        match self:
            case LetterCase.LOWER:
                return text.lower()
            case LetterCase.UPPER:
                return text.upper()
        return text


@dataclass(frozen=True)
class StringConcat(Hosted):
    """Each text of ``lhs`` and behind it that of ``rhs``, with broadcasting (ONNX StringConcat)"""

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.asarray(lhs + rhs, object)


@dataclass(frozen=True)
class StringSplit(Hosted):
    """The pieces between delimiters, filled up with empty texts, and how many there are (ONNX StringSplit)

    Without a delimiter, at white space. ``most`` is how often a text is split, if that is limited.
    """

    delimiter: str = ""
    most: int | None = None

    def evaluate(self, input: Array) -> tuple[Array, Array]:
        limit = -1 if self.most is None else self.most
        pieces = [text.split(self.delimiter or None, limit) for text in input.flat]
        width = max(map(len, pieces), default=0)
        counts = np.array([len(row) for row in pieces], np.int64).reshape(input.shape)
        filled = np.full((len(pieces), width), "", object)
        for row, texts in zip(filled, pieces, strict=True):
            row[: len(texts)] = texts
        return filled.reshape(*input.shape, width), counts


@dataclass(frozen=True)
class StringNormalizer(Hosted):
    """The texts ``[n]`` or ``[1, n]`` without stop words, in one case; a single empty one if none is left

    (ONNX StringNormalizer)
    """

    letters: LetterCase = LetterCase.NONE
    stop_words: tuple[str, ...] = ()
    case_sensitive: bool = False

    def evaluate(self, input: Array) -> Array:
        if input.ndim not in (1, 2) or (input.ndim == 2 and input.shape[0] != 1):
            raise BadModel(f"texts of shape {list(input.shape)} cannot be normalised; [n] and [1,n] can")
        key = LetterCase.NONE if self.case_sensitive else LetterCase.LOWER
        stop_words = {key.apply(word) for word in self.stop_words}
        kept = [self.letters.apply(text) for text in input.flat if key.apply(text) not in stop_words]
        return np.array(kept or [""], object).reshape(*input.shape[:-1], -1)


NESTED_REPETITION = re.compile(r"[*+}][?)]*\)[?)]*[*+{]")


@dataclass(frozen=True)
class RegexFullMatch(Hosted):
    """Whether the whole text matches the pattern (ONNX RegexFullMatch)"""

    pattern: str

    def __post_init__(self) -> None:
        if NESTED_REPETITION.search(self.pattern):
            raise Unsupported(f"pattern {self.pattern!r} repeats what repeats itself; matching may take for ever")
        try:
            re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise BadModel(f"pattern {self.pattern!r} is no regular expression: {error}") from None

    def evaluate(self, input: Array) -> Array:
        matches = [re.fullmatch(self.pattern, text) is not None for text in input.flat]
        return np.array(matches, np.bool_).reshape(input.shape)
