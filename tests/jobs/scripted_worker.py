"""The real worker with a scripted job in place of training: `python scripted_worker.py RUN_ID`.

The config's dataset name is the script: "count-N" counts N steps of 20 ms with a checkpoint of its
own and, once resumed, without a pause (so that N may be too large to be reached before a test has
acted), "refuse" raises an expected error, "crash" an unexpected one, "deaf" never reaches a tick.
"""

import sys
import time
from pathlib import Path

from derm_core.errors import DataError
from derm_core.events import TICK, Event, log, progress
from derm_core.files import write_atomic
from derm_core.jobs import spawning, worker


def job(config, workspace, run):
    if "torch" in sys.modules:
        raise AssertionError("torch was loaded before the job needed it")
    script, _, number = config.dataset.partition("-")
    if script == "refuse":
        raise DataError("The dataset has no labels; import it with a label column.")
    if script == "crash":
        raise ZeroDivisionError("one over nothing")
    if script == "deaf":
        time.sleep(60)
    counter, started = run.checkpoints / "counter", time.monotonic()
    first = int(counter.read_text()) if counter.exists() else 0
    yield log(f"starting at {first}")
    for step in range(first, int(number)):
        time.sleep(0 if first else 0.02)
        write_atomic(counter, str(step + 1))  # a kill must not leave an empty one
        yield progress(step + 1, int(number), "steps", what="counting", started=started)
        yield TICK
    yield Event(kind="metric", series="train/loss", value=0.5, step=int(number))
    yield Event(kind="result", value={"counted": int(number), "from": first})


def command(run_id: str) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), run_id]


spawning.worker_command = command
worker.load_job = lambda kind: job

if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1]))
