"""The bare loop of one process: batches of eight in order of length, no requests. ``bare.py FOLDER CORE CORES``.

Each line of its input is for how many seconds to work.
"""

import json
import os
import sys
import time
from pathlib import Path

from model import Model

BATCH = 8


def main(folder: str, core: int, cores: int) -> None:
    """Load, say so, and for each line work so many seconds and print texts, and seconds and processor seconds they took."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    model = Model(folder)
    texts = json.loads((Path(folder) / "texts.json").read_text())
    ordered = sorted(texts, key=lambda text: len(model.tokenizer.encode(text).ids))
    batches = [ordered[first : first + BATCH] for first in range(0, len(ordered), BATCH)][core::cores]
    print("ready", flush=True)
    place = 0
    for line in sys.stdin:
        count, began, used = 0, time.perf_counter(), time.process_time()
        while (took := time.perf_counter() - began) < float(line) or place % len(batches):
            count += len(model.label(batches[place % len(batches)]))
            place += 1
        print(count, took, time.process_time() - used, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
