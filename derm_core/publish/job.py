"""Publishing as a run of its own, which goes on when the page that asked for it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..background import Report, in_background
from ..bundles.model_library import find_bundle, verify_bundle
from ..config import PublishConfig
from ..errors import NotFound
from ..events import Event, log
from ..files import disk_bytes
from ..workspace import RunFiles, Workspace
from .classifier import publish


def publish_run(config: PublishConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """What the worker runs for Publish on the page Models. The last event is a `result` with {name, path, bytes}.

    Resumed after its worker was killed: the bundle it had put in the library already is its result.
    Raises what `publish` raises.
    """
    folder = _made_before(config, workspace)
    if folder is None:
        yield log(f"Publishing {config.arm} of {config.run} as {config.name}.")

        def work(report: Report) -> Path:
            return publish(
                workspace, config.run, config.arm, config.name, seed=config.seed, progress=report
            )

        folder = yield from in_background(work, f"Measuring {config.name}")
    yield Event(
        kind="result", value={"name": config.name, "path": str(folder), "bytes": disk_bytes(folder)}
    )


def _made_before(config: PublishConfig, workspace: Workspace) -> Path | None:
    try:
        folder = find_bundle(workspace, config.name)
    except NotFound:
        return None
    card = verify_bundle(folder)
    return (
        folder if (card.run, card.arm, card.seed) == (config.run, config.arm, config.seed) else None
    )
