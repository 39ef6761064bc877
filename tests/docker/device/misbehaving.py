# ruff: noqa: F821
# mypy: ignore-errors
# For tests: appended to tinytx/serve/model.py of a device. A release whose appendix.bin says so
# passes every check before the switch, and misbehaves after it.
_asked_for = Model.generations
UNHEALTHY_SECONDS = 10.0


def _behaviour(model):
    path = model.bundle.folder / "appendix.bin"
    return path.read_text() if path.is_file() else ""


def _misbehaving(self, asked, deadline):
    from tinytx.serve.service import Service

    if "dies" in (kind := _behaviour(self)):
        import signal

        os.kill(os.getpid(), signal.SIGSEGV)
    if "memory" in kind:
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 20)) * 16)
    if not hasattr(Service, "healthy_state"):
        Service.healthy_state = Service.state
        Service.state = property(_state)
    return _asked_for(self, asked, deadline)


def _state(self):
    late = self.model is not None and time.time() - self.model.since > UNHEALTHY_SECONDS
    return "loading" if late and "later" in _behaviour(self.model) else self.healthy_state


Model.generations = _misbehaving
