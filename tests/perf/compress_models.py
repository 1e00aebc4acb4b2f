"""Tiny models for the tests of compression: an encoder of two layers as exports write it, and examples that it can tell apart."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS, WIDTH, HEADS, INNER, LAYERS = 128, 16, 4, 96, 2
SPECIAL = ("[PAD]", "[UNK]")


def encoder(seed: int = 0, layers: int = LAYERS, *, first: bool = False, parts: bool = False) -> ModelProto:
    """Return a small BERT: word vectors, then attention and neurons, each added to what went in, normalised after that or ``first``.

    ``parts`` writes attention as an export without fused operators does.
    """
    random = np.random.default_rng(seed)
    held: dict[str, np.ndarray] = {
        "words": random.normal(0, 1, (WORDS, WIDTH)),
        "one": np.array(1.0),
        "far": np.array(-1e4),
        "root": np.array((WIDTH / HEADS) ** 0.5),
    }
    held |= {"n0s": np.ones(WIDTH), "n0b": np.zeros(WIDTH)}
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["vectors"]),
        helper.make_node("LayerNormalization", ["vectors", "n0s", "n0b"], ["x0"], axis=-1),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=1),
        helper.make_node("Sub", ["one", "mask"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "far"], ["far_hidden"]),
        helper.make_node("Unsqueeze", ["far_hidden", "axes"], ["hiding"]),
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Gather", ["shape", "first"], ["length"]),
        helper.make_node("Concat", ["batch", "heads", "length", "length"], ["square"], axis=0),
        helper.make_node("Expand", ["hiding", "square"], ["bias"]),
    ]
    whole = {"axes": np.array([1, 2]), "zero": np.array([0]), "first": np.array([1]), "heads": np.array([HEADS])}
    whole |= {"split": np.array([0, 0, HEADS, WIDTH // HEADS]), "join": np.array([0, 0, WIDTH])}
    for place in range(layers):
        nodes += layer(place, random, held, first=first, parts=parts)
    kind, more = ("LayerNormalization", ["n0s", "n0b"]) if first else ("Identity", [])
    nodes.append(helper.make_node(kind, [f"x{layers}", *more], ["last_hidden_state"]))
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()]
    constants += [numpy_helper.from_array(value.astype(np.int64), name) for name, value in whole.items()]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask")
    ]
    end = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "length", WIDTH])
    graph = helper.make_graph(nodes, "encoder", ids, [end], constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def layer(place: int, random: np.random.Generator, held: dict[str, np.ndarray], *, first: bool, parts: bool) -> list:
    """Return the nodes of one layer, and put its constants to the others."""
    name, begin = f"l{place}_", f"x{place}"
    for part, shape in {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH)}.items():
        held[f"{name}{part}"] = random.normal(0, 0.4, shape)
        held[f"{name}{part}b"] = random.normal(0, 0.1, shape[1])
    held[f"{name}up"], held[f"{name}upb"] = random.normal(0, 0.3, (WIDTH, INNER)), random.normal(0, 0.1, INNER)
    held[f"{name}up"] *= np.linspace(0.02, 1, INNER) ** 2
    held[f"{name}down"], held[f"{name}downb"] = random.normal(0, 0.3, (INNER, WIDTH)), np.zeros(WIDTH)
    for norm in ("n1", "n2"):
        held[f"{name}{norm}s"], held[f"{name}{norm}b"] = np.ones(WIDTH), np.zeros(WIDTH)
    nodes = [helper.make_node("LayerNormalization", [begin, f"{name}n1s", f"{name}n1b"], [f"{name}in"], axis=-1)] if first else []
    for part in "qkv":
        nodes += multiplied(f"{name}in" if first else begin, f"{name}{part}", f"{name}{part}_out")
    given = [f"{name}q_out", f"{name}k_out", f"{name}v_out", "", "", "bias"]
    whole = helper.make_node("MultiHeadAttention", given, [f"{name}att"], domain="com.microsoft", num_heads=HEADS)
    nodes += attention_parts(name) if parts else [whole]
    nodes += multiplied(f"{name}att", f"{name}o", f"{name}o_out")
    nodes.append(helper.make_node("Add", [f"{name}o_out", begin], [f"{name}sum"]))
    norm, kept = ("n2", f"{name}sum") if first else ("n1", f"{name}mid")
    nodes.append(
        helper.make_node("LayerNormalization", [f"{name}sum", f"{name}{norm}s", f"{name}{norm}b"], [f"{name}mid"], axis=-1)
    )
    nodes += multiplied(f"{name}mid", f"{name}up", f"{name}up_out")
    nodes.append(helper.make_node("Gelu", [f"{name}up_out"], [f"{name}act"]))
    nodes += multiplied(f"{name}act", f"{name}down", f"{name}down_out")
    end = f"x{place + 1}"
    nodes.append(helper.make_node("Add", [f"{name}down_out", kept], [end if first else f"{name}sum2"]))
    if not first:
        nodes.append(helper.make_node("LayerNormalization", [f"{name}sum2", f"{name}n2s", f"{name}n2b"], [end], axis=-1))
    return nodes


def attention_parts(name: str) -> list:
    """Return attention as plain operators."""
    nodes = []
    for part, turn in {"q": [0, 2, 1, 3], "k": [0, 2, 3, 1], "v": [0, 2, 1, 3]}.items():
        nodes.append(helper.make_node("Reshape", [f"{name}{part}_out", "split"], [f"{name}{part}_4"]))
        nodes.append(helper.make_node("Transpose", [f"{name}{part}_4"], [f"{name}{part}_turned"], perm=turn))
    steps = (
        ("MatMul", [f"{name}q_turned", f"{name}k_turned"], "score", {}),
        ("Div", [f"{name}score", "root"], "scaled", {}),
        ("Add", [f"{name}scaled", "bias"], "hidden", {}),
        ("Softmax", [f"{name}hidden"], "shares", {"axis": -1}),
        ("MatMul", [f"{name}shares", f"{name}v_turned"], "mixed", {}),
        ("Transpose", [f"{name}mixed"], "back", {"perm": [0, 2, 1, 3]}),
        ("Reshape", [f"{name}back", "join"], "att", {}),
    )
    return nodes + [helper.make_node(kind, given, [f"{name}{made}"], **more) for kind, given, made, more in steps]


def multiplied(given: str, matrix: str, made: str) -> list:
    """Return a multiplication and its bias."""
    return [
        helper.make_node("MatMul", [given, matrix], [f"{made}_m"]),
        helper.make_node("Add", [f"{made}_m", f"{matrix}b"], [made]),
    ]


def write_encoder(folder: Path, **other: int) -> Path:
    """Write the encoder, and its tokenizer beside it."""
    model = encoder(**other)
    checker.check_model(model)
    (folder / "encoder.onnx").write_bytes(model.SerializeToString())
    words = {word: place for place, word in enumerate([*SPECIAL, *(f"w{place}" for place in range(WORDS - 2))])}
    tokenizer = Tokenizer(models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "encoder.onnx"


def write_texts(path: Path, count: int = 400, seed: int = 3) -> Path:
    """Write labelled texts: words of the first half of the vocabulary, or of the second, and some of both."""
    random = np.random.default_rng(seed)
    lines = ["text,label"]
    for place in range(count):
        side = place % 2
        words = random.integers(0, 31, random.integers(3, 12)) + 31 * side
        words = np.where(random.random(len(words)) < 0.3, random.integers(0, 62, len(words)), words)
        lines.append(" ".join(f"w{word}" for word in words) + f",{'ab'[side]}")
    path.write_text("\n".join(lines) + "\n")
    return path
