"""A stand-in for an OpenID Connect provider, on this machine, whose users agree to everything.

For the login's tests.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, PASSWORD = "the-app", "the-app's password"


class Provider(ThreadingHTTPServer):
    """`subject`: who logs in next. forged: sign with another key than the published one. asked: paths, in order."""

    daemon_threads = True

    def __init__(self):
        from joserfc.jwk import RSAKey

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.key, self.other = (
            RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}) for _ in range(2)
        )
        self.subject, self.forged, self.asked, self.codes = "7", False, [], {}


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self):
        path, query = (
            urlsplit(self.path).path,
            {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()},
        )
        self.server.asked.append(path)
        own = self.server.address
        if path == "/.well-known/openid-configuration":
            self._json(
                {
                    "issuer": own,
                    "authorization_endpoint": f"{own}/authorize",
                    "token_endpoint": f"{own}/token",
                    "jwks_uri": f"{own}/jwks",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "code_challenge_methods_supported": ["S256"],
                }
            )
        elif path == "/jwks":
            self._json({"keys": [self.server.key.as_dict(private=False)]})
        elif path == "/authorize":
            code = f"code-{len(self.server.asked)}"
            self.server.codes[code] = {**query, "sub": self.server.subject}
            self.send_response(302)
            self.send_header(
                "Location",
                f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}",
            )
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self):
        self.server.asked.append("/token")
        form = {
            key: value[0]
            for key, value in parse_qs(
                self.rfile.read(int(self.headers["Content-Length"])).decode()
            ).items()
        }
        asked = self.server.codes.pop(form["code"])
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
            .rstrip(b"=")
            .decode()
        )
        password = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        if challenge != asked["code_challenge"] or password != f"{CLIENT}:{PASSWORD}":
            return self.send_error(400)
        from joserfc import jwt

        now = int(time.time())
        token = jwt.encode(
            {"alg": "RS256", "kid": "one"},
            {
                "iss": self.server.address,
                "aud": CLIENT,
                "sub": asked["sub"],
                "email": f"reader-{asked['sub']}@example.org",
                "iat": now,
                "exp": now + 600,
                "nonce": asked["nonce"],
            },
            self.server.other if self.server.forged else self.server.key,
        )
        return self._json(
            {"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token}
        )

    def _json(self, value) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def provider() -> Iterator[Provider]:
    with Provider() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def secrets(folder: Path, metadata: str, redirect: str) -> Path:
    """A secrets.toml in `folder`, as docs/server.md describes it."""
    path = folder / "secrets.toml"
    path.write_text(
        f'[auth]\nredirect_uri = "{redirect}"\ncookie_secret = "a '
        'secret of thirty-two letters!!"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "{PASSWORD}"\nserver_metadata_url = "{metadata}"\n'
    )
    return path
