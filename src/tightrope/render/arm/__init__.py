"""Azure without Terraform: one template for Azure Resource Manager, which is the same for every plan, and two files of parameters.

Comes in: a ``Plan``. Goes out: ``template.json`` as it lies here, ``plan.parameters.json`` with what the plan decided, and
``settings.parameters.json`` for what is the user's. To extend: edit ``template.json``; what it asks of a plan is in ``parameters.py``.
"""

from tightrope.render.arm.files import RENDERER as RENDERER
