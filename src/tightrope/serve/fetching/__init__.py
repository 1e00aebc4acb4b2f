"""Fetches a model's files from a local path, ``s3://``, ``gs://`` or ``https://``.

In: the address in the user's settings. Out: the path of the complete model. ``model.py`` caches models, ``sources.py`` reads each kind
of storage, ``archives.py`` unpacks. To extend: add a ``Source`` to ``sources.py``.
"""

from tightrope.serve.fetching.model import fetch_model

__all__ = ["fetch_model"]
