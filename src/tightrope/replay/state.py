"""The arrays a replay runs on: one numpy structured array per kind of thing, so that compiled functions pass a row by reference.

Times are seconds from the start of the replay, tokens are counts. ``Row`` is one element of such an array: reading and setting
its fields reads and sets the array. Requests that are somewhere in the fleet have a row in ``requests``, given back when they end;
what became of them stands in arrays by their number.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray

Row: TypeAlias = np.record
Rows: TypeAlias = np.recarray


def _code(value: int) -> int:
    """Return an integer of numpy's: numba compiles a function anew for every one of Python's that is passed to it."""
    code: Any = np.int64(value)
    return code


OFF, STARTING, READY, DRAINING = map(_code, range(4))
IDLE, DECODING, STEPPING, BATCHING, WAITING, COLD = map(_code, range(6))
WORKING = (DECODING, STEPPING, BATCHING)
NO_DRILL, ZONE_LOSS, SPOT_ZONE_LOSS, SPOT_STORM, METRICS_LOSS = map(_code, range(5))
ANSWERED, CACHED, SHED, TOO_LARGE, NO_POOL, UNANSWERED = map(_code, range(6))
"""As in ``ENDINGS``."""
WINDOW_ROWS = 6
REQUESTS, LINE, LENGTH, ORDER, CHOSEN, TAKEN = map(_code, range(WINDOW_ROWS))
"""Rows of ``ReplayState.window``: request, its queue, its length; places by length; places chosen; place taken or not."""
NONE, FIRST, ONE = _code(-1), _code(0), _code(1)
NEVER = np.inf
CLOSED = _code(1 << 60)
"""Load of an engine that takes no new requests."""


def _dtype(whole: str, real: str) -> np.dtype:
    """Return the dtype with int64 fields named in ``whole`` and float64 fields named in ``real``."""
    return np.dtype([(name, np.int64) for name in whole.split()] + [(name, np.float64) for name in real.split()], align=True)


POOL = _dtype(
    "token_engine kv_capacity max_sequences chunk_tokens block_tokens max_batch knots counts group engines zones deferrable_limit classes "
    "ceiling serverless backs first_machine end_machine first_slot end_slot present used wanted woken",
    "overhead_s weights_s per_token_s per_cached_token_s max_wait_s weight start_s load_s keep_alive_s interruptions_per_s "
    "failures_per_s target cooldown_s active_s room_s",
)
"""``classes`` has a bit per deferrable class the pool may run; ``weight`` is requests/s of an engine, ``target`` what the
autoscaler steers a machine to; ``present`` counts machines that start or are ready, ``used`` all that are not off. ``woken`` says
that it runs though nothing is scheduled, ``active_s`` when a request of its was last there; a negative ``cooldown_s`` is none.
Of request engines whose times depend on length, ``knots`` is at how many they are known (0: they do not), ``counts`` says that arrivals
are counted, since partial batches may wait, and ``room_s`` is the longest that a batch of deferrable work may take."""
SLOT = _dtype(
    "pool machine mode waiting reading sequences step steps cached occupied progress prompt_tokens spared complete "
    "closed idle_blocks idle_head idle_tail free_frame",
    "begin_s base_s growth_s busy_s rate_per_s counted_s",
)
"""One engine. ``step`` counts decode steps, ``cached`` the tokens of decoding sequences, ``occupied`` the KV cache in use. ``reading``
prompts are read in the running step, ``complete`` of them to their end, the last up to ``progress``;
``spared`` is what the prefix cache spared them. ``steps``, ``base_s`` and ``growth_s`` describe the running decode run; ``closed``
says that the machine drains; ``idle_…`` and ``free_frame`` head lists of prefix blocks. ``rate_per_s`` came up to ``counted_s``."""
MACHINE = _dtype("pool state zone", "ready_s interrupt_s fail_s kill_s on_since_s idle_since_s")
REQUEST = _dtype(
    "number traffic_class level input_tokens output_tokens written pool next order spared shared first_block listed_blocks key attempts",
    "time_s begin_s first_s deadline_s due_s",
)
"""``written`` tokens of the answer were there when the prompt was begun; ``order`` numbers the beginnings; ``shared`` of its
``listed_blocks`` prefix blocks are held; ``attempts`` counts how often it was turned away, ``due_s`` when its client asks again."""
CLASS = _dtype("deferrable level retries routed", "answer_within_s shed_wait_s retry_after_s")
FRAME = _dtype("block holders before after chain seen", "")
"""A place for one prefix block: who holds it, its neighbours among the idle ones, the next of its bucket, the last look at it."""
KEPT = _dtype("before after", "made_s")
"""An answer in the response cache, one row a key; ``made_s`` is -inf where none is kept."""
SAMPLE = _dtype("ready starting draining queued running held", "")
WORK = _dtype("slot steps prompt_tokens sequences", "begin_s end_s")
SETTINGS = _dtype(
    "autoscale follow_pods lag_syncs window_syncs up_rounds down_rounds up_select down_select drill lost_zone levels "
    "arrived asked started sync live free orders looks interrupted retries preempted failed cold_starts shed "
    "kept_most kept_count kept_head kept_tail sample_every logged metric_at",
    "tolerance sync_s notice_s block_offset_s drill_s drill_end_s end_s retry_s ttl_s hit_s log_s",
)
"""``started`` counts machines ever asked for, ``asked`` requests ever taken in, ``live`` those that have not ended; ``free`` heads
the unused request rows; ``retry_s`` is when the next client asks again, ``metric_at`` where in ``arrivals`` requests are counted."""


def rows(dtype: np.dtype, *shape: int) -> Rows:
    """Return zeroed rows."""
    return np.zeros(shape, dtype=dtype).view(np.recarray)


class ReplayState(NamedTuple):
    """Everything a replay reads and writes."""

    settings: Rows  # [1]
    pools: Rows  # [pools]
    slots: Rows  # [slots]
    machines: Rows  # [machines]
    classes: Rows  # [classes]
    requests: Rows  # [rows in use at once]
    begin_s: FloatArray  # [requests], or [0]: what became of each, by its number
    first_s: FloatArray  # [requests], or [0]
    finish_s: FloatArray  # [requests], or [0]
    pool: NDArray[np.int32]  # [requests], or [0]
    ended: NDArray[np.int8]  # [requests], or [0]
    spared: NDArray[np.int32]  # [requests], or [0]
    time_s: FloatArray  # [arrivals], ascending
    traffic_class: IntArray  # [arrivals]
    input_tokens: IntArray  # [arrivals]
    output_tokens: IntArray  # [arrivals]
    key: IntArray  # [arrivals], or [0]
    deadline_s: FloatArray  # [arrivals], or [0]
    block_start: IntArray  # [arrivals + 1], or [0]
    blocks: IntArray  # [blocks of all prompts]
    event_s: FloatArray  # [slots] end of what the slot does now
    event_tree: IntArray  # [2 * slots] winner tree over ``event_s``
    load: IntArray  # [slots] requests on the slot, CLOSED where it takes none
    load_tree: IntArray  # [2 * slots] a winner tree over ``load`` for each pool
    heap: NDArray[np.int64]  # [slots, 2, concurrent sequences]: (decode step at its end, request), a binary heap
    lines: IntArray  # [slots, priorities, 2]: first and last of a queue
    reading: IntArray  # [slots, 2]: prompts that are being read
    held: IntArray  # [groups, 2]: requests that wait for a machine
    lost: IntArray  # [2]: requests whose machine is being taken
    queues: IntArray  # [classes, 2]: deferrable work; of other classes, those that will ask again
    going_on: IntArray  # [2, 2]: requests that go on from one answered by an engine, or from the cache
    next_part: IntArray  # [requests], or [0]: the request that goes on from each, NONE where none does
    service_s: FloatArray  # [pools, largest batch]
    by_length_s: FloatArray  # [pools, largest batch, most lengths], or [0] where no engine knows lengths
    lengths: IntArray  # [pools, most lengths]
    window: IntArray  # [WINDOW_ROWS, requests looked at]: the first of what waits, while a batch is chosen
    slack_s: FloatArray  # [requests looked at]
    cursor: IntArray  # [classes]: how far the queues of deferrable work were looked at
    floor: IntArray  # [pools, blocks of the week] scheduled machines
    share: FloatArray  # [classes, groups, blocks of the week]
    lifetimes: FloatArray  # [2, draws] unit exponential: to interruption, to failure
    hours: FloatArray  # [pools, billing hours] machine-hours
    arrivals: IntArray  # [pools, rounds kept] requests routed
    recommended: IntArray  # [pools, rounds kept] the autoscaler's recommendations
    changed: IntArray  # [pools, rounds kept] machines added to what is wanted
    measured: IntArray  # [machines, rounds kept] requests on each ready machine, NONE where it was not ready
    up_rules: FloatArray  # [rules, 3]
    down_rules: FloatArray  # [rules, 3]
    frames: Rows  # [slots, prefix blocks]
    buckets: IntArray  # [slots, hash buckets]
    kept: Rows  # [keys]
    samples: Rows  # [samples, pools]
    work: Rows  # [log entries]
