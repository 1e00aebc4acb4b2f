"""What was promised to each class, judged request by request: kept, or not."""

from collections.abc import Iterable
from dataclasses import dataclass

from tightrope.base.plan import ServedClass
from tightrope.serve.metrics.prometheus_text import Count, Family
from tightrope.serve.records import Call, Reply

IN_TIME = "done in time"
"""The promise to deferrable work, as the rendered alerts' unit tests name it."""
LATENCY, TTFT, TPOT, OVERDUE = range(4)
"""Where each figure stands in what ``measured`` returns."""
FIGURES = {"latency": LATENCY, "ttft": TTFT, "tpot": TPOT}
Measured = tuple[float, float | None, float | None, float | None]


@dataclass(slots=True, eq=False)
class SloCounts:
    """One promise to a class: a figure of what an answer took stays within a limit; of deferrable work it is not overdue."""

    figure: int
    limit_s: float
    kept: Count
    missed: Count

    def judge_answer(self, took: Measured) -> None:
        """Count an answer; one of which the figure is not known is not judged."""
        value = took[self.figure]
        if value is None:
            return
        if value <= self.limit_s:
            self.kept.value += 1
        else:
            self.missed.value += 1

    def judge_failure(self, call: Call, now_s: float) -> None:
        """Count a request without an answer: missed, but deferrable work may be tried again until its deadline.

        A client that hung up waits no longer: it counts where the promise was broken before it went.
        """
        if self.figure == OVERDUE:
            missed = call.deadline_s is not None and now_s > call.deadline_s
        else:
            missed = not call.gone or (self.figure != TPOT and now_s - call.arrived_s > self.limit_s)
        self.missed.value += missed


def promised(classes: Iterable[ServedClass], family: Family) -> dict[str, tuple[SloCounts, ...]]:
    """Return each class's promises, by its name and by that under which it was asked.

    Those to a cascade count under the class that was asked, once; its second part has none of its own.
    """
    found: dict[str, tuple[SloCounts, ...]] = {}
    made: dict[tuple[str, str], SloCounts] = {}
    for item in classes:
        if item.follows:
            continue
        asked = item.asked_as or item.name
        limits = {slo.label: (FIGURES[slo.metric], slo.limit_s) for slo in item.slos}
        if item.deferral is not None:
            limits[IN_TIME] = (OVERDUE, 0.0)
        for label, (figure, limit_s) in limits.items():
            if (asked, label) not in made:
                made[asked, label] = SloCounts(
                    figure, limit_s, family.count(asked, label, "true"), family.count(asked, label, "false")
                )
        found[item.name] = found[asked] = tuple(made[asked, label] for label in limits)
    return found


def measured(call: Call, reply: Reply, now_s: float) -> Measured:
    """Return what an answer that ended ``now_s`` took, in seconds: in all, to the first token, for each later one, and how overdue it is.

    None is not known. Of an answer that came whole nothing is known of its first token, but what the cache kept came at once.
    """
    latency, first_s = now_s - call.arrived_s, reply.first_token_s
    overdue = None if call.deadline_s is None else now_s - call.deadline_s
    if first_s is None:
        return latency, latency if reply.cached and reply.output_tokens else None, None, overdue
    later = reply.output_tokens - 1
    return latency, first_s - call.arrived_s, (now_s - first_s) / later if later > 0 else None, overdue
