"""What a deployment would run, for ``--dry-run``: each command as a person could type it."""

from collections.abc import Iterator, Sequence

from tinytx.bundle import MANIFEST
from tinytx.remote import words
from tinytx.remote.deploy import Order
from tinytx.remote.devices import Device, Named
from tinytx.remote.rollout import split


def planned(devices: Sequence[Named], order: Order) -> Iterator[str]:
    """The commands for a device that has nothing of the release yet, canaries first.

    What the device holds already is not sent; so there may be fewer, never others.
    """
    canaries, others = split(devices)
    for named in [*canaries, *others]:
        yield f"# {named.name}" + (" (canary)" if named in canaries and others else "")
        yield from _one(named.device, order)


def _one(device: Device, order: Order) -> Iterator[str]:
    bundle, folder = order.bundle.id, order.bundle.folder
    yield words.shown(words.release(device, "status"))
    if order.image is not None and device.way == "compose":
        yield words.shown(words.inspect_image(device, order.image.name))
        save, load = words.save_image(order.image.name), words.load_image(device)
        yield f"{words.shown(save)} | {words.shown(load)}"
    yield words.shown(words.release(device, "offer"), str(folder / MANIFEST))
    for name, facts in order.bundle.manifest.files.items():
        command = words.receive(device, facts.sha256, facts.size, 0)
        yield words.shown(command, str(folder / name))
    if order.envelope is not None or order.signer is not None:
        command = words.release(device, "statement", bundle)
        yield f"{words.shown(command)}  # the statement and its signature on standard input"
    yield words.shown(words.install(device, bundle))
    yield words.shown(words.prove(device, bundle, order.allow_invalid))
    yield words.shown(words.release(device, "switch", bundle))
    yield words.shown(words.release(device, "status")) + "  # until the device has decided"
