"""Anonymous memory of an import and of a training on what it imported, beyond the libraries' own, against 3 GB.

Each part runs in a process of its own, which first imports what it will need: that is the
libraries' footprint. Its private memory, and that of its children, is then sampled while it works.
Pages of mapped files, which the kernel takes back when it needs them, do not count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LIMIT_GB = 3.0
GB = 1e9
SAMPLE_SECONDS = 0.02
SIZE = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", required=True, help="a data set to import, such as the folder of HAM10000"
    )
    parser.add_argument("--epochs", type=int, default=1, help="of the pretraining (default 1)")
    parser.add_argument("--max-images", type=int, help="train on a part of them, for a first look")


class Watch:
    """A context in which the largest value of `sample()` (bytes by name) is kept in `peak`.

    every: seconds between two samples.
    """

    def __init__(self, sample: Callable[[], dict[str, int]], every: float = SAMPLE_SECONDS):
        self.sample, self.peak, self.every = sample, sample(), every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(self.every):
            for name, value in self.sample().items():
                self.peak[name] = max(self.peak[name], value)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._over.set()
        self._thread.join()


def own_memory() -> dict[str, int]:
    """Bytes of this process: anonymous pages and pages of mapped files that are in memory."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    values = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon", "RssFile")))
    return {"anonymous": _kilobytes(values["RssAnon"]), "mapped": _kilobytes(values["RssFile"])}


def tree_memory(root: int) -> dict[str, int]:
    """Bytes of anonymous pages of a process and all its descendants; pages that they share count once."""
    total = 0
    for process in descendants(root):
        try:
            for line in (process / "smaps_rollup").read_text(encoding="ascii").splitlines():
                total += _kilobytes(line.partition(":")[2]) if line.startswith("Pss_Anon:") else 0
        except OSError:  # it has just ended
            continue
    return {"anonymous": total}


def descendants(root: int) -> Iterator[Path]:
    """The folders in /proc of a process and all its descendants."""
    waiting = [str(root)]
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        yield process
        try:
            for task in (process / "task").iterdir():
                waiting += (task / "children").read_text(encoding="ascii").split()
        except OSError:  # it has just ended
            continue


def _kilobytes(text: str) -> int:
    return int(text.split()[0]) * 1024


def beyond_footprint(work: str, arguments: list[str]) -> dict[str, float]:
    """Footprint of a part's libraries and the peak of its work beyond it, in GB."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.memory", work, *arguments],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent,
    ) as child:
        assert child.stdout.readline() == "ready\n", f"the part {work} did not start"
        footprint = tree_memory(child.pid)["anonymous"]
        with Watch(lambda: tree_memory(child.pid)) as watch:
            child.communicate("go\n")
    if child.returncode:
        raise RuntimeError(f"the part {work} failed")
    return {"footprint_gb": footprint / GB, "beyond_gb": (watch.peak["anonymous"] - footprint) / GB}


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "import": beyond_footprint("import", [folder, args.data]),
            "train": beyond_footprint(
                "train", [folder, str(args.epochs), str(args.max_images or 0)]
            ),
        }
        from derm_core.data.manifest import load_dataset
        from derm_core.workspace import Workspace

        images = len(load_dataset(Workspace.open(folder), "measured"))
    peak = max(part["beyond_gb"] for part in parts.values())
    return {
        "ratio": peak / LIMIT_GB,
        "limit": 1.0,
        "ours": peak,
        "against": LIMIT_GB,
        "unit": "GB",
        "peer": "a limit on anonymous memory beyond what the imported libraries take",
        "parts": parts,
        "images": images,
        "trained_on": args.max_images or images,
        "size": SIZE,
        "epochs": args.epochs,
    }


def _import(folder: str, data: str) -> None:
    from derm_core.data.importers import import_dataset
    from derm_core.workspace import Workspace

    _when_asked()
    import_dataset(Workspace.open(folder), data, "measured", sizes=(SIZE,))


def _train(folder: str, epochs: str, max_images: str) -> None:

    from derm_core.config import PretrainConfig
    from derm_core.config.recipes import recipe
    from derm_core.training.pretrain import pretrain
    from derm_core.workspace import Workspace

    workspace = Workspace.open(folder)
    config = PretrainConfig(
        dataset="measured",
        input_size=SIZE,
        device="cpu",
        max_images=int(max_images) or None,
        recipe=recipe("masked", epochs=int(epochs)),
    )
    _when_asked()
    for _ in pretrain(config, workspace, workspace.run("pretrain-measured").create()):
        pass


def _when_asked() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    {"import": _import, "train": _train}[sys.argv[1]](*sys.argv[2:])
