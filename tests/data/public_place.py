"""A local stand-in for a place that offers files: ranges, versions, and the faults of real ones."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from derm_core.data.downloads import PUBLIC_SETS, PublicSet, public_set
from derm_core.data.fetch import RemoteFile
from derm_core.data.medmnist import SPLITS
from tests.builders import encode, noise


@dataclass
class Place:
    """What the stand-in offers and how it behaves; requests: what it was asked, with the range.

    Attributes:
        files: path → bytes.
        cut_after: bytes of a body after which it closes the connection, one entry an answer.
        statuses: with which it answers before it answers properly.
        versions: whether it sends an ETag; ranges: whether it knows them.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    versions: bool = True
    ranges: bool = True
    requests: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    address: str = ""

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append(f"{handler.path} {asked}".strip())
        self.agents.add(handler.headers["User-Agent"])
        body = self.files.get(re.sub(r"^http://[^/]+", "", handler.path))
        status = self.statuses.pop(0) if self.statuses else 404 if body is None else 200
        if body is None or status != 200:
            handler.send_error(status)
            return
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        span = re.fullmatch(r"bytes=(\d+)-", asked) if self.ranges else None
        if span and handler.headers.get("If-Range", tag) == tag:
            if int(span[1]) >= len(body):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(body)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {span[1]}-{len(body) - 1}/{len(body)}")
            body = body[int(span[1]) :]
        else:
            handler.send_response(200)
        if self.versions:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)


def start(place: Place) -> ThreadingHTTPServer:
    """Serve a place at an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            place.serve(self)

        def do_CONNECT(self):
            place.requests.append(f"CONNECT {self.path}")
            self.send_error(502)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    place.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextmanager
def offered_ham10000(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """HAM10000 in small, offered by a stand-in under the name that `data get` knows."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    place = Place()
    server = start(place)
    monkeypatch.setitem(PUBLIC_SETS, "ham10000", small_ham10000(place))
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def small_ham10000(place: Place) -> PublicSet:
    """HAM10000 as it is offered, with twelve images of noise in its two archives."""
    real = public_set("ham10000")
    names = [f"ISIC_{i:07d}" for i in range(12)]
    images = {f"{name}.jpg": encode(noise(24, seed=i), "JPEG") for i, name in enumerate(names)}
    rows = [f"HAM_{i // 2},{name},{('nv', 'mel')[i // 2 % 2]}" for i, name in enumerate(names)]
    table = "\n".join(["lesion_id,image_id,dx", *rows, ""]).encode()
    halves = [dict(list(images.items())[:6]), dict(list(images.items())[6:])]
    bodies = [table, *map(zipped, halves)]
    return replace(
        real, files=tuple(map(offer, [place] * 3, [one.name for one in real.files], bodies))
    )


def small_isic2018(place: Place) -> PublicSet:
    """The test set of ISIC 2018: each archive has a folder of its name, with a licence in it."""
    names = [f"ISIC_{i:07d}" for i in range(6)]
    rows = [f"{name},{i % 2}.0,{1 - i % 2}.0" for i, name in enumerate(names)]
    table = "\n".join(["image,MEL,NV", *rows, ""]).encode()
    images = {f"{name}.jpg": encode(noise(24, seed=i), "JPEG") for i, name in enumerate(names)}
    real = public_set("isic2018-test")
    stems = [one.name.removesuffix(".zip") for one in real.files]
    contents = [{f"{stems[0]}.csv": table}, images]
    bodies = [
        zipped({f"{stem}/{name}": data for name, data in {"LICENSE.txt": b"-", **content}.items()})
        for stem, content in zip(stems, contents, strict=True)
    ]
    files = [
        offer(place, one.name, body, checksum="", exact=False)
        for one, body in zip(real.files, bodies, strict=True)
    ]
    return replace(real, files=tuple(files))


def small_pad_ufes_20(place: Place) -> PublicSet:
    """PAD-UFES-20: three archives, each with a folder of its name, and a table of patients."""
    real = public_set("pad-ufes-20")
    names = [f"PAT_{i // 2}_{i // 2}_{i}.png" for i in range(6)]
    rows = [f"PAT_{i // 2},{i // 2},{('NEV', 'BCC')[i // 2 % 2]},{n}" for i, n in enumerate(names)]
    bodies = ["\n".join(["patient_id,lesion_id,diagnostic,img_id", *rows, ""]).encode()]
    for part in (1, 2, 3):
        pair = names[2 * part - 2 : 2 * part]
        bodies.append(
            zipped({f"imgs_part_{part}/{n}": encode(noise(24, seed=ord(n[-5]))) for n in pair})
        )
    files = [offer(place, one.name, body) for one, body in zip(real.files, bodies, strict=True)]
    return replace(real, files=tuple(files))


def small_dermamnist(place: Place) -> PublicSet:
    """DermaMNIST at 64 pixels, four images a split."""
    buffer = io.BytesIO()
    images = {
        f"{s}_images": np.stack([noise(64, seed=k * 4 + i) for i in range(4)])
        for k, s in enumerate(SPLITS)
    }
    labels = {f"{split}_labels": np.array([[0], [4], [5], [5]], np.uint8) for split in SPLITS}
    np.savez_compressed(buffer, **images, **labels)
    real = public_set("dermamnist-64")
    return replace(real, files=(offer(place, real.files[0].name, buffer.getvalue(), exact=False),))


def offer(place: Place, name: str, body: bytes, **changes) -> RemoteFile:
    """Offer a file at a place, with its MD5 published."""
    place.files[f"/{name}"] = body
    md5 = f"md5:{hashlib.md5(body).hexdigest()}"
    return replace(RemoteFile(name, f"{place.address}/{name}", len(body), md5), **changes)
