"""Operators that count sequences of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import Add, Min, Mul, Splat
from glowpy_ir.ops.indexing import Gather, ScatterND, Update
from glowpy_ir.ops.logic import Less, Select
from glowpy_ir.ops.lookup import FindKey
from glowpy_ir.ops.movement import Reshape, full_slice
from glowpy_ir.types import Array, Kind

MOST_COLUMNS = 1 << 24

MOST_WALKS = 1 << 9
"""The most ways to step through words, for all lengths of n-grams together."""


class Weighting(Enum):
    """What becomes of how often an n-gram was found."""

    TF = "TF"
    """The number."""
    IDF = "IDF"
    """The n-gram's weight if it was found."""
    TFIDF = "TFIDF"
    """The number times the n-gram's weight."""


@dataclass(frozen=True)
class Level:
    """The beginnings of a certain length that n-grams have, by number; behind all numbers stands what is no beginning.

    A number counts the pairs of a beginning that is one word shorter, and a word, in their order.
    """

    pairs: Array
    """``beginning * words + word``, in order."""
    columns: Array
    """Where an n-gram that ends here is counted; the column behind the last one if none does."""
    weights: Array


@dataclass(frozen=True)
class Pool:
    """All n-grams that are looked for, as a tree of words."""

    words: Array
    """In order."""
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, grams: Sequence[Array], columns: Sequence[Array], weights: Sequence[Array], size: int) -> Pool:
        """The tree of ``grams [count, n]`` for n = 1, 2, … (at least one of them), counted in ``columns``,

        of which there are ``size``.
        """
        grams = grams[: max(n for n, part in enumerate(grams, 1) if len(part))]
        words = np.unique(np.concatenate([part.reshape(-1) for part in grams]))
        numbers = [np.searchsorted(words, part) for part in grams]
        begun = [np.zeros(len(part), np.int64) for part in grams]
        levels = []
        for n in range(1, len(grams) + 1):
            longer = range(n - 1, len(grams))
            pairs = [begun[m] * len(words) + numbers[m][:, n - 1] for m in longer]
            known = np.unique(np.concatenate(pairs))
            for m, own in zip(longer, pairs, strict=True):
                begun[m] = np.searchsorted(known, own)
            level = Level(known, np.full(len(known) + 1, size, np.int64), np.zeros(len(known) + 1, np.float32))
            level.columns[begun[n - 1]], level.weights[begun[n - 1]] = columns[n - 1], weights[n - 1]
            levels.append(level)
        return cls(words, tuple(levels))


def load_tf_idf_vectorizer(c: NodeContext) -> Value:
    """How often n-grams of a pool stand in rows of words, which may lie apart."""
    a, input = c.attributes, c.input(0)
    weighting, weights = a.choice("mode", Weighting), np.array(a.floats("weights", ()), np.float32)
    shortest, longest = a.int("min_gram_length"), a.int("max_gram_length")
    skips, columns = a.int("max_skip_count"), np.array(a.ints("ngram_indexes"), np.int64)
    grams = _pools(c, len(columns))
    if input.type.rank not in (1, 2):
        raise TypeMismatch(f"rows of words are needed, not {input.type}")
    if not 1 <= shortest <= longest or skips < 0 or columns.min(initial=0) < 0:
        raise BadModel(f"n-grams of {shortest} to {longest} words with {skips} skips have no meaning")
    if columns.max(initial=0) >= MOST_COLUMNS:
        raise Unsupported(f"column {columns.max()} is too far; at most {MOST_COLUMNS} are supported")
    if weights.size not in (0, len(columns)):
        raise BadModel(f"there are {weights.size} weights for {len(columns)} n-grams")
    if weighting is Weighting.TF or not weights.size:
        weights = np.ones(len(columns), np.float32)
    size = int(columns.max(initial=-1)) + 1
    ends = np.cumsum([len(part) for part in grams])[:-1]
    split = (grams, np.split(columns, ends), np.split(weights, ends))
    chosen = [[part if shortest <= n <= longest else part[:0] for n, part in enumerate(all, 1)] for all in split]
    if not any(map(len, chosen[0])):
        return c.b.add(Splat(0, Kind.F32, (*input.type.shape[:-1], size)))
    words = input if input.type.rank == 2 else c.b.add(Reshape((1, *input.type.shape)), input)
    words = c.b.add(Cast(Kind.I64), words) if words.type.kind is Kind.I32 else words
    counts = _counted(c, Pool.of(chosen[0], chosen[1], chosen[2], size), words, skips, weighting, size)
    return counts if input.type.rank == 2 else c.b.add(Reshape((size,)), counts)


