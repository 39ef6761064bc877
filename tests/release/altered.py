"""Another bundle, as sound as the one it is made of."""

import hashlib
import json
import shutil
from pathlib import Path

import msgspec

from tinytx.bundle import Bundle, FileFacts, Golden, encode, identify


def altered(bundle: Path, folder: Path) -> Path:
    """A sound bundle whose golden outputs say something else."""
    shutil.copytree(bundle, folder)
    golden = json.loads((folder / "golden.json").read_text())
    golden["cases"][0]["prompt"] += " and"
    raw = encode(msgspec.convert(golden, Golden))
    (folder / "golden.json").write_bytes(raw)
    manifest = Bundle(folder).manifest
    files = manifest.files | {
        "golden.json": FileFacts(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))
    }
    unsealed = msgspec.structs.replace(manifest, files=files, id="")
    sealed = msgspec.structs.replace(unsealed, id=identify(unsealed))
    (folder / "manifest.json").write_bytes(encode(sealed))
    return folder
