"""Tensor files of a bundle, checked before any tensor is made (https://huggingface.co/docs/safetensors)."""

from __future__ import annotations

import hashlib

import safetensors

from ..errors import BundleError
from .card import Card
from .card_parts import ReferenceListing, TensorSpec

MODEL, REFERENCE = "model.safetensors", "reference.safetensors"
DTYPES = {MODEL: ("F16", "F32"), REFERENCE: ("F16", "F32", "I32", "U8")}
MAX_HEADER_BYTES = 4 * 2**20
MAX_TENSORS = 10_000


def read_header(data: bytes, file: str = MODEL) -> dict[str, TensorSpec]:
    """Types and shapes of the tensors in the bytes of MODEL or REFERENCE.

    Raises:
        BundleError: the header is large or broken, a type is not allowed in that file, or bytes are left over.
    """
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise BundleError(f"{file} has a header that does not fit the file; get the bundle again.")
    try:
        header = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except Exception as error:  # SafetensorError, or what its conversion to Python raises
        raise BundleError(f"{file} has a broken header ({error}); get the bundle again.") from error
    if not 1 <= len(header) <= MAX_TENSORS:
        raise BundleError(f"{file} holds {len(header)} tensors; 1 to {MAX_TENSORS} are allowed.")
    for name, tensor in header:
        if tensor["dtype"] not in DTYPES[file]:
            raise BundleError(
                f"{file}: tensor {name[:80]} has the type {tensor['dtype']}; allowed: {', '.join(DTYPES[file])}."
            )
    return {
        name: TensorSpec(dtype=tensor["dtype"], shape=tuple(tensor["shape"]))
        for name, tensor in header
    }


def check_tensors(
    data: bytes, listing: Card | ReferenceListing, folder: str, file: str = MODEL
) -> None:
    """Check a tensor file against its card: size, names, types, shapes and hash.

    Raises:
        BundleError: naming what differs.
    """
    where = f"{folder}/{file}"
    if len(data) != listing.file_bytes:
        raise BundleError(
            f"{where} is not {listing.file_bytes} bytes as its card says: it is truncated or another file; "
            "get the bundle again."
        )
    header = read_header(data, file)
    if header.keys() != listing.tensors.keys():
        raise BundleError(
            f"{where} does not hold the tensors its card lists; get the bundle again."
        )
    for name, spec in header.items():
        if spec != listing.tensors[name]:
            raise BundleError(
                f"{where}: tensor {name[:80]} is {spec.dtype} {spec.shape}, its card says "
                f"{listing.tensors[name].dtype} {listing.tensors[name].shape}; get the bundle again."
            )
    if hashlib.sha256(data).hexdigest() != listing.sha256:
        raise BundleError(
            f"{where} does not match the SHA-256 on its card: it was changed or damaged; get the bundle again."
        )
