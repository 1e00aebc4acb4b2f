"""``rules.yaml`` and what stands around it: what a plan promised, watched by Prometheus, Alertmanager and Grafana.

Comes in: a ``Plan``. Goes out: rules, their unit tests, an example for Alertmanager, a dashboard. The plan's figures become recorded
series (``figures``), and the alerts (``rules.yaml.j2``) compare what the gateway measures with them, so no name of a user stands in an
expression. To extend: an alert in ``rules.yaml.j2``, its unit test in ``scenarios``, a panel in ``dashboard.PANELS``, a section in
``docs/how-to/alert-on-a-plan.md``.
"""

from tightrope.render.alerts.files import RENDERER as RENDERER
