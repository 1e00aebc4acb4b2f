"""Small decisions as pure functions: batch, route, admit, cache, scale.

Time and state come in, a decision goes out: no clock, no input or output, no randomness. Written in the subset that numba
compiles, so the replay calls them compiled and the gateway calls them plain.
"""
