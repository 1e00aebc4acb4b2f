"""What is asked of a language model's server so that each coefficient of its engine shows."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tightrope.base.errors import InputError
from tightrope.perf.endpoint.client import Client, FailedError, StreamedAnswer
from tightrope.perf.endpoint.engine_steps import WHOLE, Observation, Peak, decode_steps, most_cached, most_running, prompt_steps
from tightrope.perf.endpoint.fit import EndpointCoefficients, fit_all, tabulate
from tightrope.perf.endpoint.load_generation import together
from tightrope.perf.endpoint.prompts import Prompts

Progress = Callable[[str], None]
SHORT_WORDS = 12
"""Of prompts whose context does not count."""
CALIBRATION = (40, 240)
"""Words of the prompts from which the tokens of a word are learnt."""
CALIBRATION_TOKENS = 16
FIRST_CHUNK = 256
"""Tokens of a step that are reckoned with before they were seen."""
FEW = 6
"""With fewer long prompts in memory than this, shorter ones are tried: memory is seen in portions of a prompt."""
FILLS = 1.3
"""Prompts are not made so short that all sequences together hold less than so many times the memory."""
SPREAD = 0.05
"""A limit that is known less well is not reported."""


@dataclass(frozen=True, slots=True)
class ExperimentLimits:
    """How far the experiments go, and what is known already."""

    max_prompt: int = 8192
    max_concurrency: int = 512
    decode_tokens: int = 48
    repeats: int = 2
    seed: int = 1
    chunk_tokens: int | None = None
    max_sequences: int | None = None
    kv_capacity_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EngineLimit:
    """A limit of the engine, and how it is known."""

    value: int
    lower: int
    upper: int
    how: str


@dataclass
class Lab:
    """One server under experiments; what is seen is gathered in ``observations``."""

    client: Client
    asked: ExperimentLimits
    prompts: Prompts
    say: Progress
    context_tokens: int | None = None
    observations: list[Observation] = field(default_factory=list)

    async def calibrate(self) -> None:
        """Learn how many tokens a word is; raise ``InputError`` where answers do not have the length that is asked for."""
        self.say("how the server counts tokens")
        try:
            first = await self.generate(CALIBRATION[0])
        except FailedError as error:
            if error.kind not in {"status 400", "status 422"}:
                raise
            self.client.exact_length = False
            first = await self.generate(CALIBRATION[0])
        more = self._more_words(first.prompt_tokens)
        second = await self.generate(more)
        per_word = (second.prompt_tokens - first.prompt_tokens) / (more - CALIBRATION[0])
        if min(first.output_tokens, second.output_tokens) < CALIBRATION_TOKENS or per_word <= 0:
            msg = (
                f"answers of {CALIBRATION_TOKENS} tokens were asked for and {first.output_tokens} and {second.output_tokens} came, "
                f"to prompts of {first.prompt_tokens} and {second.prompt_tokens} tokens"
            )
            raise InputError(msg, resolve="use a server that takes ignore_eos, as vLLM and SGLang do, and counts what it reads")
        self.prompts = replace(self.prompts, fixed=first.prompt_tokens - per_word * CALIBRATION[0], per_word=per_word)

    def _more_words(self, first_tokens: int) -> int:
        """Return the words of the longer prompt, so that it fits into the model's context by what the shorter one had."""
        room = CALIBRATION[1] if self.context_tokens is None else int(0.5 * self.context_tokens / first_tokens * CALIBRATION[0])
        return max(CALIBRATION[0] + 1, min(CALIBRATION[1], room))

    async def generate(self, words: int) -> StreamedAnswer:
        """Return a short answer to so many words."""
        return await self.client.generate(self.prompts.words(words), CALIBRATION_TOKENS)

    @property
    def short(self) -> int:
        """Tokens of a prompt whose context does not count."""
        return round(self.prompts.fixed + self.prompts.per_word * SHORT_WORDS)

    @property
    def long(self) -> int:
        """Tokens of the longest prompt: as asked for, and so that an answer fits into the model's context as well."""
        return min(self.asked.max_prompt, int(0.75 * self.context_tokens) if self.context_tokens else self.asked.max_prompt)

    def answer(self, tokens: float, prompt: int) -> int:
        """Return a length for an answer, cut where the model's context ends."""
        room = self.context_tokens - prompt - 8 if self.context_tokens else math.inf
        return max(2, int(min(math.ceil(tokens), room)))

    async def burst(self, count: int, prompt: int, tokens: float) -> list[StreamedAnswer]:
        """Return the answers to so many prompts that are sent at once."""
        length = self.answer(tokens, prompt)
        return await together([self.client.generate(self.prompts.text(prompt), length) for _ in range(count)])

    # ------------------------------------------------------------------------------------------------------- the experiments

    async def decode_alone(self) -> None:
        """Decode one sequence over contexts from short to long."""
        for prompt in spaced(self.short, self.long, 4):
            self.say(f"decode one sequence over {prompt} tokens")
            self.observations += decode_steps(await self.burst(1, prompt, self.asked.decode_tokens), "one sequence")

    async def sequences(self) -> Peak | None:
        """Decode more and more short sequences at a time; return the peak where no more ran, None where all did."""
        most = min(self.asked.max_concurrency, self.asked.max_sequences or self.asked.max_concurrency)
        for count in doubling(2, most):
            self.say(f"decode {count} sequences at a time")
            tokens = self.asked.decode_tokens + 2 * math.ceil(count * self.short / self.chunk_guess)
            streams = await self.burst(count, self.short, tokens)
            peak = most_running(streams)
            if peak.sequences < count:
                return peak
            self.observations += decode_steps(streams, "many sequences")
        return None

    @property
    def chunk_guess(self) -> int:
        """Tokens of a step to reckon with."""
        return self.asked.chunk_tokens or FIRST_CHUNK

    async def prompt_times(self, lengths: Iterable[int]) -> None:
        """Read prompts alone, for their first token, and beside a sequence whose tokens show the prompt's steps."""
        for prompt in lengths:
            self.say(f"read {prompt} tokens")
            alone = await self.client.generate(self.prompts.text(prompt), 1)
            self.observations.append(Observation("first token", alone.ttft_s, 0, 0.0, alone.prompt_tokens, WHOLE))
            self.observations += await self._beside(prompt)

    async def _beside(self, prompt: int) -> list[Observation]:
        """Return the steps of a prompt that is read, some times over, beside one sequence."""
        tokens = 8 + self.asked.repeats * (8 + 2 * math.ceil(prompt / self.chunk_guess))
        began = asyncio.Event()
        text = self.prompts.text(self.short)
        steady = asyncio.create_task(self.client.generate(text, self.answer(tokens, self.short), began))
        waiting = asyncio.create_task(began.wait())
        try:
            await asyncio.wait({steady, waiting}, return_when=asyncio.FIRST_COMPLETED)
            texts = [self.prompts.text(prompt) for _ in range(self.asked.repeats)]
            read = [await self.client.generate(text, 1) for text in texts if not steady.done()]
            beside = await steady
        finally:
            for task in (steady, waiting):
                task.cancel()
            await asyncio.gather(steady, waiting, return_exceptions=True)
        return [row for stream in read for row in prompt_steps(beside, stream, "prompt beside a sequence")]

    def first_fit(self) -> EndpointCoefficients:
        """Return what the observations so far tell."""
        return fit_all(tabulate(self.observations), self.asked.chunk_tokens)

    async def memory(self, chunk: int, most: int) -> EngineLimit:
        """Fill the KV cache with long sequences; raise ``InputError`` where it is never full."""
        known, prompt, count = self.asked.kv_capacity_tokens, self.long, 2
        if known is not None:
            for count in doubling(2, min(8, most, known // (prompt + 4 * self.asked.decode_tokens))):
                await self._contexts(count, prompt, chunk)
            return EngineLimit(known, known, known, "")
        while True:
            held = await self._until_full(count, prompt, chunk, most)
            if held is None:
                msg = f"{most} sequences of {prompt} tokens did not fill the KV cache, so its capacity is not known"
                raise InputError(
                    msg, resolve="allow longer prompts (--max-prompt) or more at once (--max-concurrency), or state --kv-tokens"
                )
            shorter = max(prompt // 3, 2 * self.short, math.ceil(FILLS * (held + 1) * prompt / most))
            if held >= FEW or shorter > 0.8 * prompt:
                return await self._grown(held, prompt, chunk)
            prompt, count = shorter, max(2, held)

    async def _until_full(self, count: int, prompt: int, chunk: int, most: int) -> int | None:
        """Return how many prompts of one length the memory holds; None where ``most`` do not fill it."""
        for number in doubling(count, most):
            streams = await self._contexts(number, prompt, chunk)
            peak = most_running(streams)
            if peak.sequences < number:
                return peak.sequences
        return None

    async def _contexts(self, count: int, prompt: int, chunk: int) -> list[StreamedAnswer]:
        """Return the answers to long prompts that are sent at once; what they show of steps is kept."""
        self.say(f"decode {count} sequences over {prompt} tokens each")
        streams = await self.burst(count, prompt, self.asked.decode_tokens + 1.2 * count * prompt / chunk)
        if most_running(streams).sequences == count:
            self.observations += decode_steps(streams, "long contexts")
        return streams

    async def _grown(self, held: int, prompt: int, chunk: int) -> EngineLimit:
        """Return the capacity from sequences that grow until one is put back: then it is known to one token of each."""
        self.say(f"let {held} sequences of {prompt} tokens grow until the KV cache is full")
        tokens = 1.3 * (held * math.ceil(prompt / chunk) + prompt / held) + self.asked.decode_tokens
        peak = most_cached(await self.burst(held + 4, prompt, tokens))
        upper = peak.tokens + peak.sequences if peak.stalled else peak.tokens + peak.sequences + prompt
        value = (peak.tokens + upper) // 2 if peak.stalled else peak.tokens
        if upper - peak.tokens > 2 * SPREAD * value:
            msg = f"the KV cache holds between {peak.tokens} and {upper} tokens: that is not close enough"
            raise InputError(msg, resolve="state --kv-tokens, or let the answers be longer: a larger context of the model")
        seen = "until one was preempted" if peak.stalled else "until no further prompt was let in"
        return EngineLimit(value, peak.tokens, upper, f"measured: {peak.sequences} sequences grew {seen}")


def doubling(first: int, last: int) -> list[int]:
    """Return numbers that double, the last one included.

    >>> doubling(2, 12)
    [2, 4, 8, 12]
    """
    numbers = []
    while first < last:
        numbers.append(first)
        first *= 2
    return [*numbers, last] if last >= 1 else []


def spaced(first: float, last: float, count: int) -> list[int]:
    """Return whole numbers evenly between two.

    >>> spaced(10, 40, 4)
    [10, 20, 30, 40]
    """
    return np.unique(np.linspace(first, max(first, last), count).round().astype(int)).tolist()


def grown(first: float, last: float, count: int) -> list[int]:
    """Return whole numbers between two, each by the same factor above the one before.

    >>> grown(10, 80, 4)
    [10, 20, 40, 80]
    """
    return np.unique(np.geomspace(first, max(first, last), count).round().astype(int)).tolist()


def further_lengths(fit: EndpointCoefficients, short: int, longest: int) -> Sequence[int]:
    """Return the prompts that tell most, now that it is known where arithmetic begins to bound a step and where a step is full."""
    full = min(fit.chunk_tokens, longest)
    bound = [*spaced(max(short, 1.1 * fit.threshold), 0.98 * full, 5)] if fit.threshold < full else []
    beyond = [round(share * fit.chunk_tokens) for share in (1.35, 1.8, 2.5, 3.3)]
    return [length for length in (*bound, *beyond) if short <= length <= longest]
