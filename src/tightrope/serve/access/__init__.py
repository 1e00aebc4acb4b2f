"""Who may ask, and how much: API keys in a file (``keyfile.py``), checked (``keys.py``), and what is turned away (``admission.py``).

In come the header that names a key and the calls of whoever it names; out go a ``Caller``, or a ``Refusal`` that says when to come
back. What decides on numbers is in ``policy/admission.py``, which the replay simulated.
"""
