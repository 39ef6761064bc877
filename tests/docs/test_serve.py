"""docs/serve.md: what it tells people to type is typed, against a real server."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
