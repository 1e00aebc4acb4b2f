"""Many blocks reduced to a few that stand for them: hours of like demand, taken together at their mean."""

from dataclasses import replace

import numpy as np

from tightrope.base.records import IntArray
from tightrope.plan.problem.arrays import Problem

MOST_ROUNDS = 30
"""Of a clustering, which settles sooner as a rule."""


def reduce_blocks(problem: Problem, most: int) -> tuple[Problem, IntArray]:
    """Return the problem of at most ``most`` blocks that stand for all, and which of them stands for each, int64[B].

    Blocks are clustered by demand, each class beside its own mean (k-means: Lloyd, IEEE Transactions on Information Theory 28(2), 1982,
    from blocks spread over the order of load, so that the same problem gives the same blocks). One that stands for several has their
    mean demand and load, and their hours. Windows of deferrable work are left out.
    """
    label = alike(problem, most)
    blocks = int(label.max()) + 1
    weight = np.zeros((problem.blocks, blocks))
    weight[np.arange(problem.blocks), label] = problem.block_hours
    hours = weight.sum(axis=0)
    weight /= hours
    rate, load = problem.rate @ weight, problem.load(problem.rate) @ weight
    mean_mu = problem.mu @ weight
    mu = np.divide(rate[:, None, :], load, out=mean_mu, where=load > 0.0)
    reduced = replace(problem, rate=rate, mean_rate=problem.mean_rate @ weight, mu=mu, block_hours=hours, windows=())
    return reduced, label


def alike(problem: Problem, most: int) -> IntArray:
    """Return the kind of every block, int64[B], of ``most`` kinds numbered without gaps: where there are no more blocks, its own."""
    if problem.blocks <= most:
        return np.arange(problem.blocks)
    rate = problem.rate
    mean = rate.mean(axis=1, keepdims=True)
    points = np.divide(rate, mean, out=np.zeros_like(rate), where=mean > 0.0).T
    order = np.argsort(points.sum(axis=1), kind="stable")
    centres = points[order[np.linspace(0, len(points) - 1, most).astype(np.int64)]]
    label = np.full(len(points), -1, dtype=np.int64)
    for _ in range(MOST_ROUNDS):
        distance = (points**2).sum(axis=1)[:, None] - 2.0 * points @ centres.T + (centres**2).sum(axis=1)[None, :]
        nearest = distance.argmin(axis=1)
        if (nearest == label).all():
            break
        label = nearest
        for at in np.unique(label):
            centres[at] = points[label == at].mean(axis=0)
    return np.unique(label, return_inverse=True)[1].ravel()
