"""The networks of the onnx package, with weights that keep them alive."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from glowpy.shipped import shipped_files, shipped_model
from glowpy_ir.errors import UsageError

SMALL = ("shufflenet", "squeezenet", "inception_v1")


def test_all_networks_are_found() -> None:
    assert {*SMALL, "resnet50", "densenet121", "vgg19"} <= shipped_files().keys()
    with pytest.raises(UsageError, match=r"brings no model 'resnet'; it has: .*resnet50"):
        shipped_model("resnet")


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_random_and_healthy(name: str) -> None:
    """Class scores are neither all equal nor all on one class, so that a wrong result would be seen."""
    model = shipped_model(name)
    onnx.checker.check_model(model)
    assert not any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    x = np.random.default_rng(0).standard_normal(image.shape, np.float32)
    (scores,) = session.run(None, {image.name: x})
    assert np.isfinite(scores).all()
    assert 1e-3 < scores.max() < 0.999999
    assert scores.std() > 1e-4


def test_weights_are_the_same_for_everybody() -> None:
    first, again, other = (shipped_model("squeezenet", seed).SerializeToString() for seed in (0, 0, 1))
    assert first == again != other
