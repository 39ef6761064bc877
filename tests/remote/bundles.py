"""Bundles that are made of another one, and as sound."""

import hashlib
import json
import shutil
from pathlib import Path

import msgspec

from tinytx.bundle import Bundle, FileFacts, Golden, encode, identify


def with_file(bundle: Path, folder: Path, name: str, data: bytes) -> Path:
    """One more file, which nothing loads, or another one in place of one that is there."""
    if not folder.exists():
        shutil.copytree(bundle, folder)
    manifest = Bundle(folder).manifest
    (folder / name).write_bytes(data)
    facts = FileFacts(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    files = dict(sorted({**manifest.files, name: facts}.items()))
    unsealed = msgspec.structs.replace(manifest, files=files, id="")
    sealed = msgspec.structs.replace(unsealed, id=identify(unsealed))
    (folder / "manifest.json").write_bytes(encode(sealed))
    return folder


def with_fewer_prompts(bundle: Path, folder: Path) -> Path:
    """The same model, one golden prompt less: another release that works."""
    golden = json.loads((bundle / "golden.json").read_text())
    golden["cases"] = golden["cases"][:-1]
    return with_file(bundle, folder, "golden.json", encode(msgspec.convert(golden, Golden)))
