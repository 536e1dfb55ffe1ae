"""One process of `python -m benchmarks fuzz`: reads "seed index" lines, decodes that file, answers in JSON.

Two lines a file: {"kind", "bytes"} when the file is made, then {"outcome", "reason", "seconds" of
the processor, "peak_mb" of this process while it decoded}.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import traceback
from pathlib import Path

from derm_core.data.decode import MAX_PIXELS, decode, prepare
from derm_core.errors import ImageError

from ._hostile_images import make

SIDE = 64
ADDRESS_SPACE = 6 * 2**30  # a file that asks for more ends this process, not the machine


def peak_mb(reset: bool = False) -> float:
    """The most memory this process held since the last reset; since its start where a system cannot reset."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def judge(data: bytes, name: str) -> tuple[str, str]:
    """("decoded" | "refused" | "crashed", why): what the gate made of a file."""
    try:
        image = decode(data, name)
        pixels = prepare(image, SIDE)
        sound = (
            image.mode == "RGB"
            and 0 < image.width * image.height <= MAX_PIXELS
            and not image.info
            and pixels.shape == (SIDE, SIDE, 3)
            and str(pixels.dtype) == "uint8"
        )
        return (
            ("decoded", "")
            if sound
            else ("crashed", f"{image.mode} {image.size} {image.info} is no bounded picture")
        )
    except ImageError as error:
        message = str(error)
        sound = message.startswith(f"{name}: ") and len(message) < len(name) + 250
        return (
            ("refused", message.removeprefix(f"{name}: "))
            if sound
            else ("crashed", f"not a reason: {message[:200]}")
        )
    except BaseException:
        return "crashed", traceback.format_exc().strip()[-600:]


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for line in sys.stdin:
        kind, name, data = make(*map(int, line.split()))
        print(json.dumps({"kind": kind, "bytes": len(data)}), flush=True)
        gc.collect()
        peak_mb(reset=True)
        started = time.process_time()
        outcome, reason = judge(data, name)
        print(
            json.dumps(
                {
                    "outcome": outcome,
                    "reason": reason,
                    "seconds": time.process_time() - started,
                    "peak_mb": peak_mb(),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
