"""Words everyone uses: units, records, contracts, the registry and the error tree.

Comes in: nothing. Goes out: the vocabulary of every other folder. Standard library and numpy only. To extend: a new record
goes in ``records.py`` with units in its field names; a new error goes in the tree drawn at the top of ``errors.py``.
"""
