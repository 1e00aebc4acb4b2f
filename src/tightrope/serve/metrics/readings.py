"""What an exposition says, read back: figures of a moment, and what grew between two."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from prometheus_client.parser import text_string_to_metric_families

Key = frozenset[tuple[str, str]]
"""Labels, as what tells one series of a metric from another."""
Labelled = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class MetricsReading:
    """One exposition; ``at_s`` is when it was read."""

    at_s: float
    series: Mapping[str, Mapping[Key, Labelled]]

    @classmethod
    def of(cls, text: str, at_s: float) -> "MetricsReading":
        """Read Prometheus' text format; raise ``ValueError`` where it is none."""
        series: dict[str, dict[Key, Labelled]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.labels, sample.value
        return cls(at_s, series)

    def labels(self, metric: str) -> Iterator[Mapping[str, str]]:
        """Yield the labels of each series of a metric."""
        return (labels for labels, _ in self.series.get(metric, {}).values())


@dataclass(frozen=True, slots=True)
class ReadingWindow:
    """From one reading to a later one of the same gateway."""

    first: MetricsReading
    last: MetricsReading
    whole: bool = False
    """What grew is what grew since that gateway started; rates are those between the two all the same."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.last.at_s - self.first.at_s

    def names(self, metric: str, label: str) -> list[str]:
        """Return the values that a label has now, as they come, the empty one left out."""
        return [name for name in dict.fromkeys(labels[label] for labels in self.last.labels(metric)) if name]

    def now(self, metric: str, **wanted: str) -> float | None:
        """Return a gauge, the sum of those that match; None where none is shown."""
        found = [value for _, _, value in _matching(self.last, metric, wanted)]
        return sum(found) if found else None

    def grew(self, metric: str, **wanted: str) -> float:
        """Return by how much counters that match grew; one that is less than before began anew."""
        return sum(growth for _, growth in _growths(None if self.whole else self.first, self.last, metric, wanted))

    def per_s(self, metric: str, **wanted: str) -> float | None:
        """Return a rate; None of no time."""
        if self.seconds <= 0:
            return None
        return sum(growth for _, growth in _growths(self.first, self.last, metric, wanted)) / self.seconds

    def share(self, metric: str, other: Mapping[str, str], **wanted: str) -> float | None:
        """Return the share of what grew that carries ``other`` too; None where nothing grew."""
        total = self.grew(metric, **wanted)
        return self.grew(metric, **wanted, **other) / total if total > 0 else None

    def quantile(self, share: float, metric: str, **wanted: str) -> float | None:
        """Return a quantile of a histogram, within its bucket by proportion as PromQL does; None where nothing was counted.

        Beyond the last border it is that border, as a least value: infinite where there is none.
        """
        counts: dict[float, float] = {}
        for labels, growth in _growths(None if self.whole else self.first, self.last, f"{metric}_bucket", wanted):
            border = float(labels["le"])
            counts[border] = counts.get(border, 0.0) + growth
        total = counts.get(inf, 0.0)
        below = low = 0.0
        for high, count in sorted(counts.items()) if total > 0 else ():
            if count >= share * total:
                if high == inf:
                    return low or inf
                return low + (high - low) * (share * total - below) / (count - below) if count > below else high
            low, below = high, count
        return None


def _growths(
    first: MetricsReading | None, last: MetricsReading, metric: str, wanted: Mapping[str, str]
) -> Iterator[tuple[Mapping[str, str], float]]:
    """Yield by how much each counter that matches grew from one reading on, or from its beginning."""
    before = first.series.get(metric, {}) if first else {}
    for key, labels, value in _matching(last, metric, wanted):
        earlier = before[key][1] if key in before else 0.0
        yield labels, value - earlier if value >= earlier else value


def _matching(reading: MetricsReading, metric: str, wanted: Mapping[str, str]) -> Iterator[tuple[Key, Mapping[str, str], float]]:
    """Yield the series of a metric that carry these labels; ``cls`` stands for ``class``."""
    pairs = {("class" if name == "cls" else name, text) for name, text in wanted.items()}
    for key, (labels, value) in reading.series.get(metric, {}).items():
        if pairs <= key:
            yield key, labels, value
