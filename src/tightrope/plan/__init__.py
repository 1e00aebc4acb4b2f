"""Decide, prove, explain.

Comes in: a ``Workload``, prices and profiles. Goes out: a ``Plan`` with its bound and its evidence.
"""
