"""What is in an image, as SPDX 2.3: Debian's packages and Python's, each with its package URL.

The builder runs this in a small image (stage `sbom` of docker/Dockerfile) over every finished root
file system, and attaches what it writes. The protocol is BuildKit's: the variable
BUILDKIT_SCAN_SOURCE names the root, BUILDKIT_SCAN_DESTINATION the folder for NAME.spdx.json.
By hand:   python3 docker/sbom.py ROOT   writes the document to stdout
"""

import email.parser
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

SPDX_ID = re.compile(r"[A-Za-z0-9.+-]+")  # a license by its SPDX name, not in prose
SITES = ("usr/local/lib/python3*/dist-packages", "usr/lib/python3/dist-packages")


def debian(root: Path) -> list[dict[str, Any]]:
    """Installed packages from dpkg's status, and those that were only unpacked from status.d."""
    found = {}
    parser = email.parser.HeaderParser()
    folder = root / "var/lib/dpkg"
    files = [folder / "status", *sorted((folder / "status.d").glob("*"))]
    for path in files:
        if not path.is_file() or path.suffix == ".md5sums":
            continue
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = parser.parsestr(stanza.strip())
            name, version = fields["Package"], fields["Version"]
            if not name or not version or "deinstall" in (fields["Status"] or ""):
                continue
            arch = fields["Architecture"] or "all"
            purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={arch}"
            found[name] = package(name, version, purl)
    return list(found.values())


def python(root: Path) -> list[dict[str, Any]]:
    """Python's distributions, from the metadata that wheels bring."""
    found = {}
    for site in SITES:
        for path in sorted(root.glob(f"{site}/*.dist-info/METADATA")):
            fields = email.parser.HeaderParser().parsestr(path.read_text(encoding="utf-8"))
            name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
            purl = f"pkg:pypi/{name}@{quote(fields['Version'], safe='')}"
            licence = fields["License-Expression"] or fields["License"] or ""
            found[name] = package(name, fields["Version"], purl, licence)
    return list(found.values())


def package(name: str, version: str, purl: str, licence: str = "") -> dict[str, Any]:
    kind = purl.partition("/")[0].removeprefix("pkg:")
    reference = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{kind}-{name}")
    return {
        "SPDXID": reference,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence if SPDX_ID.fullmatch(licence) else "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }
        ],
    }


def document(root: Path, created: float) -> dict[str, Any]:
    """The SPDX document; the same packages give the same namespace."""
    packages = sorted(debian(root) + python(root), key=lambda one: str(one["SPDXID"]))
    content = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "tinytx image",
        "documentNamespace": f"https://spdx.org/spdxdocs/tinytx-image-{content}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created)),
            "creators": ["Tool: tinytx docker/sbom.py"],
        },
        "packages": packages,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": one["SPDXID"],
            }
            for one in packages
        ],
    }


def main() -> None:
    if len(sys.argv) == 2:
        json.dump(document(Path(sys.argv[1]), time.time()), sys.stdout, indent=1)
        return
    try:
        source = Path(os.environ["BUILDKIT_SCAN_SOURCE"])
        destination = Path(os.environ["BUILDKIT_SCAN_DESTINATION"])
    except KeyError as error:
        sys.exit(f"sbom: {error} is not set: the builder runs this, or name a root file system")
    extras = Path(os.environ.get("BUILDKIT_SCAN_SOURCE_EXTRAS") or "/nonexistent")
    for root in (source, *(sorted(extras.iterdir()) if extras.is_dir() else ())):
        statement = {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://spdx.dev/Document",
            "subject": [],
            "predicate": document(root, time.time()),
        }
        (destination / f"{root.name}.spdx.json").write_text(json.dumps(statement))
        print(f"sbom: {root.name}: {len(statement['predicate']['packages'])} packages")


if __name__ == "__main__":
    main()
