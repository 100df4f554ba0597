"""Pictures in files."""

from __future__ import annotations

import builtins
import io
from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import check_case, node_cases, node_model

from glowpy.onnx_backend import prepare
from glowpy_ir.errors import Unsupported, UsageError
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.images import DecodeImage, PixelFormat
from glowpy_ir.types import Array

images = pytest.importorskip("PIL.Image")

PIXELS: Array = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)


def encoded(pixels: Array, format: str) -> Array:
    with io.BytesIO() as file:
        images.fromarray(pixels).save(file, format)
        return np.frombuffer(file.getvalue(), np.uint8)


@pytest.mark.parametrize("case", node_cases("ImageDecoder"), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case, "data")


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_formats_without_loss(format: str) -> None:
    data = encoded(PIXELS, format)
    np.testing.assert_array_equal(*apply(DecodeImage(), data), PIXELS)
    np.testing.assert_array_equal(*apply(DecodeImage(PixelFormat.BGR), data), PIXELS[:, :, ::-1])
    (grey,) = apply(DecodeImage(PixelFormat.GRAYSCALE), encoded(PIXELS[:, :, 0], format))
    np.testing.assert_array_equal(grey, PIXELS[:, :, :1])


def test_pictures_of_other_sizes_follow_each_other() -> None:
    open_size = node_model("ImageDecoder", {"data": encoded(PIXELS, "PNG")}, 20, pixel_format="RGB")
    open_size.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "bytes"
    model = prepare(open_size)
    np.testing.assert_array_equal(model.run([encoded(PIXELS, "PNG")])[0], PIXELS)
    np.testing.assert_array_equal(model.run([encoded(PIXELS[:3], "PNG")])[0], PIXELS[:3])


def test_what_is_no_picture_is_told() -> None:
    for data in (np.zeros(0, np.uint8), np.arange(100, dtype=np.uint8), encoded(PIXELS, "PNG")[:60]):
        with pytest.raises(UsageError, match="no picture that can be decoded"):
            apply(DecodeImage(), data)


def test_without_pillow_it_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Unsupported, match="pip install"):
        apply(DecodeImage(), encoded(PIXELS, "PNG"))
