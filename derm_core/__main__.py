"""`python -m derm_core` and the command `derm`, also under torchrun.

Under torchrun the first process runs the command; the others help its workers.
"""

import os
import sys

from .cli import main
from .files import keep_private


def run() -> int:
    """Run the command line; returns the process's exit status."""
    keep_private()
    several = "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1
    return under_torchrun() if several else main()


def under_torchrun() -> int:
    """Run the command in the process of rank 0 and help its workers in the others."""
    from .jobs.supervisor import wait_for_workers
    from .training.launch import end_torchrun, serve_torchrun

    if int(os.environ["RANK"]) > 0:
        serve_torchrun()
        return 0
    try:
        return main()
    finally:
        wait_for_workers()  # they train with the other processes, followed or not
        end_torchrun()


if __name__ == "__main__":
    sys.exit(run())
