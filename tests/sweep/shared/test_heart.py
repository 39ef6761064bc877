"""Signs of life go on through errors, and stop for a trial that is another's."""

import threading

import optuna

from tinytx.sweep.shared.heart import Heart


def test_an_error_ends_no_heart() -> None:
    beats, enough = [], threading.Event()

    def beat() -> bool:
        beats.append("beat")
        if len(beats) == 3:
            enough.set()
        if len(beats) < 3:
            raise optuna.exceptions.StorageInternalError("the server restarts")
        return True

    with Heart(beat, 0.001) as heart:
        assert enough.wait(10)
        assert not heart.lost


def test_a_trial_that_others_gave_up_is_noticed_and_no_sign_follows() -> None:
    beats = []

    def beat() -> bool:
        beats.append("beat")
        return False

    heart = Heart(beat, 0.001)
    with heart:
        assert heart._lost.wait(10)
        heart._thread.join(10)
    assert heart.lost
    assert beats == ["beat"]
