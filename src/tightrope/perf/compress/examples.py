"""Labelled examples: texts that a tokenizer turns into a model's inputs, or the inputs themselves."""

import csv
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.base.errors import InputError, Where, build_unknown_name_error
from tightrope.base.records import IntArray
from tightrope.perf.compress.graph import AnyArray

BATCH = 16
"""Examples that are run together where speed is not the question."""
MOST_FIELD = 2**24
WHOLE = re.compile(r"-?(0|[1-9]\d{0,8})")
MARKS = {"type": "types", "mask": "mask", "ids": "ids"}
"""Part of an input's name → what a tokenizer gives for it."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples in the order of the file; ``inputs`` are padded with zeros to the longest, ``lengths`` say where."""

    inputs: dict[str, AnyArray]
    labels: IntArray
    """int64[examples], places in ``classes``."""
    classes: tuple[str, ...]
    lengths: IntArray | None = None
    """int64[examples]; None where all inputs have one shape."""
    texts: tuple[str, ...] = ()
    """Empty where the file had arrays."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)

    def take(self, places: IntArray) -> "Examples":
        """Return some of the examples, in that order."""
        lengths = None if self.lengths is None else self.lengths[places]
        inputs = {name: value[places] for name, value in self.inputs.items()}
        texts = tuple(self.texts[place] for place in places) if self.texts else ()
        return Examples(inputs, self.labels[places], self.classes, lengths, texts)

    def batches(self, size: int = BATCH) -> Iterator[tuple[IntArray, dict[str, AnyArray]]]:
        """Yield places and inputs, those of like length together, each batch as long as its longest."""
        order = np.arange(len(self)) if self.lengths is None else np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), size):
            places = order[start : start + size]
            longest = None if self.lengths is None else max(1, int(self.lengths[places].max()))
            yield (
                places,
                {name: value[places] if longest is None else value[places, :longest] for name, value in self.inputs.items()},
            )


@dataclass(frozen=True, slots=True)
class TextColumns:
    """How a file of texts is to be read."""

    text: str = "text"
    label: str = "label"
    tokenizer: Path | None = None
    length: int = 128
    """Tokens of a text that are kept."""


def load_examples(path: Path, inputs: Sequence[tuple[str, str]], columns: TextColumns, classes: Sequence[str] = ()) -> Examples:
    """Return the examples of a .csv, .tsv or .jsonl of texts, or an .npz of arrays; ``inputs`` are the model's names and types.

    Labels are numbered in the order of ``classes``; where it is empty, by their number, or by the alphabet. Raises ``InputError``.
    """
    if not path.is_file():
        msg = "there is no such file"
        raise InputError(msg, resolve="give a .csv, .tsv, .jsonl or .npz file of labelled examples", where=Where(path))
    if path.suffix == ".npz":
        return _arrays(path, inputs, columns.label, classes)
    texts, labels = _texts(path, columns)
    numbers, known = _numbered(labels, classes, path)
    tokens = _tokenized(texts, columns, path)
    lengths = np.array([len(item) for item in tokens])
    ids = np.zeros((len(tokens), max(1, int(lengths.max()))), np.int64)
    mask = np.zeros_like(ids)
    for row, item in enumerate(tokens):
        ids[row, : len(item)], mask[row, : len(item)] = item, 1
    given = {"ids": ids, "mask": mask, "types": np.zeros_like(ids)}
    held = {name: given[_mark(name, path)].astype(_dtype(kind)) for name, kind in inputs}
    return Examples(held, numbers, known, lengths, tuple(texts))


def _mark(name: str, path: Path) -> str:
    """Return what a tokenizer gives for an input."""
    for part, mark in MARKS.items():
        if part in name:
            return mark
    msg = f"the model's input {name!r} is not one that a text has: ids, mask or types"
    raise InputError(msg, resolve="give the examples as an .npz with an array for each input, and labels", where=Where(path))


def _dtype(kind: str) -> type[np.generic]:
    """Return the type of an input's numbers."""
    return {"tensor(int32)": np.int32, "tensor(float)": np.float32}.get(kind, np.int64)


def _texts(path: Path, columns: TextColumns) -> tuple[list[str], list[str]]:
    """Return texts and labels, row by row."""
    rows = list(_json_rows(path) if path.suffix == ".jsonl" else _table_rows(path))
    if not rows:
        msg = "the file has no example"
        raise InputError(msg, resolve="give a file with a text and a label in every row", where=Where(path))
    for name in (columns.text, columns.label):
        if name not in rows[0]:
            raise build_unknown_name_error(name, kind="column", known=rows[0], where=Where(path))
    for line, row in enumerate(rows, 1):
        if row.get(columns.text) is None or row.get(columns.label) in {None, ""}:
            msg = f"example {line} lacks its text or its label"
            raise InputError(msg, resolve="complete the row, or remove it", where=Where(path))
    return [str(row[columns.text]) for row in rows], [str(row[columns.label]) for row in rows]


