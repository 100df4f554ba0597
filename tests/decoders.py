"""A small decoder with a cache of keys and values, spelled out as exporters spell it."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

HEADS, GROUPS, DEPTH, VOCABULARY = 4, 2, 8, 31
"""Heads of queries, heads of keys and values, numbers per head, tokens."""
WIDTH = HEADS * DEPTH

_F, _I = TensorProto.FLOAT, TensorProto.INT64


class _Writer:
    """Nodes and weights of one graph."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.random = np.random.default_rng(seed)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, array: np.ndarray[Any, Any]) -> str:
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def weight(self, *shape: int) -> str:
        return self.constant((self.random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32))

    def extent(self, value: str, axis: int) -> str:
        """One extent of a tensor, as a list."""
        return self.op("Gather", self.op("Shape", value), self.ints(axis), axis=0)

    def reshape(self, value: str, *parts: str) -> str:
        return self.op("Reshape", value, self.op("Concat", *parts, axis=0))


def decoder(layers: int = 2, seed: int = 0) -> ModelProto:
    """Takes ``ids [batch, seq]``, ``mask [batch, total]``, ``positions [batch, seq]`` and for each layer ``past.N.key``
    and ``past.N.value`` of ``[batch, groups, past, depth]``; makes logits and ``present.N.…``."""
    w = _Writer(seed)
    batch, seq = w.extent("ids", 0), w.extent("ids", 1)
    past = w.extent("past.0.key", 2)
    total = w.op("Add", past, seq)
    hidden = w.op("Gather", w.weight(VOCABULARY, WIDTH), "ids")
    cos, sin = _rotation(w)
    bias = _bias(w, past, seq, total)
    outputs = []
    for layer in range(layers):
        normal = _rms(w, hidden)
        split = []
        for heads in (HEADS, GROUPS, GROUPS):
            flat = w.op("MatMul", normal, w.weight(WIDTH, heads * DEPTH))
            split.append(w.op("Transpose", w.reshape(flat, batch, seq, w.ints(heads, DEPTH)), perm=[0, 2, 1, 3]))
        query, key = (_rotated(w, part, cos, sin) for part in split[:2])
        cache = []
        for part, new in (("key", key), ("value", split[2])):
            names = [f"past.{layer}.{part}", new], [f"present.{layer}.{part}"]
            w.nodes.append(helper.make_node("Concat", *names, axis=2))
            cache += names[1]
        outputs += cache
        keys, values = (_repeated(w, value, batch, total) for value in cache)
        scores = w.op("MatMul", query, w.op("Transpose", keys, perm=[0, 1, 3, 2]))
        scores = w.op("Mul", scores, w.constant(np.array(DEPTH**-0.5, np.float32)))
        weights = w.op("Softmax", w.op("Add", scores, bias), axis=-1)
        mixed = w.op("Transpose", w.op("MatMul", weights, values), perm=[0, 2, 1, 3])
        mixed = w.op("MatMul", w.reshape(mixed, batch, seq, w.ints(WIDTH)), w.weight(WIDTH, WIDTH))
        hidden = w.op("Add", hidden, mixed)
        normal = _rms(w, hidden)
        gate, up = (w.op("MatMul", normal, w.weight(WIDTH, 3 * WIDTH)) for _ in range(2))
        gated = w.op("Mul", w.op("Mul", gate, w.op("Sigmoid", gate)), up)
        hidden = w.op("Add", hidden, w.op("MatMul", gated, w.weight(3 * WIDTH, WIDTH)))
    w.nodes.append(helper.make_node("MatMul", [_rms(w, hidden), w.weight(WIDTH, VOCABULARY)], ["logits"]))
    tensor = helper.make_tensor_value_info
    caches = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
    inputs = [tensor("ids", _I, ["batch", "seq"]), tensor("mask", _I, ["batch", "total"])]
    inputs += [tensor("positions", _I, ["batch", "seq"])]
    inputs += [tensor(f"past.{name}", _F, ["batch", GROUPS, "past", DEPTH]) for name in caches]
    results = [tensor("logits", _F, ["batch", "seq", VOCABULARY])]
    results += [tensor(f"present.{name}", _F, ["batch", GROUPS, "past + seq", DEPTH]) for name in caches]
    graph = helper.make_graph(w.nodes, "decoder", inputs, results, w.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def feeds(seed: int, seq: int, past: int, layers: int = 2, batch: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs for ``seq`` tokens after ``past`` others."""
    random = np.random.default_rng(seed)
    given: dict[str, np.ndarray[Any, Any]] = {
        "ids": random.integers(0, VOCABULARY, (batch, seq)),
        "mask": np.ones((batch, past + seq), np.int64),
        "positions": np.tile(np.arange(past, past + seq), (batch, 1)),
    }
    for layer in range(layers):
        for part in ("key", "value"):
            given[f"past.{layer}.{part}"] = random.standard_normal((batch, GROUPS, past, DEPTH)).astype(np.float32)
    return given


def _rms(w: _Writer, value: str) -> str:
    square = w.op("ReduceMean", w.op("Pow", value, w.constant(np.array(2, np.float32))), w.ints(-1))
    root = w.op("Sqrt", w.op("Add", square, w.constant(np.array(1e-5, np.float32))))
    return w.op("Mul", w.op("Div", value, root), w.constant(w.random.uniform(0.5, 1.5, WIDTH).astype(np.float32)))


def _rotation(w: _Writer) -> tuple[str, str]:
    """Cosines and sines of rotary embedding, [batch, 1, seq, depth] (Su et al., arXiv 2104.09864)."""
    rates = w.constant((10000.0 ** -(np.arange(DEPTH // 2) * 2 / DEPTH)).astype(np.float32)[None])
    places = w.op("Unsqueeze", w.op("Cast", "positions", to=_F), w.ints(2))
    angles = w.op("MatMul", places, rates)
    both = w.op("Unsqueeze", w.op("Concat", angles, angles, axis=-1), w.ints(1))
    return w.op("Cos", both), w.op("Sin", both)


def _rotated(w: _Writer, value: str, cos: str, sin: str) -> str:
    half = DEPTH // 2
    low = w.op("Slice", value, w.ints(0), w.ints(half), w.ints(3))
    high = w.op("Slice", value, w.ints(half), w.ints(1 << 62), w.ints(3))
    turned = w.op("Concat", w.op("Neg", high), low, axis=-1)
    return w.op("Add", w.op("Mul", value, cos), w.op("Mul", turned, sin))


def _repeated(w: _Writer, value: str, batch: str, total: str) -> str:
    """Each head of keys or values as often as there are heads of queries that look at it."""
    wide = w.op("Concat", batch, w.ints(GROUPS, HEADS // GROUPS), total, w.ints(DEPTH), axis=0)
    copies = w.op("Expand", w.op("Unsqueeze", value, w.ints(2)), wide)
    return w.reshape(copies, batch, w.ints(HEADS), total, w.ints(DEPTH))


def _bias(w: _Writer, past: str, seq: str, total: str) -> str:
    """What is added to scores, [batch, 1, seq, total]: the smallest float where a token must not look."""
    def number(value: str) -> str:
        return w.op("Squeeze", value)

    zero, one = (w.constant(np.array(n, np.int64)) for n in (0, 1))
    rows = w.op("Range", number(past), number(total), one)
    columns = w.op("Range", zero, number(total), one)
    ahead = w.op("Greater", w.op("Unsqueeze", columns, w.ints(0)), w.op("Unsqueeze", rows, w.ints(1)))
    hidden = w.op("Equal", w.op("Unsqueeze", "mask", w.ints(1, 2)), zero)
    either = w.op("Or", w.op("Unsqueeze", ahead, w.ints(0, 1)), hidden)
    least, none = (w.constant(np.array(n, np.float32)) for n in (np.finfo(np.float32).min, 0))
    return w.op("Where", either, least, none)
