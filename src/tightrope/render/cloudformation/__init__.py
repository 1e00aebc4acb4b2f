"""The plan's pools on AWS as CloudFormation: one template a region, and one for what an account has once (``spending.yaml``).

Comes in: a ``Plan``. Goes out: ``<region>.yaml`` with its parameters in ``settings/<region>.json``, which are the user's. What is made is
written in ``*.yaml.j2`` here; CloudFormation has no loops, so a template is filled pool by pool. No text of a plan passes ``Fn::Sub``, and
none that CloudFormation would put something else in the place of is written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.cloudformation.readme import readme
from tightrope.render.cloudformation.values import parts_of, region_values, settings, spending_values
from tightrope.render.infra.commitments import commitments_page
from tightrope.render.infra.deployment import notice_comment
from tightrope.render.infra.templates import fill, json_file

FOLDER = "cloudformation"
REPLACED = ("{{resolve:", "${")
"""What CloudFormation puts something else in the place of: the first wherever it stands in a text, the second below ``Fn::Sub`` alone, but
its linter takes any for a mistake."""
NEXT = (
    "for settings in {out}/settings/*.json; do name=$(basename $settings .json);"
    " region=$(test $name = spending && echo us-east-1 || echo $name);"
    " aws cloudformation deploy --no-execute-changeset --region $region --stack-name tightrope-$name --template-file {out}/$name.yaml"
    ' --parameter-overrides file://$settings --capabilities CAPABILITY_IAM --s3-bucket "$BUCKET"; done'
)


@dataclass(frozen=True, slots=True)
class CloudFormation:
    """Writes a template for each region of AWS, and ``README.md``."""

    name: str = "cloudformation"
    next_command: str = NEXT

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the files; of a plan without pools on AWS a page that says so."""
        parts = parts_of(plan)
        files = {Path("README.md"): readme(plan, parts)}
        if not parts:
            return files
        for region in sorted({part.pool.region for part in parts}):
            values = region_values(plan, tuple(part for part in parts if part.pool.region == region))
            files[Path(f"{region}.yaml")] = notice_comment(plan) + _fill("region.yaml.j2", values)
            files[Path("settings") / f"{region}.json"] = json_file({"Parameters": settings(values)})
        files[Path("spending.yaml")] = notice_comment(plan) + _fill("spending.yaml.j2", spending_values(plan))
        files[Path("settings/spending.json")] = json_file({"Parameters": {"NotifyEmail": ""}})
        files[Path("commitments.md")] = commitments_page(plan, "aws")
        return files


def _fill(name: str, values: dict[str, Any]) -> str:
    """Return a filled template; raise ``InputError`` where CloudFormation would put something else in the place of a plan's text."""
    for text in _texts(values):
        if any(sign in text for sign in REPLACED):
            msg = f"a name of the plan cannot be written to CloudFormation, which replaces what it holds: {text[:80]!r}"
            raise InputError(msg, resolve="rename it in the workload, without ${ and {{resolve:, and plan again")
    return fill(FOLDER, name, "yaml", values)


def _texts(value: object) -> Iterator[str]:
    """Yield every text of values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


RENDERER = CloudFormation()
