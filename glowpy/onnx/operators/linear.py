"""Matrix products."""

from __future__ import annotations

import re
from collections import Counter

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.determinant import Determinant
from glowpy_ir.ops.einsum import Einsum, Labels
from glowpy_ir.ops.elementwise import Add, Mul, scalar
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Reshape, Transpose


def load_matmul(c: NodeContext) -> Value:
    """NumPy's rule for vectors: a row on the left, a column on the right, and that dimension goes again."""
    lhs, rhs = c.input(0), c.input(1)
    row, column = lhs.type.rank == 1, rhs.type.rank == 1
    if row:
        lhs = c.b.add(Reshape((1, *lhs.type.shape)), lhs)
    if column:
        rhs = c.b.add(Reshape((*rhs.type.shape, 1)), rhs)
    product = c.b.add(MatMul(), lhs, rhs)
    if not (row or column):
        return product
    batch, corner = product.type.shape[:-2], product.type.shape[-2:]
    return c.b.add(Reshape((*batch, *corner[int(row) : 2 - int(column)])), product)


def load_gemm(c: NodeContext) -> Value:
    """``alpha * A @ B + beta * C``, where A and B may be transposed and C is broadcast."""
    if c.type(0).rank != 2 or c.type(1).rank != 2:
        raise BadModel(f"Gemm takes matrices, not {c.type(0)} and {c.type(1)}")
    lhs = _transposed(c, c.input(0)) if c.attributes.flag("transA", False) else c.input(0)
    rhs = _transposed(c, c.input(1)) if c.attributes.flag("transB", False) else c.input(1)
    product = _scaled(c, c.b.add(MatMul(), lhs, rhs), c.attributes.float("alpha", 1.0))
    beta = c.attributes.float("beta", 1.0)
    addend = c.optional(2)
    if addend is None or beta == 0:
        return product
    total = c.b.add(Add(), product, _scaled(c, addend, beta))
    if total.type != product.type:
        raise BadModel(f"{addend.type} does not broadcast to the product {product.type}")
    return total


def _transposed(c: NodeContext, matrix: Value) -> Value:
    return c.b.add(Transpose((1, 0)), matrix)


def _scaled(c: NodeContext, value: Value, factor: float) -> Value:
    if factor == 1:
        return value
    if not value.type.kind.is_float and not factor.is_integer():
        raise Unsupported(f"a product of integers ({value.type}) cannot be scaled by {factor}")
    return c.b.add(Mul(), value, scalar(c.b, factor, value))


def load_einsum(c: NodeContext) -> Value:
    operands = c.operands()
    op = parse_equation(c.attributes.string("equation"), [value.type.rank for value in operands])
    return c.b.add(op, *operands)


def parse_equation(equation: str, ranks: list[int]) -> Einsum:
    """The operator that NumPy's notation stands for, for operands of these ranks; BadModel if it is none.

    An ellipsis stands for the dimensions that have no letter, aligned at the right. Without an arrow the result has
    them first, and then the letters that occur once, in alphabetical order.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    for text in (*texts, right):
        if not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", text):
            raise BadModel(f"equation {equation!r}: {text!r} is no list of letters with at most one ellipsis")
    if len(texts) != len(ranks):
        raise BadModel(f"equation {equation!r} has {len(texts)} terms for {len(ranks)} operands")
    letters = sorted({char for char in left if char.isalpha()})
    unnamed = [rank - len(text.replace("...", "")) for text, rank in zip(texts, ranks, strict=True)]
    for text, rank, more in zip(texts, ranks, unnamed, strict=True):
        if more < 0 or (more > 0 and "..." not in text):
            raise BadModel(f"equation {equation!r}: {text!r} does not fit an operand of {rank} dimensions")
    most = max(unnamed)

    def labels(text: str, count: int) -> Labels:
        before, dots, after = text.partition("...")
        middle = range(len(letters) + most - count, len(letters) + most) if dots else ()
        return (*map(letters.index, before), *middle, *map(letters.index, after))

    if not arrow:
        times = Counter(char for char in left if char.isalpha())
        right = "..." * ("..." in left) + "".join(letter for letter in letters if times[letter] == 1)
    if unknown := {char for char in right if char.isalpha()} - set(letters):
        raise BadModel(f"equation {equation!r}: no operand has {', '.join(sorted(unknown))}")
    return Einsum(tuple(map(labels, texts, unnamed)), labels(right, most))


LOADERS: Table = {
    ("Det", 11): lambda c: c.b.add(Determinant(), c.input(0)),
    ("MatMul", 1): load_matmul,
    ("Gemm", 7): load_gemm,
    ("Einsum", 12): load_einsum,
}
