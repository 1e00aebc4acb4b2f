"""Models that read texts: tokens in, a vector or the probabilities of classes out, for each text as if it were alone."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InputError, MissingExtraError, Where
from tightrope.serve.config.settings import LocalModel
from tightrope.serve.local.models import Outputs, texts_of
from tightrope.serve.local.output_heads import OutputHead
from tightrope.serve.local.sessions import Port, Session
from tightrope.serve.local.wait_queue import CallTicket, WorkItem
from tightrope.serve.records import Call
from tightrope.serve.refusals import Malformed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MARKS = {"position": "positions", "type": "types", "mask": "mask", "ids": "ids"}
"""Part of an input's name → what a text has for it; the first that fits."""
KNOTS = tuple(2**power for power in range(3, 14))
LETTERS, TEXTS = 2048, 16
"""Texts that are longer together, or more, are tokenised in a thread: two thousand letters take the event loop a millisecond."""
RUN_LETTERS = 2**16
"""Of texts that are tokenised in one go: the tokenizer holds all their tokens, also those that are cut, some 400 bytes for a letter."""
TOKEN_LETTERS = 128
"""No text is read further than so many letters for each token that it may have: English has 4, a URL or a run of spaces some tens."""
OPENVINO_STEP = 8
"""Lengths that OpenVINO is given are multiples of this: it prepares each new shape, and texts of any length took 1.6 × as long."""