def _table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a .csv or .tsv."""
    csv.field_size_limit(MOST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from csv.DictReader(lines, delimiter="\t" if path.suffix in {".tsv", ".tab"} else ",")
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"this is not a table of texts: {error}"
        raise InputError(msg, resolve="give a .csv, .tsv or .jsonl in UTF-8", where=Where(path)) from error


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a .jsonl."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            msg = "this line is not a JSON object"
            raise InputError(msg, resolve='write one object a line: {"text": "…", "label": "…"}', where=Where(path, number))
        yield row


def _tokenized(texts: list[str], columns: TextColumns, path: Path) -> list[list[int]]:
    """Return each text's token ids, cut to the length."""
    from tokenizers import Tokenizer

    if columns.tokenizer is None or not columns.tokenizer.is_file():
        msg = f"texts need the model's tokenizer.json, and there is none{'' if columns.tokenizer is None else f' at {columns.tokenizer}'}"
        raise InputError(msg, resolve="say where it is: --tokenizer FILE", where=Where(path))
    try:
        tokenizer = Tokenizer.from_file(str(columns.tokenizer))
    except Exception as error:  # the package raises bare Exception
        msg = f"this is not a tokenizer ({str(error)[:200]})"
        raise InputError(msg, resolve="give the tokenizer.json of the model", where=Where(columns.tokenizer)) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(columns.length)
    return [item.ids for item in tokenizer.encode_batch(texts)]


def _numbered(labels: Sequence[str], classes: Sequence[str], path: Path) -> tuple[IntArray, tuple[str, ...]]:
    """Return labels as places among the classes."""
    known = tuple(classes) or _ordered(set(labels))
    if strange := sorted(set(labels) - set(known)):
        msg = f"{len(strange)} labels are in no example to learn from, such as {strange[0]!r}"
        raise InputError(msg, resolve="use the same labels in both files", where=Where(path))
    if len(known) < 2:
        msg = f"all examples have the label {known[0]!r}, expected two or more"
        raise InputError(msg, resolve="give examples of every class", where=Where(path))
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[label] for label in labels], np.int64), known


def _ordered(labels: set[str]) -> tuple[str, ...]:
    """Return the classes of labels in order: whole numbers from 0 on as a model counts its scores, names by the alphabet.

    >>> _ordered({"10", "9", "0"}), _ordered({"2", "0", "3"}), _ordered({"sport", "law"})
    (('0', '9', '10'), ('0', '1', '2', '3'), ('law', 'sport'))
    """
    if any(WHOLE.fullmatch(label) is None for label in labels):
        return tuple(sorted(labels))
    numbers = sorted(map(int, labels))
    every = range(numbers[-1] + 1)
    return tuple(map(str, every if numbers[0] == 0 and len(every) < 2 * len(numbers) else numbers))


def _arrays(path: Path, inputs: Sequence[tuple[str, str]], label: str, classes: Sequence[str]) -> Examples:
    """Return the examples of an .npz."""
    held = _read_arrays(path)
    for name in (*(name for name, _ in inputs), label):
        if name not in held:
            raise build_unknown_name_error(name, kind="array", known=held, where=Where(path))
    counts = {name: len(np.atleast_1d(held[name])) for name in (*(name for name, _ in inputs), label)}
    if len(set(counts.values())) > 1 or not counts[label] or held[label].ndim != 1:
        msg = f"the arrays have different or no examples, or not one label for each: {counts}"
        raise InputError(msg, resolve="give every array one row for each example", where=Where(path))
    numbers, known = _numbered([str(item) for item in held[label].tolist()], classes, path)
    return Examples({name: held[name] for name, _ in inputs}, numbers, known)


def _read_arrays(path: Path) -> dict[str, AnyArray]:
    """Return all arrays of an .npz; raise ``InputError`` where it is something else, or not all of one."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        msg = f"this is not an .npz of plain arrays: {error}"
        raise InputError(msg, resolve="write it with numpy.savez", where=Where(path)) from error


def split(examples: Examples, shares: Sequence[float], seed: int) -> list[Examples]:
    """Return disjoint parts of the examples, by a fixed shuffle, each in the order of the file."""
    order = np.random.default_rng(seed).permutation(len(examples))
    cuts = np.round(np.cumsum([0.0, *shares]) * len(examples)).astype(int)
    return [examples.take(np.sort(order[a:b])) for a, b in pairwise(cuts)]
