"""`python -m derm_core`, also under torchrun: the first process runs the command, the others help its workers."""

import os
import sys

from .cli import main
from .files import keep_private


def under_torchrun() -> int:
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


keep_private()
several = "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1
sys.exit(under_torchrun() if several else main())
