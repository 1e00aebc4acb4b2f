"""A model opened by a runtime: what goes in and out by name, type and shape, and ``run``."""

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InputError, MissingExtraError, Where
from tightrope.serve.config.settings import LocalModel
from tightrope.serve.local.core_placement import held_to, take_turns

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
TYPES: dict[str, np.dtype[Any]] = {
    **{f"tensor({name})": np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
}
"""Type of a tensor, as onnxruntime names it → as numpy does."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``malloc.h``."""
KEPT_BYTES, MOST_MMAP_BYTES = 2**30, 32 * 2**20
"""Of each heap's end; the second is the largest that glibc takes."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output; ``shape`` has None where any number goes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Session(Protocol):
    """An open model; ``run`` may be called by one thread at a time for each that was opened."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def run(self, wanted: Sequence[str], feeds: Arrays) -> list[NDArray[Any]]:
        """Return the wanted outputs; raise whatever the runtime raises."""
        ...


def open_sessions(model: LocalModel, threads: int, places: Sequence[frozenset[int] | None]) -> tuple[Session, ...]:
    """Return a session for each of ``places``, opened there: a runtime's threads stay where they began. Raise ``InputError``."""
    if not model.path.is_file():
        msg = "there is no such file"
        raise InputError(msg, resolve="give the path of an ONNX model", where=Where(model.path))
    opened: Callable[[Path, int], Session] = _RUNTIMES[model.engine]
    sessions: list[Session] = []
    take_turns()
    for place in places:
        with held_to(place):
            sessions.append(opened(model.path, threads))
    return tuple(sessions)


def _glibc(name: str) -> Callable[..., int] | None:
    """Return a function of glibc's; None on other systems, and where the C library has none such (musl)."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep the memory that a batch gave back for the next one (mallopt(3)): to ask the system each time costs 2 %."""
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, MOST_MMAP_BYTES)


def give_back_memory() -> None:
    """Give the system the memory that was freed (malloc_trim(3)): call it when a model has been let go of, in a thread."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


class OnnxRuntime:
    """A session of onnxruntime, whose threads do not spin while they wait: an idle engine leaves its cores to the others.

    Nor has it an arena or patterns of memory, which are for batches of one shape. Where each batch has another, malloc gives hot memory
    sooner: MiniLM in static int8 answered 5 % more short texts on two engines, and as many long ones (2026-11, onnxruntime 1.32).
    """

    def __init__(self, path: Path, threads: int) -> None:
        """Open the file; raise ``InputError`` where the runtime refuses it."""
        try:
            import onnxruntime
        except ImportError as error:
            msg = f"running {path.name} needs onnxruntime, which is not installed"
            raise MissingExtraError(msg, resolve="pip install 'tightrope[serve]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = options.enable_cpu_mem_arena = False
        keep_freed_memory()
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises kinds of its own
            raise _refused(path, error) from error
        self._run: Any = session.run
        self.inputs = tuple(_port(path, item.name, item.type, item.shape) for item in session.get_inputs())
        self.outputs = tuple(_port(path, item.name, item.type, item.shape) for item in session.get_outputs())

    def run(self, wanted: Sequence[str], feeds: Arrays) -> list[NDArray[Any]]:
        """Return the wanted outputs."""
        found: list[NDArray[Any]] = self._run(wanted, feeds)
        return found


class OpenVino:
    """A model compiled by OpenVINO; each thread that runs it has a request of its own."""

    def __init__(self, path: Path, threads: int) -> None:
        """Compile the file; raise ``InputError`` where the runtime refuses it."""
        try:
            import openvino  # pyrefly: ignore[missing-import]
        except ImportError as error:
            msg = f"{path.name} is to run on OpenVINO, which is not installed"
            raise MissingExtraError(msg, resolve="pip install 'tightrope[openvino]', or engine: onnxruntime") from error
        hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        try:
            core = openvino.Core()
            self._model: Any = core.compile_model(core.read_model(str(path)), "CPU", hints)
        except Exception as error:  # as above
            raise _refused(path, error) from error
        self._local = threading.local()
        self.inputs = tuple(self._port(item) for item in self._model.inputs)
        self.outputs = tuple(self._port(item) for item in self._model.outputs)
        self._places = {port.name: place for place, port in enumerate(self.outputs)}

    def run(self, wanted: Sequence[str], feeds: Arrays) -> list[NDArray[Any]]:
        """Return the wanted outputs."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._model.create_infer_request()
        request.infer(dict(feeds))
        return [request.get_output_tensor(self._places[name]).data.copy() for name in wanted]

    @staticmethod
    def _port(item: Any) -> Port:  # noqa: ANN401 - openvino's own
        """Return what one input or output is."""
        shape = tuple(None if dimension.is_dynamic else int(dimension.get_length()) for dimension in item.get_partial_shape())
        return Port(item.get_any_name(), np.dtype(item.get_element_type().to_dtype()), shape)


_RUNTIMES: dict[str, Callable[[Path, int], Session]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def quantises_while_running(path: Path) -> bool:
    """Return whether the file has operators that choose a scale by what they are given, all rows of a batch together."""
    import mmap  # once for each load

    if os.stat(path).st_size == 0:  # noqa: PTH116 - of what was opened before
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"DynamicQuantize") >= 0


def _port(path: Path, name: str, kind: str, shape: Sequence[int | str | None]) -> Port:
    """Return what one input or output is; raise ``InputError`` where numpy has no such type."""
    if kind not in TYPES:
        msg = f"{name!r} is a {kind}, which is not supported"
        raise InputError(msg, resolve=f"export the model with one of {', '.join(TYPES)}", where=Where(path))
    return Port(name, TYPES[kind], tuple(size if isinstance(size, int) and size >= 0 else None for size in shape))


def _refused(path: Path, error: Exception) -> InputError:
    """Return what a runtime's refusal means to the user, and what to do."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")[:300]
    kind, lower = type(error).__name__, str(error).lower()
    if kind == "InvalidProtobuf" or "no graph was found" in lower:
        meaning, resolve = "this is not an ONNX model, or not all of one", "give the file that the export wrote, whole"
    elif "external data" in lower or kind == "NoSuchFile":
        meaning = "a file of the model's weights is missing"
        resolve = "keep the external data beside the model, under the name that it was exported with"
    elif "opset" in lower or "ir version" in lower:
        meaning, resolve = "the model is newer than the runtime", "export it with an older opset, or install a newer onnxruntime"
    else:
        meaning, resolve = "the runtime refuses the model", "check it with onnx.checker, or export it with another opset"
    return InputError(f"{meaning} ({kind}: {first})", resolve=resolve, where=Where(path))
