"""`python -m derm_core` and the command `derm`, also under torchrun.

Under torchrun rank 0 runs the command, and all ranks the runs that it starts.
"""

import os
import sys
from importlib import import_module

from .cli import main
from .files import keep_private
from .jobs.spawning import wait_for_workers


def run() -> int:
    """Run the command line; returns the process's exit status."""
    keep_private()
    several = "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1
    return under_torchrun() if several else main()


def under_torchrun() -> int:
    """Run the command in rank 0, and in the others the runs that it starts."""
    if int(os.environ["RANK"]) > 0:
        return import_module("derm_core.jobs.worker").follow_runs()
    try:
        return main()
    finally:
        wait_for_workers()  # they train with the other processes, followed or not
        import_module("derm_core.training.process_group").announce_end()


if __name__ == "__main__":
    sys.exit(run())
