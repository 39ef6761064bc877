"""The guide and the examples are executed by ``pytest -m guide`` alone: they train models."""

import pytest

WHY = "trains the guide's models, three minutes: run with -m guide"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "guide" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("guide"):
            item.add_marker(pytest.mark.skip(reason=WHY))
