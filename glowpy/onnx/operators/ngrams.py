"""Operators that count sequences of words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Mul, Splat
from glowpy_ir.ops.indexing import ScatterND, Update
from glowpy_ir.ops.logic import Less
from glowpy_ir.ops.movement import Concat, Reshape, Transpose
from glowpy_ir.ops.ngrams import CountNgrams
from glowpy_ir.types import Array, Kind

MOST_COUNTS = 1 << 10
"""The most ways to step through words, for all lengths of n-grams together."""


class Weighting(Enum):
    """What becomes of how often an n-gram was found."""

    TF = "TF"
    """The number."""
    IDF = "IDF"
    """The n-gram's weight if it was found."""
    TFIDF = "TFIDF"
    """The number times the n-gram's weight."""


def load_tf_idf_vectorizer(c: NodeContext) -> Value:
    """How often n-grams of a pool stand in rows of words, which may lie apart."""
    a, input = c.attributes, c.input(0)
    weighting, weights = a.choice("mode", Weighting), np.array(a.floats("weights", ()), np.float32)
    shortest, longest = a.int("min_gram_length"), a.int("max_gram_length")
    skips, columns = a.int("max_skip_count"), np.array(a.ints("ngram_indexes"), np.int64)
    pools = _pools(c, len(columns))
    if input.type.rank not in (1, 2):
        raise TypeMismatch(f"rows of words are needed, not {input.type}")
    if not 1 <= shortest <= longest or skips < 0 or columns.min(initial=0) < 0:
        raise BadModel(f"n-grams of {shortest} to {longest} words with {skips} skips have no meaning")
    words = input if input.type.rank == 2 else c.b.add(Reshape((1, *input.type.shape)), input)
    if words.type.kind is Kind.I32:
        words = c.b.add(Cast(Kind.I64), words)
    wanted = [pool if shortest <= pool.shape[1] <= longest else pool[:0] for pool in pools]
    kept = [np.full(len(pool), len(some) > 0) for pool, some in zip(pools, wanted, strict=True)]
    if weights.size not in (0, len(columns)):
        raise BadModel(f"there are {weights.size} weights for {len(columns)} n-grams")
    chosen = np.concatenate(kept)
    counts = _counted(c, words, wanted, skips)
    if weighting is Weighting.IDF:
        counts = c.b.add(Cast(Kind.F32), c.b.add(Less(), c.b.add(Splat(0.0)), counts))
    if weighting is not Weighting.TF and weights.size:
        counts = c.b.add(Mul(), counts, c.constant(weights[chosen]))
    size = int(columns.max(initial=-1)) + 1
    counts = _scattered(c, counts, columns[chosen], size)
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


def _counted(c: NodeContext, words: Value, pools: Sequence[Array], skips: int) -> Value:
    """How often the n-grams are found, those of all pools side by side."""
    length, ways = words.type.extents[1], 0
    parts = []
    for pool in filter(len, pools):
        n = pool.shape[1]
        steps = range(1, min(skips + 1, (length - 1) // (n - 1)) + 1) if n > 1 else range(1, 2)
        ways += len(steps)
        if ways > MOST_COUNTS:
            raise Unsupported(f"more than {MOST_COUNTS} ways to skip words are not supported")
        grams = c.constant(pool)
        total = c.b.add(Splat(0, Kind.F32, (words.type.shape[0], len(pool))))
        for step in steps:
            total = c.b.add(Add(), total, c.b.add(CountNgrams(step), words, grams))
        parts.append(total)
    if not parts:
        return c.b.add(Splat(0, Kind.F32, (words.type.shape[0], 0)))
    return c.b.add(Concat(1), *parts)


def _scattered(c: NodeContext, counts: Value, columns: Array, size: int) -> Value:
    """The counts ``[rows, n-grams]`` at their columns ``[rows, size]``."""
    blank = c.b.add(Splat(0, Kind.F32, (size, counts.type.shape[0])))
    if not columns.size:
        return c.b.add(Transpose((1, 0)), blank)
    places = c.constant(columns.reshape(-1, 1))
    put = c.b.add(ScatterND(Update.ADD), blank, places, c.b.add(Transpose((1, 0)), counts))
    return c.b.add(Transpose((1, 0)), put)


LOADERS: Table = {("TfIdfVectorizer", 9): load_tf_idf_vectorizer}
