"""Begins a search in a database, or finds it there; and the folder of a worker."""

import json
import socket
import uuid
from pathlib import Path

import msgspec
import optuna

import tinytx
from tinytx.errors import OverwriteRefused, UsageError, os_errors_as
from tinytx.sweep.plan import Plan
from tinytx.sweep.pruner import FrontPruner
from tinytx.sweep.search import SHARED
from tinytx.sweep.shared.database import Pulse, Server, open_storage
from tinytx.sweep.shared.patience import Patience
from tinytx.sweep.shared.study import TRIALS, SharedStudy, Worker
from tinytx.sweep.shared.terms import Terms, check, read_terms, terms_of
from tinytx.sweep.watch import Watch

TERMS = "terms"
WORKER_PREFIX = "worker "


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker of which search a folder belongs to."""

    uid: str
    worker: str
    host: str


def begin(server: Server, name: str, plan: Plan, pulse: Pulse, watch: Watch) -> Terms:
    """Begin the search, or find that it is the same one, and give it ``plan``'s budget.

    Raises :class:`OtherText` or :class:`OverwriteRefused` where it is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what is amiss we tell ourselves
    storage = open_storage(server)
    ours = terms_of(plan, pulse, uuid.uuid4().hex)
    with server.exclusively():
        new = name not in optuna.get_all_study_names(storage)
        make = optuna.create_study if new else optuna.load_study
        study = make(study_name=name, storage=storage)
        if new:
            study.set_user_attr(TERMS, msgspec.to_builtins(ours))
        terms = read_terms(study.user_attrs.get(TERMS), name)
        check(terms, ours.identity, name)
        before = study.user_attrs.get(TRIALS)
        study.set_user_attr(TRIALS, plan.trials)
    if before not in (None, plan.trials):
        watch.note(f"the budget of all workers was {before} trials, now it is {plan.trials}")
    if terms.pulse != pulse:
        watch.note(f"the search keeps its --grace of {terms.pulse.grace}s")
    return terms


def find(server: Server, name: str) -> tuple[Terms, int]:
    """The terms of a search that another worker has begun, and its budget.

    Raises :class:`UsageError` where there is none of that name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what is amiss we tell ourselves
    storage = open_storage(server)
    names = optuna.get_all_study_names(storage)
    if name not in names:
        known = f"; it has {', '.join(map(repr, sorted(names)[:5]))}" if names else ""
        raise UsageError(
            f"there is no search {name!r} in {server.address} to join{known}",
            "begin it with --search and without --join, or name another with --study",
        )
    attributes = optuna.load_study(study_name=name, storage=storage).user_attrs
    terms = read_terms(attributes.get(TERMS), name)
    return terms, int(attributes.get(TRIALS, 0))


def take_folder(root: Path, uid: str) -> str:
    """Make ``root`` the folder of one worker of a search; the worker's id, the same every time.

    To be called by the only process in it. Raises :class:`OverwriteRefused` when it holds
    something else.
    """
    file, host = root / SHARED, socket.gethostname()
    with os_errors_as(OverwriteRefused, f"use {root}"):
        try:
            place = msgspec.json.decode(file.read_bytes(), type=Place)
        except FileNotFoundError:
            place = None
        except msgspec.MsgspecError as error:
            raise OverwriteRefused(f"{file} is damaged", "choose another --output-dir") from error
        if (root / "sweep.db").exists() or (place is not None and place.uid != uid):
            raise OverwriteRefused(
                f"{root} holds the trials of another sweep", "choose another --output-dir"
            )
        if place is None or place.host != host:  # a copy on another machine is another worker
            place = Place(uid=uid, worker=uuid.uuid4().hex, host=host)
            file.write_text(json.dumps(msgspec.to_builtins(place)), encoding="utf-8")
    return place.worker


def open_shared(
    server: Server, study_name: str, plan: Plan, terms: Terms, worker: Worker, watch: Watch
) -> SharedStudy:
    """The study, with this worker among the others; differences of version are told."""
    storage = open_storage(server, terms.pulse)
    study = optuna.load_study(study_name=study_name, storage=storage, pruner=FrontPruner())
    with server.exclusively():
        others = {w.id: w for w in workers_of(study) if w.id != worker.id}
        worker = replace_name(worker, {other.name for other in others.values()})
        study.set_user_attr(WORKER_PREFIX + worker.id, msgspec.to_builtins(worker))
    for said in differences(worker, terms, list(others.values())):
        watch.note(said)
    return SharedStudy(
        study,
        plan,
        server=server,
        storage=storage,
        pulse=terms.pulse,
        worker=worker,
        patience=Patience(server.address, watch.note),
    )


def workers_of(study: optuna.Study) -> list[Worker]:
    """Every worker that has ever joined."""
    found = study.user_attrs.items()
    return [msgspec.convert(v, Worker) for k, v in found if k.startswith(WORKER_PREFIX)]


def replace_name(worker: Worker, taken: set[str]) -> Worker:
    """A name that no other worker has: the second ``pi`` is ``pi-2``."""
    name, count = worker.name, 1
    while name in taken:
        count += 1
        name = f"{worker.name}-{count}"
    return msgspec.structs.replace(worker, name=name)


def differences(worker: Worker, terms: Terms, others: list[Worker]) -> list[str]:
    """Which versions differ: their results may, too."""
    said = []
    for what, ours, first in (
        ("tinytx", tinytx.__version__, terms.tinytx),
        ("optuna", optuna.__version__, terms.optuna),
    ):
        theirs = {first: "the search was begun with"}
        theirs |= {getattr(w, what): f"{w.name} has" for w in others if getattr(w, what) != first}
        told = ", ".join(f"{who} {version}" for version, who in theirs.items() if version != ours)
        said += [f"{worker.name} has {what} {ours}; {told}"] if told else []
    return said


def this_worker(id: str, name: str | None) -> Worker:
    """This machine, or what the user calls it."""
    return Worker(
        id=id,
        name=name or socket.gethostname(),
        tinytx=tinytx.__version__,
        optuna=optuna.__version__,
    )
