"""The verb ``init`` as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tightrope import cli

RATES = "t_s,rate_per_s\n" + "\n".join(f"{3600 * hour},{1 + hour % 24}" for hour in range(72))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "my-traffic.csv"
    path.write_text(RATES, encoding="utf-8")
    return path


def test_a_trace_becomes_a_workload_and_a_chart(trace: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["init", "--trace", str(trace), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "mean 12.5/s · peak 24/s" in done.output
    assert "busiest 23 h" in done.output
    assert "█" in done.output
    assert (tmp_path / "out" / "workload.yaml").read_text(encoding="utf-8").count('name: "my-traffic"') == 1


def test_json_is_one_object(trace: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["init", "--trace", str(trace), "--out", str(tmp_path / "out"), "--json"])
    found = json.loads(done.output)
    assert found["workload"] == str(tmp_path / "out" / "workload.yaml")
    assert found["requests"] == pytest.approx(12.5 * 72 * 3600)


def test_without_a_trace_it_asks(tmp_path: Path) -> None:
    answers = "20\n30\nmistral-7b\ny\n800\n150\n5 x g4dn.xlarge\n"
    done = CliRunner().invoke(cli.app, ["init", "--out", str(tmp_path)], input=answers)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "workload.yaml").read_text(encoding="utf-8")
    assert "daily: {mean_per_s: 20, peak_per_s: 30" in text
    assert "mistral-7b:" in text
    assert "input_tokens: 800" in text
    assert "machines: 5" in text


def test_options_stand_for_answers(tmp_path: Path) -> None:
    options = ["--rate", "20", "--model", "resnet50", "--slo", "latency p99 <= 50 ms", "--name", "mine", "--region", "us-west-2"]
    done = CliRunner().invoke(cli.app, ["init", "--out", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "workload.yaml").read_text(encoding="utf-8")
    assert "slo: [latency p99 <= 50 ms]" in text
    assert "aws: [us-west-2]" in text


def test_an_error_is_one_message_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tightrope", "init", "--rate", "20", "--today", "3 x g4dn.large", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", [*arguments, "--input-tokens", "9", "--output-tokens", "9"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unknown machine 'g4dn.large'")
    assert "Resolve: use g4dn.xlarge" in error
    assert not (tmp_path / "out").exists()
