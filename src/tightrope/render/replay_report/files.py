"""Replayed → replay.json and replay.html, and the engines' first minutes."""

from pathlib import Path

from tightrope.base.replay_report import ReplayReport
from tightrope.render.files import write_files
from tightrope.render.plain import Json, as_text, plain
from tightrope.render.replay_report import replay_formats
from tightrope.trial.trial import Trial


def replayed_as_dict(report: ReplayReport) -> dict[str, Json]:
    """Return the report as plain JSON values, ``schema_version`` first."""
    found = plain(report)
    assert isinstance(found, dict)  # noqa: S101 - a record is an object
    return found


def render_replayed(report: ReplayReport) -> dict[Path, str]:
    """Return the report's two files."""
    from tightrope.render.replay_report.page import page  # drawing loads only where something is drawn

    return {
        Path("replay.json"): as_text(replayed_as_dict(report)) + "\n",
        Path("replay.html"): f"<!doctype html>\n{page(report)}\n",
    }


def write_replayed(tried: Trial, out: Path | None, chrome_trace: Path | None, length_s: float) -> list[str]:
    """Write the report into ``out`` and the engines' first ``length_s`` into ``chrome_trace``, where asked for; return the paths.

    A path says with it how far it goes where the log of engines was full before ``length_s``.

    Raises ``InputError`` where a place cannot be written to.
    """
    written: list[str] = []
    if out is not None:
        write_files(out, render_replayed(tried.report))
        written.append(str(out / "replay.html"))
    if chrome_trace is not None:
        from tightrope.render.replay_report.engine_trace import engine_trace, full_after_s  # for whoever asks for it

        pools = tuple(pool.name for pool in tried.report.last.pools)
        text = engine_trace(tried.outcome, pools, length_s)
        write_files(chrome_trace.parent, {Path(chrome_trace.name): text}, "--chrome-trace")
        full_s = full_after_s(tried.outcome)
        only = "" if full_s is None else f" (engines only until {replay_formats.width(full_s)}: their log was full)"
        written.append(f"{chrome_trace}{only}")
    return written
