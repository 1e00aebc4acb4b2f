"""An ONNX graph that can be asked: which node makes a tensor, which use it, and what its constants are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InputError, MissingExtraError, Where

AnyArray: TypeAlias = NDArray[Any]
MOST_BYTES = 2_000_000_000
"""What one protobuf file holds, and so what is written whole."""
LEAST_OPSET = 13
"""The first with a scale for each channel."""
EXTRA = "pip install 'tightrope[compress]'"


@dataclass(slots=True)
class Graph:
    """One model; after a change to its nodes ask ``fresh`` for one that knows of it."""

    model: Any
    constants: dict[str, AnyArray]
    """Initialiser → its values."""
    made_by: dict[str, Any]
    used_by: dict[str, list[Any]]
    outputs: frozenset[str] = field(default_factory=frozenset)

    @property
    def nodes(self) -> Any:  # noqa: ANN401 - onnx has no types
        """The nodes, in an order that can be run."""
        return self.model.graph.node

    def sole_user(self, name: str) -> Any:  # noqa: ANN401
        """Return the only node that uses a tensor; None where others do, or the model gives it out."""
        users = self.used_by.get(name, [])
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def weight(self, node: Any) -> AnyArray | None:  # noqa: ANN401
        """Return the matrix that a MatMul multiplies by; None where it is none, or computed."""
        if node is None or node.op_type != "MatMul" or node.input[1] not in self.constants:
            return None
        found = self.constants[node.input[1]]
        return found if found.ndim == 2 and found.dtype == np.float32 else None


def graph_of(model: Any) -> Graph:  # noqa: ANN401
    """Return a model as a graph that can be asked."""
    from onnx import numpy_helper

    used: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            used.setdefault(name, []).append(node)
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output if name}
    return Graph(model, constants, made, used, frozenset(item.name for item in model.graph.output))


def changed(
    graph: Graph, constants: dict[str, AnyArray], nodes: Iterable[Any] | None = None, rename: dict[str, str] | None = None
) -> Graph:
    """Return a copy with constants replaced or added, nodes replaced, and tensors renamed where they are used; what is unused goes."""
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(graph.model)
    kept = list(graph.nodes if nodes is None else nodes)
    del copy.graph.node[:], copy.graph.initializer[:], copy.graph.value_info[:]
    copy.graph.node.extend(kept)
    for node in copy.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = (rename or {}).get(name, name)
    _drop_unused(copy)
    wanted = {name for node in copy.graph.node for name in node.input} | {item.name for item in copy.graph.output}
    values = graph.constants | constants
    copy.graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in values if name in wanted)
    return graph_of(copy)


def _drop_unused(model: Any) -> None:  # noqa: ANN401
    """Remove the nodes whose outputs lead nowhere."""
    wanted = {item.name for item in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))


def as_bytes(graph: Graph) -> bytes:
    """Return the model as the bytes of a file: the same model gives the same bytes."""
    found: bytes = graph.model.SerializeToString(deterministic=True)
    return found


def _unfused(graph: Graph) -> Graph:
    """Return the model with every Gemm by a constant matrix as a MatMul and an Add, which is how the rest of this folder knows them."""
    from onnx import helper

    constants: dict[str, AnyArray] = {}
    nodes: list[Any] = []
    for node in graph.nodes:
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        plain = not settings.get("transA") and settings.get("alpha", 1.0) == settings.get("beta", 1.0) == 1.0
        if node.op_type != "Gemm" or not plain or node.input[1] not in graph.constants:
            nodes.append(node)
            continue
        matrix, made = node.input[1], node.output[0]
        name = f"{matrix}_turned" if settings.get("transB") else matrix
        constants[name] = np.ascontiguousarray(graph.constants[matrix].T) if settings.get("transB") else graph.constants[matrix]
        biased = len(node.input) > 2 and bool(node.input[2])
        product = f"{made}_product" if biased else made
        nodes.append(helper.make_node("MatMul", [node.input[0], name], [product], f"{made}_MatMul"))
        if biased:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [made], f"{made}_Add"))
    return changed(graph, constants, nodes)


# ------------------------------------------------------------------------------------------------------------------- loading


def load_graph(path: Path) -> Graph:
    """Return a model, its constants folded and its opset new enough; raise ``InputError`` where that cannot be done."""
    check_packages()
    model = _read(path)
    _check(model, path)
    return _unfused(graph_of(_simplified(_upgraded(model, path), path)))


def check_packages() -> None:
    """Raise ``MissingExtraError`` where a package is not installed."""
    from importlib.util import find_spec

    for package in ("onnx", "onnxruntime", "tokenizers"):
        if find_spec(package) is None:
            msg = f"compressing a model needs {package}, which is not installed"
            raise MissingExtraError(msg, resolve=EXTRA)


def _read(path: Path) -> Any:  # noqa: ANN401
    """Return the model of a file, with its external data."""
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        msg = "there is no such file"
        raise InputError(msg, resolve="give an .onnx file", where=Where(path))
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(path, path.stat().st_size)
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise _not_onnx(path) from error
    if not model.graph.node or not model.opset_import:
        raise _not_onnx(path)
    _load_external(model, path)
    return model


def _load_external(model: Any, path: Path) -> None:  # noqa: ANN401
    """Load what lies beside the model, once it is known to be there and to fit."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    parts = [ExternalDataInfo(item) for item in model.graph.initializer if uses_external_data(item)]
    names = sorted({part.location for part in parts})
    for name in names:
        if not (path.parent / name).is_file():
            msg = f"a part of the model is missing: {name!r} should lie beside it"
            raise InputError(
                msg,
                resolve="keep the external data beside the model, under the name that it was exported with",
                where=Where(path),
            )
    lengths = [part.length or 0 for part in parts]
    outside = sum(lengths) if all(lengths) else sum((path.parent / name).stat().st_size for name in names)
    size = path.stat().st_size + outside
    if size > MOST_BYTES:
        raise _too_large(path, size)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx raises its checker's own kinds, ValueError and OSError
        msg = f"the model's external data cannot be read ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
        raise InputError(msg, resolve="export the model again, or copy both of its files whole", where=Where(path)) from error


