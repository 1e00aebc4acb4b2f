"""``report.html``: the plan for people, one file with its charts inside, no network.

Comes in: a ``Plan``. Goes out: ``report.html``. To extend: add a section to ``page.SECTIONS``, a chart to ``charts``.
"""

from tightrope.render.report.page import RENDERER as RENDERER
