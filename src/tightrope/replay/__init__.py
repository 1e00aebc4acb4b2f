"""Try a fleet on traffic: a deterministic simulator, written for numba.

Comes in: a fleet, a schedule and arrivals as arrays. Goes out: latencies, machine-hours and what happened.
"""
