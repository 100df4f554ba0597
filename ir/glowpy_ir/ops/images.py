"""Pictures in files, which only the host reads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import Enum

import numpy as np

from glowpy_ir.errors import Unsupported, UsageError
from glowpy_ir.op import Hosted
from glowpy_ir.types import Array


class PixelFormat(Enum):
    """What the last dimension of a picture holds."""

    RGB = "RGB"
    BGR = "BGR"
    GRAYSCALE = "Grayscale"


@dataclass(frozen=True)
class DecodeImage(Hosted):
    """The picture ``u8[height, width, channels]`` in the bytes of a file, JPEG, PNG or another (ONNX ImageDecoder)

    Pillow reads it (the extra ``images``): Unsupported without it, UsageError if it can make nothing of the bytes.
    """

    format: PixelFormat = PixelFormat.RGB

    def evaluate(self, input: Array) -> Array:
        try:
            from PIL import Image
        except ImportError:
            raise Unsupported("pictures are decoded with Pillow, which is not installed: pip install pillow") from None
        try:
            with Image.open(io.BytesIO(input.tobytes())) as picture:
                pixels = np.asarray(picture.convert("L" if self.format is PixelFormat.GRAYSCALE else "RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UsageError(f"{input.size} bytes are no picture that can be decoded: {error}") from None
        if self.format is PixelFormat.GRAYSCALE:
            return pixels[:, :, None]
        return pixels[:, :, ::-1] if self.format is PixelFormat.BGR else pixels
