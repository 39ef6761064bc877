"""A server whose model takes its time, and with limits that a test can wait for:

python tests/serve/slow.py BUNDLE_OR_STORE SECONDS_A_STEP SETTINGS LIMITS TOKEN, settings in JSON
"""

import json
import logging
import sys
import time
from pathlib import Path

from tinytx.runtime.batch import Batch
from tinytx.runtime.decoder import Logits
from tinytx.serve.releases import Releases, Settings
from tinytx.serve.run import serve
from tinytx.serve.service import Limits, Service


def main(bundle: str, seconds: str, settings: str, limits: str, token: str) -> None:
    logging.basicConfig(level=logging.INFO)
    place = Path(bundle)
    kind = "store" if (place / "releases").is_dir() else "bundle"
    chosen = Settings(**{kind: place}, **json.loads(settings))
    step = Batch.step

    def slow_step(self: Batch, tokens: list[int]) -> Logits:
        time.sleep(float(seconds))
        return step(self, tokens)

    service = Service(Limits(**json.loads(limits)), token)
    releases = Releases(service, chosen)
    releases.first()
    Batch.step = slow_step  # type: ignore[method-assign,assignment]

    def ready(address: str) -> None:
        sys.stdout.write(json.dumps({"address": address}) + "\n")
        sys.stdout.flush()

    serve(service, releases, chosen, ready)


if __name__ == "__main__":
    main(*sys.argv[1:])
