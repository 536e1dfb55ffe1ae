"""A safetensors file's header, read by hand and checked before any tensor is made.

Format: 8 bytes little-endian length, a JSON header {name: {dtype, shape, data_offsets}}, then the bytes
of the tensors without gaps (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import math
import struct

from ..errors import BundleError
from ..files import parse_json

MODEL = "model.safetensors"
ITEM_BYTES = {"F16": 2, "F32": 4, "I32": 4, "U8": 1}
WEIGHTS = ("F16", "F32")
MAX_HEADER_BYTES = 4 * 2**20
MAX_TENSORS = 10_000


def read_header(
    data: bytes, file: str = MODEL, dtypes: tuple[str, ...] = WEIGHTS
) -> dict[str, dict]:
    """{name: {"dtype", "shape"}} of safetensors bytes. Raises BundleError unless every byte is accounted for.

    file: its name, for the message. dtypes: those that are allowed in it.
    """
    if len(data) < 8:
        raise BundleError(f"{file} is too short to be a tensor file; get the bundle again.")
    length = struct.unpack("<Q", data[:8])[0]
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise BundleError(f"{file} has a header that does not fit the file; get the bundle again.")
    try:
        header = parse_json(data[8 : 8 + length])
        header.pop("__metadata__", None)
        tensors = {str(name): _entry(entry, dtypes) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BundleError(f"{file} has a broken header ({error}); get the bundle again.") from error
    if not 1 <= len(tensors) <= MAX_TENSORS:
        raise BundleError(f"{file} holds {len(tensors)} tensors; 1 to {MAX_TENSORS} are allowed.")
    end = 0
    for start, stop, size in sorted(span for _, span in tensors.values()):
        if start != end or stop - start != size:
            raise BundleError(
                f"{file} has tensors that overlap, leave gaps or do not fit their shape."
            )
        end = stop
    if end != len(data) - 8 - length:
        raise BundleError(
            f"{file} is truncated or has bytes after its tensors; get the bundle again."
        )
    return {name: spec for name, (spec, _) in tensors.items()}


def _entry(entry: dict, dtypes: tuple[str, ...]) -> tuple[dict, tuple[int, int, int]]:
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype not in dtypes:
        raise ValueError(f"tensors of type {dtype!r} are not allowed, only {', '.join(dtypes)}")
    if (
        not isinstance(shape, list)
        or len(shape) > 8
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise ValueError("a shape is not a list of numbers")
    start, stop = entry["data_offsets"]
    if not (type(start) is int and type(stop) is int and 0 <= start <= stop):
        raise ValueError("data_offsets are not a range")
    return {"dtype": dtype, "shape": shape}, (start, stop, math.prod(shape) * ITEM_BYTES[dtype])
