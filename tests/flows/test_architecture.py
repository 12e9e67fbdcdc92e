"""docs/architecture.md says what the code says."""

import re
import tomllib
from pathlib import Path

import foretaste

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SOURCE = ROOT / "src" / "foretaste"


def layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(list(each["layers"]) for each in contracts if each["type"] == "layers")


def test_floors_are_those_that_are_checked() -> None:
    written = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert written
    assert written[1].splitlines() == layers()


def test_every_room_is_in_the_table_once() -> None:
    rooms = [path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")]
    rooms += [path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()]
    table = PAGE[PAGE.index("## Rooms") : PAGE.index("## Three walks")]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(rooms)


def test_every_name_on_the_walks_is_there() -> None:
    walks = PAGE[PAGE.index("## Three walks") : PAGE.index("## Where would I add")]
    for name in re.findall(r"`([a-z_]+(?:\.[a-zA-Z_]+)+)`", walks):
        *parts, last = name.split(".")
        path = SOURCE.joinpath(*parts)
        module = path.with_suffix(".py")
        if module.is_file():
            assert re.search(rf"^(?:def|class) {last}\b|^{last}\b", module.read_text(), re.MULTILINE), name
        else:
            assert path.joinpath(f"{last}.py").is_file() or SOURCE.joinpath(*parts, last).is_dir(), name
    assert foretaste.__version__


def test_every_file_to_add_to_is_there() -> None:
    last = PAGE[PAGE.index("## Where would I add") :]
    for name in re.findall(r"`([\w/]+\.(?:py|js))`", last):
        assert (SOURCE / name).is_file() or (ROOT / name).is_file(), name
    for name in re.findall(r"`([\w/]+/)`", last):
        assert (SOURCE / name).is_dir(), name
