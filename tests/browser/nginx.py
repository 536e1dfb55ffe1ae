"""The nginx of docs/server.md in front of the app: its configuration, read from there, on free ports."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.support import REPOSITORY, free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Alone and without a log of its own; what it writes stays in its folder.
AROUND = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{site}
}}
"""


def documented() -> str:
    """The configuration that docs/server.md tells the reader to write."""
    text = (REPOSITORY / "docs" / "server.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return block


def adapted(block: str, folder: Path, port: int, plain_port: int, app_port: int) -> str:
    """The documented configuration with this test's ports, name and certificate in place of the reader's."""
    for written, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("lesions.example.org", "127.0.0.1"),
        ("/etc/ssl/lesions", str(folder)),
        ("http://127.0.0.1:8501", f"http://127.0.0.1:{app_port}"),
    ):
        assert written in block, f"docs/server.md no longer has {written!r}"
        block = block.replace(written, here)
    return block


def certify(folder: Path) -> None:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *files, *names], check=True, capture_output=True
    )


@contextlib.contextmanager
def proxy(port: int, app_port: int) -> Iterator[str]:
    """nginx on `port`, as nobody where this process is root; yields the address of its plain port."""
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("needs nginx and openssl (Debian: apt-get install nginx-light openssl)")
    plain_port = free_port()
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        folder = Path(name)
        certify(folder)
        site = adapted(documented(), folder, port, plain_port, app_port)
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, site=site))
        alone = {}
        if os.geteuid() == 0:
            alone = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "nobody", "nogroup")
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **alone)
        try:
            _wait_until_it_listens(process, folder / "pid")
            yield f"http://127.0.0.1:{plain_port}"
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _wait_until_it_listens(process: subprocess.Popen, pid_file: Path) -> None:
    """nginx writes its process id after it has bound its ports."""
    deadline = time.monotonic() + 30
    while not pid_file.exists() or not pid_file.read_text().strip():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"nginx did not start: {process.communicate()[1][-2000:]}")
        time.sleep(0.05)
