"""What a replay showed, written out: ``replay.json``, ``replay.html``, the summary on the terminal and a trace of the engines.

Comes in: a ``Replayed`` (and an ``Outcome`` for the trace). Goes out: files and a table. To extend: add a section to
``page.SECTIONS``, a panel to ``charts``.
"""
