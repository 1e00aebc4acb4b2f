"""What is read at each scrape: how things stand at the pools, and figures that others set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tightrope.serve.config.settings import ServedPool
from tightrope.serve.interfaces import Backend, PoolLoad
from tightrope.serve.metrics.prometheus_text import Cell, EventRate, Family

STATES = ("ready", "starting", "draining", "down")


@dataclass(slots=True)
class PoolGauges:
    """A pool's gauges; None is not known, and is not shown."""

    pool: ServedPool
    in_flight: Cell
    held: Cell
    waiting: dict[str, Cell]
    replicas: dict[str, Cell]
    utilisation: Cell
    usd_per_hour: Cell
    rate: EventRate
    backend: Backend | None = field(default=None)

    def read(self, now_s: float) -> None:
        """Take what the backend says."""
        if self.backend is None:
            return
        load = self.backend.load()
        self.in_flight.value, self.held.value = load.in_flight, load.held
        for name, cell in self.waiting.items():
            cell.value = load.waiting.get(name, 0)
        states = (load.replicas_ready, load.replicas_starting, load.replicas_draining, load.replicas_down)
        for cell, count in zip(self.replicas.values(), states, strict=True):
            cell.value = count
        self.utilisation.value = self._utilisation(load, now_s)
        self.usd_per_hour.value = self._usd_per_hour(load)

    def _utilisation(self, load: PoolLoad, now_s: float) -> float | None:
        """Return the request rate over what the ready replicas sustain; None where nothing is ready or that is not known."""
        sustained = load.replicas_ready * (load.requests_per_s or self.pool.requests_per_s)
        return self.rate.per_s(now_s) / sustained if sustained > 0 else None

    def _usd_per_hour(self, load: PoolLoad) -> float | None:
        """Return what the replicas that are there cost, each its share of a machine; None where no price is known."""
        if self.pool.usd_per_hour is None:
            return None
        there = load.replicas_ready + load.replicas_starting + load.replicas_draining
        return there * self.pool.usd_per_hour / self.pool.replicas_per_machine


def pool_gauges(families: Mapping[str, Family], pool: ServedPool, classes: Iterable[str], rate: EventRate) -> PoolGauges:
    """Return the gauges of one pool; before ``watch`` nothing is in flight, and nothing is known of replicas."""
    name = pool.name
    return PoolGauges(
        pool,
        families["tightrope_requests_in_flight"].cell(name),
        families["tightrope_held_requests"].cell(name),
        {item: families["tightrope_queue_requests"].cell(name, item) for item in classes},
        {state: families["tightrope_replicas"].cell(name, state, value=None) for state in STATES},
        families["tightrope_utilisation_ratio"].cell(name, value=None),
        families["tightrope_usd_per_hour"].cell(name, pool.offer, value=None),
        rate,
    )
