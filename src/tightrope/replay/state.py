"""The records a replay runs on: one numpy structured array per kind of thing, so that compiled functions pass a row by reference.

Times are seconds from the start of the replay, tokens are counts. ``Row`` is one element of such an array: reading and setting
its fields reads and sets the array. Engine rows live in ``slots`` (one engine of a machine); the ends of their running work live
apart in ``event_s`` (float64[slots]), since the event loop scans them.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.base.records import FloatArray, IntArray

Row: TypeAlias = np.record
Rows: TypeAlias = np.recarray

OFF, STARTING, READY, DRAINING = 0, 1, 2, 3
IDLE, DECODING, STEPPING, BATCHING, WAITING = 0, 1, 2, 3, 4
WORKING = (DECODING, STEPPING, BATCHING)
NONE = -1
NEVER = np.inf


def _dtype(whole: str, real: str) -> np.dtype:
    """Return the dtype with int64 fields named in ``whole`` and float64 fields named in ``real``."""
    return np.dtype([(name, np.int64) for name in whole.split()] + [(name, np.float64) for name in real.split()])


POOL = _dtype(
    "token_engine kv_capacity max_sequences chunk_tokens max_batch group engines zones deferrable_limit classes ceiling "
    "first_machine end_machine first_slot end_slot",
    "overhead_s weights_s per_token_s per_cached_token_s max_wait_s weight start_s interruptions_per_s capacity_per_s",
)
"""``classes`` has a bit per deferrable class the pool may run; ``weight`` and ``capacity_per_s`` are requests/s of a slot and
of a machine."""
SLOT = _dtype(
    "pool machine mode head tail waiting sequences step cached reserved progress prefilled steps closed",
    "begin_s base_s growth_s busy_s",
)
"""``step`` counts decode steps, ``cached`` the tokens of decoding sequences, ``progress`` the head's prefilled tokens,
``prefilled`` the prompts that end in the running step; ``steps``, ``base_s`` and ``growth_s`` describe the running decode run;
``closed`` says that the machine drains."""
MACHINE = _dtype("pool state zone", "ready_s interrupt_s kill_s on_since_s")
REQUEST = _dtype("traffic_class input_tokens output_tokens pool next", "time_s first_s finish_s")
QUEUE = _dtype("deferrable head tail count", "")
"""One row a variant group (requests that wait for its first replica), then one a class (deferrable work; requests routed)."""
SETTINGS = _dtype(
    "autoscale lag_syncs window_syncs groups lost_zone arrived started interrupted retries sync",
    "target_utilisation tolerance sync_s notice_s block_offset_s zone_loss_s zone_loss_end_s end_s",
)


def rows(dtype: np.dtype, size: int) -> Rows:
    """Return ``size`` zeroed rows."""
    return np.zeros(size, dtype=dtype).view(np.recarray)


class World(NamedTuple):
    """Everything a replay reads and writes."""

    settings: Rows  # [1]
    pools: Rows  # [pools]
    slots: Rows  # [slots]
    machines: Rows  # [machines]
    requests: Rows  # [requests], ascending in time
    queues: Rows  # [groups + classes]
    event_s: FloatArray  # [slots] end of what the slot does now
    heap: NDArray[np.int64]  # [slots, 2, concurrent sequences]: (decode step at its end, request), a binary heap
    service_s: FloatArray  # [pools, largest batch]
    floor: IntArray  # [pools, blocks of the week] scheduled machines
    share: FloatArray  # [classes, groups, blocks of the week]
    lifetimes: FloatArray  # unit exponential draws, consumed in order
    hours: FloatArray  # [pools, billing hours] machine-hours
    arrivals: IntArray  # [pools, sync periods kept] requests routed
    recommended: IntArray  # [pools, rounds of the stabilisation window] the autoscaler's recommendations
