"""A model's files from where they lie: a path here, ``s3://``, ``gs://`` or ``https://``.

Comes in: an address, as the user's settings have it. Goes out: a path, all of it there or nothing. ``model.py`` keeps what was fetched,
``sources.py`` asks each kind of place, ``archives.py`` unpacks. To extend: another kind of place in ``sources.py``.
"""

from tightrope.serve.fetching.model import fetched_model

__all__ = ["fetched_model"]
