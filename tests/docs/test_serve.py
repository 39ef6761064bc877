"""docs/serve.md: what it tells people to type is typed, against a real server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.process import Server

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
