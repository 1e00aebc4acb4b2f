"""``plan.json``: the plan as one stable, versioned file.

Comes in: a ``Plan``. Goes out: ``plan.json`` (``load.load_plan`` reads it back). To extend: add a field to the record, raise
``schema_version`` where the meaning of an old one changes.
"""

from tightrope.render.plan_json.dump import RENDERER as RENDERER
