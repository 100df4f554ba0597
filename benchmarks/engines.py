"""The engines that are compared: each turns a case into a function that runs it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from benchmarks.cases import Case
from glowpy.specialise import flat_outputs
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array

Run = Callable[[], list[Array]]
"""One inference on the case's feeds: the outputs in the model's order."""


class Engine(Protocol):
    """Prepares a case with a number of threads. Imports of the engine happen here, so that none is needed to start."""

    def version(self) -> str: ...

    def prepare(self, case: Case, threads: int) -> Run: ...


class OnnxRuntime:
    """ONNX Runtime's CPU provider with all optimizations, its threads spinning as by default."""

    def version(self) -> str:
        import onnxruntime

        return str(onnxruntime.__version__)

    def prepare(self, case: Case, threads: int) -> Run:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for name, extent in case.dims.items():
            options.add_free_dimension_override_by_name(name, extent)
        session = onnxruntime.InferenceSession(case.model, options, providers=["CPUExecutionProvider"])
        feeds = dict(case.feeds)
        return lambda: list(session.run(None, feeds))


class OpenVino:
    """OpenVINO's CPU plugin for one request at a time, in full f32, its threads free to move as the others' are."""

    def version(self) -> str:
        import openvino

        return str(openvino.__version__)

    def prepare(self, case: Case, threads: int) -> Run:
        import openvino

        core = openvino.Core()
        model = core.read_model(case.model)
        names = [_port_name(port, case.feeds) for port in model.inputs]
        if any(port.partial_shape.is_dynamic for port in model.inputs):
            model.reshape({port: case.feeds[name].shape for port, name in zip(model.inputs, names, strict=True)})
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "EXECUTION_MODE_HINT": "ACCURACY",  # or it quantizes what goes into products with int8 weights
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        feeds = [case.feeds[name] for name in names]

        def run() -> list[Array]:
            results = request.infer(feeds, share_inputs=True, share_outputs=True)
            return [np.asarray(results[i]) for i in range(len(results))]

        return run


def _port_name(port: object, feeds: Mapping[str, Array]) -> str:
    (name,) = port.names & feeds.keys()  # type: ignore[attr-defined]
    return str(name)


class Glowpy:
    """This project, with one of its backends."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def version(self) -> str:
        import glowpy

        return glowpy.__version__

    def prepare(self, case: Case, threads: int) -> Run:
        import glowpy

        model = glowpy.compile(case.model, backend=self.backend, threads=threads, shapes=case.shapes)
        feeds = dict(case.feeds)
        return lambda: list(flat_outputs(model.outputs, model.run(None, feeds)).values())


ENGINES: dict[str, Engine] = {
    "glowpy": Glowpy("cpu"),
    "interpreter": Glowpy("interpreter"),
    "onnxruntime": OnnxRuntime(),
    "openvino": OpenVino(),
}


def version_of(name: str) -> str:
    """The version of an engine; UsageError if it is not installed."""
    try:
        return engine_named(name).version()
    except ImportError as error:
        raise UsageError(f"{name} is not installed ({error}); pip install -e '.[bench]'") from None


def engine_named(name: str) -> Engine:
    """The engine of this name; UsageError lists the others."""
    if name not in ENGINES:
        raise UsageError(f"no engine {name!r}; there are: {', '.join(ENGINES)}")
    return ENGINES[name]
