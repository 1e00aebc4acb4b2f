"""Futures weighed: bills and utilisation by hand; options of the same rates count as one."""

from collections.abc import Callable

import numpy as np
import pytest

from tightrope.plan.commit.outlook import Outlook, judge, merge_options
from tightrope.plan.problem.arrays import CommitmentOption

INF = float("inf")


def test_two_futures_by_hand(cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]) -> None:
    """One machine at 1 USD, covered at 0.5: busy all hours in one future, half of them in the other; 1 USD is committed."""
    view = outlook(np.array([[[4.0, 4.0]], [[4.0, 0.0]]]), [1.0], weight=[0.25, 0.75])
    outcome = judge(view, [cover([0.5])], np.array([1.0]))
    assert outcome.usd_per_month == pytest.approx([730 * 3.0, 730 * 2.0])
    assert outcome.utilisation.tolist() == [[1.0], [0.5]]
    assert outcome.worst_utilisation.tolist() == [0.5]
    assert outcome.expected_usd_per_month == pytest.approx(730 * 2.25)


def test_options_alike_are_one_and_nothing_changes_the_bill(
    cover: Callable[..., CommitmentOption], outlook: Callable[..., Outlook]
) -> None:
    random = np.random.default_rng(5)
    view = outlook(random.integers(0, 4, (2, 5, 6)), [1.0, 1.0, 1.0, 2.0, 3.0])
    covers = [cover([0.6, 0.6, 0.7, INF, INF]), cover([0.5, 0.5, 0.5, 1.4, INF], order=2)]
    fewer, rates = merge_options(view, covers)
    assert fewer.hours.shape == (2, 3, 6)
    amounts = np.array([1.1, 2.3])
    apart = 3.0 * view.hours[:, 4] @ view.hours_per_month
    assert judge(view, covers, amounts).usd_per_month == pytest.approx(judge(fewer, rates, amounts).usd_per_month + apart)
