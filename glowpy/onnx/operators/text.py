"""ONNX operators on texts."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.text import LetterCase, RegexFullMatch, StringConcat, StringNormalizer, StringSplit


def load_concat(c: NodeContext) -> Value:
    return c.b.add(StringConcat(), *c.operands())


def load_split(c: NodeContext) -> tuple[Value, ...]:
    most = c.attributes.int("maxsplit", None)
    if most is not None and most < 0:
        raise BadModel(f"a text cannot be split {most} times")
    return c.b.add_all(StringSplit(c.attributes.string("delimiter", ""), most), c.input(0))


def load_normalizer(c: NodeContext) -> Value:
    """Letters become large or small as Unicode has it, whatever the locale."""
    c.attributes.string("locale", "en_US")
    letters = c.attributes.choice("case_change_action", LetterCase, LetterCase.NONE)
    stop_words = c.attributes.strings("stopwords", ())
    return c.b.add(StringNormalizer(letters, stop_words, c.attributes.flag("is_case_sensitive", False)), c.input(0))


def load_full_match(c: NodeContext) -> Value:
    return c.b.add(RegexFullMatch(c.attributes.string("pattern")), c.input(0))


LOADERS: Table = {
    ("StringNormalizer", 10): load_normalizer,
    ("StringConcat", 20): load_concat,
    ("StringSplit", 20): load_split,
    ("RegexFullMatch", 20): load_full_match,
}
