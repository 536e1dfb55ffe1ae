"""`app`: the app of the checkout or of the installed package, by Streamlit."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from ..workspace import app_folder, weights_folder
from .output import HELP, Screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `app`."""
    parser.add_argument("--port", type=int, default=8501, metavar="N", help=HELP["app --port"])
    parser.set_defaults(handler=run_app)


def run_app(args: argparse.Namespace, screen: Screen) -> NoReturn:
    """Streamlit takes the place of this process, in the app's folder, where its settings lie."""
    os.environ["DERM_WEIGHTS"] = str(weights_folder().resolve())
    os.chdir(app_folder())
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(args.port)]
    os.execv(sys.executable, command)
