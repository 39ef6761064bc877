"""The devices file: found, read, checked, chosen from."""

from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.remote import devices
from tinytx.remote.devices import chosen, devices_file, load

ROOT = Path(__file__).parents[2]


def written(folder: Path, text: str) -> Path:
    path = folder / "devices.toml"
    path.write_text(text)
    return path


def test_the_example_shows_every_key_and_can_be_read() -> None:
    path = ROOT / "deploy/devices.example.toml"
    found = load(path)
    assert list(found) == ["pi", "spare", "lab"]
    assert found["pi"].device_class == "pi-4"
    assert found["pi"].canary
    assert found["lab"].store == "/home/me/tinytx-store"
    text = path.read_text()
    for key in devices.known_keys():
        assert f"\n{key} = " in text, key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[devices.pi]\nhots = "a"\n', "[devices.pi]: unknown key 'hots'; did you mean 'host'?"),
        ('[devices.pi]\nhost = "a"\nKlass = "x"', "unknown key 'Klass'; did you mean 'class'?"),
        ('[device.pi]\nhost = "a"\n', "unknown key 'device'; did you mean 'devices'?"),
        ("[devices.pi]\n", "devices.pi: object missing required field `host`"),
        ('[devices.pi]\nhost = "-oProxyCommand=x"', "devices.pi.host: "),
        ('[devices.pi]\nhost = "a b"', "devices.pi.host: "),
        ('[devices.pi]\nhost = "a"\nway = "docker"', "devices.pi.way: invalid enum value"),
        ('[devices.pi]\nhost = "a"\nplatform = "linux/arm"', "devices.pi.platform: "),
        ('[devices.pi]\nhost = "a"\nstore = "here"', "devices.pi.store: "),
        ('[devices.pi]\nhost = "a\\n"', "devices.pi.host: "),
        ('[devices.pi]\nhost = "a"\nstore = "/x\\n"', "devices.pi.store: "),
        ('[devices.pi]\nhost = "a"\nstore = "~root/x"', "devices.pi.store: "),
        ('[devices.pi]\nhost = "a"\ngroup = "g\\n"', "devices.pi.group: "),
        ('[devices.pi]\nhost = "a"\nclass = "x\\ny"', "devices.pi.class: "),
        ('[devices.pi]\nhost = "a"\ncanary = "yes"', "devices.pi.canary: expected `bool`"),
        ('[devices."a b"]\nhost = "a"', "'a b' is no name for a device"),
        ("[devices]\npi = 3", "devices.pi must be a table: [devices.pi]"),
        ("schema = 2\n", "schema must be 1, not 2"),
        ("", "has no [devices.NAME]"),
        ("[devices.pi", "is not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_the_file_and_the_key(
    tmp_path: Path, text: str, says: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as error:
        load(path)
    assert says in error.value.message
    assert str(path) in error.value.message
    assert "\n" not in error.value.message


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(path)


def test_names_and_groups_mean_devices_each_once_in_the_order_that_they_are_asked_for(
    tmp_path: Path,
) -> None:
    lines = "".join(
        f'[devices.{name}]\nhost = "{name}"\ngroup = "{group}"\n'
        for name, group in (("a", ""), ("b", "hall"), ("c", "hall"), ("d", "attic"))
    )
    path = written(tmp_path, lines)
    known = load(path)
    names = [named.name for named in chosen(["c", "@hall", "a"], known, path)]
    assert names == ["c", "b", "a"]
    with pytest.raises(UsageError, match="no group 'hal'; did you mean 'hall'"):
        chosen(["@hal"], known, path)
    with pytest.raises(UsageError, match="no group ''"):
        chosen(["@"], known, path)
    with pytest.raises(UsageError, match="no device 'e'; known are a, b, c, d"):
        chosen(["e"], known, path)


def test_the_first_place_that_has_a_devices_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINYTX_DEVICES", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no devices file") as error:
        devices_file(None)
    assert "devices.example.toml" in error.value.remedy
    at_home = tmp_path / "home/.config/tinytx/devices.toml"
    at_home.parent.mkdir(parents=True)
    at_home.touch()
    assert devices_file(None) == at_home
    (tmp_path / "devices.toml").touch()
    assert devices_file(None) == Path("devices.toml")
    monkeypatch.setenv("TINYTX_DEVICES", "/elsewhere.toml")
    assert devices_file(None) == Path("/elsewhere.toml")
    assert devices_file(Path("mine.toml")) == Path("mine.toml")
