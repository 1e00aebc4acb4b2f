"""Shared vocabulary: units, records, contracts, the registry and the error tree.

Every other folder imports it; it imports only the standard library and numpy. To extend: add a record to ``records.py`` with
units in its field names; add an error to the tree drawn at the top of ``errors.py``.
"""
