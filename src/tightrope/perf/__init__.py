"""What a machine can do: engine models with provenance.

Comes in: a variant and a machine. Goes out: a ``Profile`` or a ``Refusal``. To extend: add a row to the data files, or a module
that carries ``PROFILES``.
"""