def _not_onnx(path: Path) -> InputError:
    """Return the error of a file that is something else."""
    msg = "this is not an ONNX model, or not all of one"
    return InputError(msg, resolve="give the file that the export wrote, whole", where=Where(path))


def _too_large(path: Path, size: int) -> InputError:
    """Return the error of a model that cannot be written as one file."""
    msg = f"the model has {size / 1e9:.1f} GB, at most {MOST_BYTES / 1e9:g} GB can be compressed here"
    return InputError(
        msg,
        resolve="compress large language models with their serving engine's own tool, such as llm-compressor",
        where=Where(path),
    )


def _check(model: Any, path: Path) -> None:  # noqa: ANN401
    """Refuse a graph that is not valid, or that is quantised already."""
    import onnx

    ours = {"QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "MatMulNBits", "QLinearMatMul"}
    if found := sorted({node.op_type for node in model.graph.node} & ours):
        msg = f"the model is quantised already: it has {', '.join(found)}"
        raise InputError(msg, resolve="give the model in float32 that it was made from", where=Where(path))
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
        msg = f"the model is not valid: {first}"
        raise InputError(msg, resolve="export it again, with an opset that onnx knows", where=Where(path)) from error


def _upgraded(model: Any, path: Path) -> Any:  # noqa: ANN401
    """Return the model with an opset that quantising needs."""
    from onnx import version_converter

    opset = next((item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}), LEAST_OPSET)
    if opset >= LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, LEAST_OPSET)
    except Exception as error:
        msg = f"the model has opset {opset}, and cannot be brought to {LEAST_OPSET}: {str(error).splitlines()[0][:200]}"
        raise InputError(msg, resolve=f"export it with opset {LEAST_OPSET} or newer", where=Where(path)) from error


def _simplified(model: Any, path: Path) -> Any:  # noqa: ANN401
    """Return the model with constants folded and what is redundant removed, nothing fused: fused nodes cannot be quantised."""
    import tempfile

    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/model.onnx"
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises kinds of its own
            first = next((line for line in str(error).splitlines() if line.strip()), "")[:300]
            msg = f"the runtime refuses the model ({type(error).__name__}: {first})"
            raise InputError(
                msg, resolve="check it with onnx.checker, or install a newer onnxruntime", where=Where(path)
            ) from error
        return onnx.load(f"{folder}/model.onnx")
