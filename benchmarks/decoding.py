"""Times steps of a decoder beside ONNX Runtime: ``python -m benchmarks.decoding MODEL --past 16,128,1000``.

Both engines decode one token after the other, each with the cache that it gave out itself, as a program that generates
text does. Steps alternate, and each compares the time of its thread; with several threads, that on the clock.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

import glowpy
from benchmarks.measure import Spread, Timing
from glowpy.cli import options as cli
from glowpy.cli.table import render
from glowpy.feeds import TensorSpec
from glowpy_ir.errors import GlowError, UsageError
from glowpy_ir.types import Array

HEADER = ("past", "onnxruntime ms", "glowpy ms", "ratio", "same tokens", "first step s")


class Engine(Protocol):
    def run(self, names: None, feeds: Mapping[str, Array]) -> Any: ...


@dataclass(frozen=True)
class Decoder:
    """What a decoder calls its inputs. Its first output are logits, and then come the caches in the inputs' order."""

    ids: str
    mask: str | None
    positions: str | None
    caches: tuple[TensorSpec, ...]
    vocabulary: int

    @classmethod
    def of(cls, model: glowpy.Model) -> Decoder:
        """UsageError if the model is no decoder, or spells out its inputs in another way."""
        specs = [spec for spec in model.inputs if isinstance(spec, TensorSpec)]
        caches = tuple(spec for spec in specs if spec.type.rank == 4)
        lists = [spec for spec in specs if spec.type.rank == 2]
        logits = model.outputs[0]
        if not lists or not caches or len(model.outputs) != 1 + len(caches) or not isinstance(logits, TensorSpec):
            raise UsageError("the model is no decoder: ids, mask and positions, caches of rank 4, logits are expected")
        ids, *others = lists
        masks = [spec.name for spec in others if spec.type.shape != ids.type.shape]
        positions = [spec.name for spec in others if spec.type.shape == ids.type.shape]
        vocabulary = logits.type.shape[-1]
        if not isinstance(vocabulary, int) or max(len(masks), len(positions)) > 1:
            raise UsageError("it cannot be told which inputs are the mask and the positions")
        return cls(ids.name, next(iter(masks), None), next(iter(positions), None), caches, vocabulary)

    def feeds(self, tokens: Array, past: int, cache: Sequence[Array]) -> dict[str, Array]:
        """The inputs for ``tokens`` [1, n] after ``past`` others."""
        count = tokens.shape[1]
        feeds: dict[str, Array] = {self.ids: tokens}
        if self.mask is not None:
            feeds[self.mask] = np.ones((1, past + count), np.int64)
        if self.positions is not None:
            feeds[self.positions] = np.arange(past, past + count)[None]
        return {**feeds, **{spec.name: array for spec, array in zip(self.caches, cache, strict=True)}}

    def empty(self) -> list[Array]:
        """The cache of no past."""
        shapes = (spec.type.shape for spec in self.caches)
        return [np.zeros((1, *(d if isinstance(d, int) else 0 for d in shape[1:])), np.float32) for shape in shapes]


def compare(decoder: Decoder, reference: Engine, model: Engine, past: int, steps: int, clock: Any) -> tuple[Any, ...]:
    """A row of the table: ``steps`` steps of both engines after ``past`` random tokens."""
    prompt = np.random.default_rng(past).integers(0, decoder.vocabulary, (1, past))
    logits, *theirs = reference.run(None, decoder.feeds(prompt, 0, decoder.empty()))
    ours, started = [array.copy() for array in theirs], time.perf_counter()
    model.run(None, decoder.feeds(np.array([[0]]), past, [array.copy() for array in theirs]))
    first = time.perf_counter() - started
    seconds: dict[str, list[float]] = {"onnxruntime": [], "glowpy": []}
    same = 0
    for step in range(steps):
        token = np.array([[int(logits[0, -1].argmax())]])
        feeds = [decoder.feeds(token, past + step, cache) for cache in (theirs, ours)]
        times = [clock()]
        logits, *theirs = reference.run(None, feeds[0])
        times.append(clock())
        made, *ours = model.run(None, feeds[1])
        times.append(clock())
        seconds["onnxruntime"].append(times[1] - times[0])
        seconds["glowpy"].append(times[2] - times[1])
        same += int(made[0, -1].argmax() == logits[0, -1].argmax())
    timing = Timing(seconds)
    columns = (timing.milliseconds("onnxruntime"), timing.milliseconds("glowpy"))
    return past, *columns, timing.ratio("glowpy", "onnxruntime"), f"{same}/{steps}", f"{first:.2f}"


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    options.add_argument("model", metavar="MODEL", help="an ONNX file of a decoder with a cache")
    options.add_argument("--past", default="16,128,1000", metavar="N,...", help="tokens before the steps")
    options.add_argument("--steps", type=cli.positive, default=20, metavar="N")
    options.add_argument("--threads", type=cli.positive, default=1, metavar="N")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status says whether it could be run."""
    import onnxruntime

    given = parser().parse_args(arguments)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    try:
        model = glowpy.compile(given.model, threads=given.threads)
        decoder = Decoder.of(model)
    except GlowError as error:
        print(error, file=sys.stderr)
        return 2
    session = onnxruntime.InferenceSession(given.model, options, providers=["CPUExecutionProvider"])
    clock = time.thread_time if given.threads == 1 else time.perf_counter
    rows = []
    for past in (cli.positive(word) for word in given.past.split(",")):
        row = compare(decoder, session, model, past, given.steps, clock)
        rows.append([f"{cell.median:.2f}" if isinstance(cell, Spread) else str(cell) for cell in row])
    print(render(rows, HEADER))
    return 0


if __name__ == "__main__":
    sys.exit(main())