def _pools(c: NodeContext, count: int) -> list[Array]:
    """The n-grams [how many, n] for n = 1, 2, …"""
    texts, numbers = c.attributes.strings("pool_strings", ()), c.attributes.ints("pool_int64s", ())
    if bool(texts) == bool(numbers) or bool(texts) != (c.type(0).kind is Kind.STRING):
        raise BadModel(f"either 'pool_strings' or 'pool_int64s' is needed, of the kind of {c.type(0)}")
    pool = np.array(texts, object) if texts else np.array(numbers, np.int64)
    starts = c.attributes.ints("ngram_counts")
    ends = (*starts[1:], len(pool))
    if not starts or starts[0] < 0 or any(end < start for start, end in zip(starts, ends, strict=True)):
        raise BadModel(f"attribute 'ngram_counts' is {starts}, which are no places in a pool of {len(pool)}")
    parts = [pool[start:end] for start, end in zip(starts, ends, strict=True)]
    if odd := [n for n, part in enumerate(parts, 1) if len(part) % n]:
        raise BadModel(f"the pool of {odd[0]}-grams has {len(parts[odd[0] - 1])} words")
    grams = [part.reshape(-1, n) for n, part in enumerate(parts, 1)]
    if sum(map(len, grams)) != count:
        raise BadModel(f"the pool has {sum(map(len, grams))} n-grams, but there are {count} places for them")
    return grams


def _counted(c: NodeContext, pool: Pool, words: Value, skips: int, weighting: Weighting, size: int) -> Value:
    """What was found in ``words [rows, length]``, as ``[rows, size]``."""
    rows, length = words.type.extents
    room = size + 1  # behind the last column is counted what was not found
    counts = c.b.add(Splat(0, Kind.F32, (rows * room,)))
    first = c.b.add(FindKey(), words, c.constant(pool.words))
    starts = c.b.add(Reshape((rows, 1)), c.b.add(Mul(), c.b.add(Iota(rows)), _number(c, room)))
    steps = range(1, min(skips + 1, max(1, length)) + 1)
    if len(steps) * len(pool.levels) > MOST_WALKS:
        raise Unsupported(f"more than {MOST_WALKS} ways to skip words are not supported")
    update = Update.REPLACE if weighting is Weighting.IDF else Update.ADD
    for step in steps:
        begun = c.b.add(Splat(0, Kind.I64, (rows, length)))
        for n, level in enumerate(pool.levels, 1):
            places = length - (n - 1) * step
            if places <= 0:
                break
            word = _part(c, first, (n - 1) * step, places)
            begun = _longer(c, pool, level, _part(c, begun, 0, places), word)
            if (n == 1 and step > 1) or (level.columns == size).all():
                continue
            columns, gains = (c.b.add(Gather(), c.constant(table), begun) for table in (level.columns, level.weights))
            where = c.b.add(Reshape((rows * places, 1)), c.b.add(Add(), columns, starts))
            counts = c.b.add(ScatterND(update), counts, where, c.b.add(Reshape((rows * places,)), gains))
    return c.b.add(full_slice((rows, room), 1, 0, size), c.b.add(Reshape((rows, room)), counts))


def _longer(c: NodeContext, pool: Pool, level: Level, begun: Value, word: Value) -> Value:
    """The numbers of beginnings that are one word longer; -1, the last of each table, for what is none."""
    pair = c.b.add(Add(), c.b.add(Mul(), begun, _number(c, len(pool.words))), word)
    is_none = c.b.add(Less(), c.b.add(Min(), begun, word), _number(c, 0))
    pair = c.b.add(Select(), is_none, _number(c, -1), pair)
    return c.b.add(FindKey(), pair, c.constant(level.pairs))


def _part(c: NodeContext, value: Value, start: int, extent: int) -> Value:
    return c.b.add(full_slice(value.type.shape, 1, start, extent), value)


def _number(c: NodeContext, value: int) -> Value:
    return c.b.add(Splat(value, Kind.I64))


LOADERS: Table = {("TfIdfVectorizer", 9): load_tf_idf_vectorizer}
