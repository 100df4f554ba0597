"""Operators of ai.onnx.ml that turn labels into others, or into vectors."""

from __future__ import annotations

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.ml_scores import as_kind
from glowpy.onnx.scope import Operand, Zipped
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.lookup import IsKey, LookUp
from glowpy_ir.types import Array, Kind

DOMAIN = "ai.onnx.ml"


def _texts(texts: tuple[str, ...]) -> Array:
    return np.array(texts, object)


def _list(c: NodeContext, prefix: str) -> Array | None:
    """A list that one of several attributes holds, by the kind of its items."""
    a = c.attributes
    lists = (
        a.tensor(f"{prefix}_tensor", None),
        None if (texts := a.strings(f"{prefix}_strings", None)) is None else _texts(texts),
        None if (integers := a.ints(f"{prefix}_int64s", None)) is None else np.array(integers, np.int64),
        None if (floats := a.floats(f"{prefix}_floats", None)) is None else np.array(floats, np.float32),
    )
    given = [array.reshape(-1) for array in lists if array is not None]
    if len(given) > 1:
        raise BadModel(f"the {prefix} are given twice")
    return given[0] if given else None


def _default(c: NodeContext, like: Array) -> Array:
    """What an unknown label becomes, of the kind of ``like``."""
    a = c.attributes
    tensor, text = a.tensor("default_tensor", None), a.string("default_string", "_Unused")
    integer, float = a.int("default_int64", -1), a.float("default_float", -0.0)
    if tensor is not None:
        if tensor.size != 1 or tensor.dtype != like.dtype:
            raise BadModel("attribute 'default_tensor' must hold one element of the kind of the values")
        return tensor.reshape(())
    value = text if like.dtype == object else integer if like.dtype.kind == "i" else float
    return np.array(value, like.dtype)


def _looked_up(c: NodeContext, keys: Array, values: Array) -> Value:
    """Of equal keys the first one counts."""
    default = _default(c, values)
    if len(keys) != len(values) or not len(keys):
        raise BadModel(f"there are {len(keys)} keys and {len(values)} values")
    unique, first = np.unique(keys, return_index=True)
    return c.b.add(LookUp(), c.input(0), *(c.constant(array) for array in (unique, values[first], default)))


def load_label_encoder_1(c: NodeContext) -> Value:
    """From texts to their places in a list, or back."""
    classes = _texts(c.attributes.strings("classes_strings", ()))
    return _between(c, classes, np.arange(len(classes)))


def load_category_mapper(c: NodeContext) -> Value:
    """From texts to integers, or back."""
    return _between(
        c, _texts(c.attributes.strings("cats_strings", ())), np.array(c.attributes.ints("cats_int64s", ()), np.int64)
    )


def _between(c: NodeContext, texts: Array, integers: Array) -> Value:
    lists = (texts, integers) if c.type(0).kind is Kind.STRING else (integers, texts)
    return _looked_up(c, *lists)


def load_label_encoder_2(c: NodeContext) -> Value:
    keys, values = _list(c, "keys"), _list(c, "values")
    if keys is None or values is None:
        raise BadModel("keys and values are needed")
    return _looked_up(c, keys, values)


def load_one_hot_encoder(c: NodeContext) -> Value:
    """A vector for each label, 1 where it stands in the list; all zeros for a label that does not."""
    c.attributes.flag("zeros", True)
    integers, texts = c.attributes.ints("cats_int64s", ()), c.attributes.strings("cats_strings", ())
    if bool(integers) == bool(texts):
        raise BadModel("either 'cats_int64s' or 'cats_strings' is needed")
    input = c.input(0) if texts else as_kind(c, c.input(0), Kind.I64)
    keys = c.constant(_texts(texts) if texts else np.array(integers, np.int64))
    return c.b.add(Cast(Kind.F32), c.b.add(IsKey(), input, keys))


def load_zip_map(c: NodeContext) -> Operand:
    """Each row of a matrix, or a vector, as a map from labels to its elements."""
    texts, integers = c.attributes.strings("classlabels_strings", ()), c.attributes.ints("classlabels_int64s", ())
    if bool(texts) == bool(integers):
        raise BadModel("either 'classlabels_strings' or 'classlabels_int64s' is needed")
    scores, labels = c.input(0), texts or integers
    if scores.type.rank not in (1, 2) or scores.type.extents[-1] != len(labels):
        raise TypeMismatch(f"{scores.type} has no rows of {len(labels)} elements, one for each label")
    return Zipped(labels, scores)


def refuse_maps(c: NodeContext) -> Value:
    """A map is no tensor, and none comes in."""
    raise Unsupported("maps as inputs are not supported: begin the model behind this node, with its result")


LOADERS: Table = {
    ("CastMap", 1): refuse_maps,
    ("CategoryMapper", 1): load_category_mapper,
    ("DictVectorizer", 1): refuse_maps,
    ("LabelEncoder", 1): load_label_encoder_1,
    ("LabelEncoder", 2): load_label_encoder_2,
    ("OneHotEncoder", 1): load_one_hot_encoder,
    ("ZipMap", 1): load_zip_map,
}
