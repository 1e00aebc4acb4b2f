"""What an exposition says, read back: figures of a moment, and what grew between two."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from prometheus_client.parser import text_string_to_metric_families

Series = dict[str, list[tuple[dict[str, str], float]]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One exposition; ``at_s`` is when it was read."""

    at_s: float
    series: Series

    @classmethod
    def of(cls, text: str, at_s: float) -> "Reading":
        """Read Prometheus' text format; raise ``ValueError`` where it is none."""
        series: Series = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series.setdefault(sample.name, []).append((sample.labels, sample.value))
        return cls(at_s, series)


@dataclass(frozen=True, slots=True)
class Window:
    """From one reading to a later one of the same gateway."""

    first: Reading
    last: Reading
    whole: bool = False
    """What grew is what grew since that gateway started; rates are those between the two all the same."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.last.at_s - self.first.at_s

    def names(self, metric: str, label: str) -> list[str]:
        """Return the values that a label has now, as they come, the empty one left out."""
        return [name for name in dict.fromkeys(labels[label] for labels, _ in self.last.series.get(metric, ())) if name]

    def now(self, metric: str, **wanted: str) -> float | None:
        """Return a gauge, the sum of those that match; None where none is shown."""
        found = [value for _, value in _matching(self.last, metric, wanted)]
        return sum(found) if found else None

    def grew(self, metric: str, **wanted: str) -> float:
        """Return by how much counters that match grew; one that is less than before began anew."""
        return _grew(None if self.whole else self.first, self.last, metric, wanted)

    def per_s(self, metric: str, **wanted: str) -> float | None:
        """Return a rate; None of no time."""
        return _grew(self.first, self.last, metric, wanted) / self.seconds if self.seconds > 0 else None

    def quantile(self, share: float, metric: str, **wanted: str) -> float | None:
        """Return a quantile of a histogram, within its bucket by proportion as PromQL does; None where nothing was counted.

        Beyond the last border it is that border's, as a least value: infinite where there is none.
        """
        borders = sorted({float(labels["le"]) for labels, _ in _matching(self.last, f"{metric}_bucket", wanted)})
        by_text = {float(labels["le"]): labels["le"] for labels, _ in self.last.series.get(f"{metric}_bucket", ())}
        counts = [self.grew(f"{metric}_bucket", **wanted, le=by_text[border]) for border in borders]
        if not counts or counts[-1] <= 0:
            return None
        wanted_count, below, before = share * counts[-1], 0.0, 0.0
        for border, count in zip(borders, counts, strict=True):
            if count >= wanted_count:
                if border == inf:
                    return before or inf
                return before + (border - before) * (wanted_count - below) / (count - below) if count > below else border
            below, before = count, border
        return before

    def share(self, metric: str, other: dict[str, str], **wanted: str) -> float | None:
        """Return the share of what grew that carries ``other`` too; None where nothing grew."""
        total = self.grew(metric, **wanted)
        return self.grew(metric, **wanted, **other) / total if total > 0 else None


def _grew(first: Reading | None, last: Reading, metric: str, wanted: dict[str, str]) -> float:
    """Return by how much counters grew from one reading on, or from their beginning."""
    before = {} if first is None else {_key(labels): value for labels, value in _matching(first, metric, wanted)}
    pairs = ((value, before.get(_key(labels), 0.0)) for labels, value in _matching(last, metric, wanted))
    return sum(value - earlier if value >= earlier else value for value, earlier in pairs)


def _matching(reading: Reading, metric: str, wanted: dict[str, str]) -> Iterator[tuple[dict[str, str], float]]:
    """Yield the series of a metric that carry these labels; ``cls`` stands for ``class``."""
    labelled = {"class" if name == "cls" else name: text for name, text in wanted.items()}
    for labels, value in reading.series.get(metric, ()):
        if all(labels.get(name) == text for name, text in labelled.items()):
            yield labels, value


def _key(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Return labels as what tells one series of a metric from another."""
    return frozenset(labels.items())