class TextModel:
    """Tokenisation, padding, and what is made of the model's answer."""

    def __init__(self, model: LocalModel, tokenizer: "Tokenizer", inputs: tuple[Port, ...]) -> None:
        """Check the inputs; ``finish`` is set when the model has answered once. Raise ``InputError``."""
        self._feeds = tuple((port.name, _mark(port, model.path), port.dtype) for port in inputs)
        shape = inputs[0].shape
        if any(len(port.shape) != 2 for port in inputs):
            msg = f"the inputs have shapes {[port.shape for port in inputs]}, expected [texts, tokens] of each"
            raise InputError(msg, resolve="serve it as task: infer, or export it with token ids in", where=Where(model.path))
        self._rows, self._fixed = shape
        self._step = OPENVINO_STEP if model.engine == "openvino" else 1
        most = min(model.max_tokens, self._fixed or model.max_tokens)
        tokenizer.no_padding()
        tokenizer.enable_truncation(most)
        self._encode, self._letters = tokenizer.encode_batch_fast, TOKEN_LETTERS * most
        self._pad, self._words = _pad_id(tokenizer), tokenizer.get_vocab_size()
        self.most = self._rows
        self.knots: tuple[int, ...] = (self._fixed,) if self._fixed else (*(knot for knot in KNOTS if knot < most), most)
        self.finish: OutputHead | None = None

    def heavy(self, call: Call) -> bool:
        """Return whether its texts are long or many."""
        inputs = call.inputs
        return len(inputs) > TEXTS or sum(map(len, inputs)) > LETTERS

    def items(self, ticket: CallTicket) -> Sequence[WorkItem]:
        """Return the tokens of each text."""
        texts = [text[: self._letters] for text in texts_of(ticket.call)]
        try:
            found = [one.ids for run in _runs(texts) for one in self._encode(run)]
        except (TypeError, UnicodeError) as error:  # half of a surrogate pair
            msg = "a text is not valid Unicode"
            raise Malformed(msg, parameter="input") from error
        return [self._item(ticket, index, ids) for index, ids in enumerate(found)]

    def run(self, session: Session, items: Sequence[WorkItem]) -> list[Any]:
        """Return a vector, or probabilities, for each text."""
        assert self.finish is not None  # noqa: S101 - set when it was loaded
        return self.finish(session.run(self.finish.wanted, self.feeds(items))[0], [item.tokens for item in items])

    def raw(self, session: Session, items: Sequence[WorkItem]) -> list[NDArray[Any]]:
        """Return what the model says of each text: the vectors of its tokens, or its own vector."""
        assert self.finish is not None  # noqa: S101 - as above
        found = session.run(self.finish.wanted, self.feeds(items))[0]
        return [
            np.asarray(found[row, : item.tokens] if found.ndim == 3 else found[row], np.float64).ravel()
            for row, item in enumerate(items)
        ]

    def outputs(self, parts: list[Any]) -> Outputs:
        """Return the answers."""
        return tuple(parts)

    def sample(self, size: int, length: int, seed: int) -> list[WorkItem]:
        """Return texts of random tokens."""
        ids = np.random.default_rng(seed).integers(0, self._words, (size, length)).tolist()
        return [self._item(None, index, row) for index, row in enumerate(ids)]  # type: ignore[arg-type] - nobody waits for it

    def feeds(self, items: Sequence[WorkItem]) -> dict[str, NDArray[Any]]:
        """Return the inputs of a batch, padded to its longest text."""
        longest = self._fixed or max(item.length for item in items)
        ids = np.full((self._rows or len(items), longest), self._pad, np.int64)
        mask = np.zeros(ids.shape, np.int64)
        for row, item in enumerate(items):
            ids[row, : item.tokens], mask[row, : item.tokens] = item.payload, 1
        if len(items) < len(mask):
            mask[len(items) :, 0] = 1  # rows that only fill a fixed batch: an empty mask divides by nothing
        made = {"ids": ids, "mask": mask}
        feeds = {}
        for name, mark, dtype in self._feeds:
            if mark == "types":
                feeds[name] = np.zeros(ids.shape, dtype)
            elif mark == "positions":
                feeds[name] = np.broadcast_to(np.arange(longest, dtype=dtype), ids.shape)
            else:
                feeds[name] = made[mark] if dtype == np.int64 else made[mark].astype(dtype)
        return feeds

    def _item(self, ticket: CallTicket | None, index: int, ids: list[int]) -> WorkItem:
        """Return one text; its length is what it is padded to where it is alone."""
        tokens = len(ids) or 1
        length = self._fixed or -(-tokens // self._step) * self._step
        return WorkItem(ticket, index, ids or [self._pad], length, 0, tokens)  # type: ignore[arg-type]


def _runs(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield texts in their order, those together that have few letters."""
    run: list[str] = []
    letters = 0
    for text in texts:
        letters += len(text)
        if run and letters > RUN_LETTERS:
            yield run
            run, letters = [text], len(text)
        else:
            run.append(text)
    yield run


def load_tokenizer(model: LocalModel) -> "Tokenizer":
    """Return the tokenizer of a model; raise ``InputError`` where there is none, or it is not one."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would take the engines' cores
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        msg = f"reading texts for {model.path.name} needs tokenizers, which is not installed"
        raise MissingExtraError(msg, resolve="pip install 'tightrope[serve]'") from error
    path = model.tokenizer or model.path.parent / "tokenizer.json"
    if not path.is_file():
        msg = "there is no tokenizer"
        raise InputError(
            msg, resolve="put the model's tokenizer.json beside it, or say where it is (tokenizer:)", where=Where(path)
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain exceptions
        msg = f"this is not a tokenizer that can be read: {str(error)[:200]}"
        raise InputError(msg, resolve="give the tokenizer.json of the model's own export", where=Where(path)) from error


def _mark(port: Port, path: Path) -> str:
    """Return what a text has for an input."""
    for part, mark in MARKS.items():
        if part in port.name and port.dtype.kind in "if":
            return mark
    msg = f"the input {port.name!r} ({port.dtype}) is not one that a text has: ids, mask, types or positions"
    raise InputError(msg, resolve="serve it as task: infer, or export it with the usual names of inputs", where=Where(path))


def _pad_id(tokenizer: "Tokenizer") -> int:
    """Return the token that pads, as the file says it; 0 where it says none."""
    said = json.loads(tokenizer.to_str()).get("padding") or {}
    return int(said.get("pad_id", tokenizer.token_to_id("[PAD]") or tokenizer.token_to_id("<pad>") or 0))
