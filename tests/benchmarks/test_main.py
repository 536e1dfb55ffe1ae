"""The command of the benchmarks: one JSON object, repeatable by anyone, and no path of this machine in it."""

import json
from types import SimpleNamespace

import pytest

import benchmarks
import benchmarks.__main__ as command
import experiments


@pytest.fixture
def one(monkeypatch):
    """A registry with one benchmark, `fake`."""
    fake = SimpleNamespace(
        __doc__="A fake.",
        REPEATS=2,
        add_arguments=lambda parser: parser.add_argument("--data"),
        run=lambda args: {
            "ratio": 1 / args.repeats,
            "limit": 0.92,
            "better": "higher",
            "ours": 1.0,
            "against": 2.0,
            "unit": "s",
            "peer": "nothing",
        },
    )
    monkeypatch.setattr(command, "names", lambda package: ["fake"])
    monkeypatch.setattr(command, "load", lambda name, package: fake)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--data", "/somewhere/here"], "--data PATH"),
        (["--data=/somewhere/here"], "--data=PATH"),
        (["--data", "ham"], "--data ham"),
    ],
)
def test_the_result_names_command_date_machine_and_versions(one, capsys, given, said):
    assert command.main(["fake", "--json", *given]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["command"] == f"python -m benchmarks fake --json {said}"
    assert result["name"] == "fake" and result["ratio"] == 0.5, (
        "REPEATS is the benchmark's own default"
    )
    assert (
        result["machine"]["cores"] >= 1
        and "numpy" in result["versions"]
        and len(result["date"].split("-")) == 3
    )


def test_every_benchmark_offers_what_the_command_asks_of_it():
    for package in (benchmarks, experiments):
        assert command.names(package)
        for name in command.names(package):
            module = command.load(name, package)
            assert callable(module.run) and module.__doc__, name
