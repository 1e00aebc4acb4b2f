"""What a gateway is told: ``serve.yaml`` or a plan, checked once, as ``Settings``.

Comes in: a file of the user, or a ``plan.json`` with overrides. Goes out: ``Settings``. To extend: a new setting is a field of
``schema.py`` (the file), of ``settings.py`` (the gateway), and a line of ``document.py`` that makes the one of the other.
"""
