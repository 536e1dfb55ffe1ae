"""Workers that can be killed at a chosen moment, each a process of its own, for `benchmarks chaos` and its test.

    python -m benchmarks._chaos_worker

reads one JSON object a line from standard input, {"home": workspace, "run": run id, "point": null
or {"phase", "call", "count"}}, and starts the real worker in a forked process: torch is imported
once, before any thread of it exists. It answers with lines {"pid"}, {"mark": phase, "call", "edge":
"begin" or "end", "time"} as that process goes through its phases (times of the monotonic clock,
which all processes share) and, when it has ended, {"status"}. With a point it kills itself with
SIGKILL at that
step of the phase: at the count-th event of a generator, the count-th report of what reports how far
it is, or before the count-th file operation of anything else.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from importlib import import_module

PHASES = {
    "pretraining": "derm_core.training.pretrain:fit",
    "checkpoint": "derm_core.training.checkpoint:_write",
    "features": "derm_core.study.frozen:arm_features",
    "heads": "derm_core.study.frozen:train_heads",
    "umap": "derm_core.insight.embed:umap_layout",
    "bundle": "derm_core.publish.classifier:place",
}
FILE_OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")
STUDY_ARM, BUNDLE = "vae", "killed"


class Phases:
    """Says where the process stands, and ends it at `point`."""

    def __init__(self, say: Callable[[dict], None], point: dict | None):
        self.say, self.point, self.calls = say, point, Counter()
        self.count, self.inside = 0, None  # inside: the thread in which the chosen call works

    def watch(self, phase: str) -> None:
        module, name = PHASES[phase].split(":")
        module = import_module(module)
        setattr(module, name, self._watched(phase, getattr(module, name)))

    def _watched(self, phase: str, work: Callable) -> Callable:
        steps, signature = inspect.isgeneratorfunction(work), inspect.signature(work)
        reports = "report" in signature.parameters

        @wraps(work)
        def call(*given, **named):
            bound = signature.bind(*given, **named)
            with self._marked(phase, count_files=not reports) as chosen:
                if chosen and reports:
                    bound.arguments["report"] = self._counting(bound.arguments["report"])
                return work(*bound.args, **bound.kwargs)

        @wraps(work)
        def iterate(*given, **named):
            with (
                self._marked(phase, count_files=False) as chosen,
                contextlib.closing(work(*given, **named)) as events,
            ):
                while True:
                    try:
                        event = next(events)
                    except StopIteration as end:
                        return end.value
                    if chosen:
                        self.passed()
                    yield event

        return iterate if steps else call

    @contextlib.contextmanager
    def _marked(self, phase: str, *, count_files: bool):
        number = self.calls[phase]
        self.calls[phase] += 1
        chosen = bool(self.point) and (self.point["phase"], self.point["call"]) == (phase, number)
        self.inside = threading.get_ident() if chosen and count_files else None
        self.say({"mark": phase, "call": number, "edge": "begin", "time": time.monotonic()})
        yield chosen
        self.inside = None
        self.say({"mark": phase, "call": number, "edge": "end", "time": time.monotonic()})

    def _counting(self, report: Callable) -> Callable:
        def counted(*far):
            self.passed()
            report(*far)

        return counted

    def passed(self) -> None:
        self.count += 1
        if self.count >= self.point["count"]:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, given: tuple) -> None:
        """Counts file operations of the chosen call's own thread (see sys.addaudithook)."""
        if self.inside == threading.get_ident() and event in FILE_OPERATIONS:
            self.passed()


def work(request: dict, say: Callable[[dict], None]) -> int:
    """In the forked process: the real thing, watched. Returns the exit status."""
    phases = Phases(say, request["point"])
    for phase in PHASES:
        phases.watch(phase)
    if request["point"]:
        sys.addaudithook(phases.audit)
    os.environ["DERM_HOME"] = request["home"]
    from derm_core.workspace import Workspace

    workspace = Workspace.open()
    from derm_core.jobs import worker

    return worker.main(request["run"], workspace)


def serve() -> None:
    """Fork a process for each request, one at a time."""
    for module in (
        "torch",
        "timm",
        "sklearn.linear_model",
        *(target.split(":")[0] for target in PHASES.values()),
    ):
        import_module(module)
    answers = os.dup(1)

    def say(row: dict) -> None:
        os.write(answers, (json.dumps(row) + "\n").encode())

    unfinished = None
    for line in sys.stdin:
        if unfinished is not None:
            os.waitpid(unfinished, 0)
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            log = os.open(
                os.path.join(request["home"], "chaos.log"),
                os.O_CREAT | os.O_WRONLY | os.O_APPEND,
                0o600,
            )
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = 1
            try:
                status = work(request, say)
            finally:
                if status:
                    import traceback

                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(status)
        say({"pid": pid})
        ended = os.waitid(
            os.P_PID, pid, os.WEXITED | os.WNOWAIT
        )  # its id stays taken while someone may signal it
        say({"status": ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status})
        unfinished = pid


if __name__ == "__main__":
    serve()
