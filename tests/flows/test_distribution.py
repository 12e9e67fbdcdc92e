"""The wheel and the sdist that users install: what is in them, and the demo from a clean place."""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import foretaste

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "foretaste"
DATA_ENDINGS = {".yaml", ".txt", ".js", ".ts", ".css", ".html", ".pyi", ".typed"}
# Nothing of the checkout may be found before the wheel.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
ENVIRONMENT |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run_outside(folder: Path, *words: object) -> str:
    """Run a program outside the checkout, and return what it prints."""
    command = [str(word) for word in words]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def source_files() -> set[str]:
    """Every file that the package needs, as the wheel names it; stubs for the type checker of scripts are left out."""
    files = [path for path in SOURCE.rglob("*") if path.suffix in DATA_ENDINGS | {".py"}]
    return {str(path.relative_to(SOURCE.parent)) for path in files if not path.name.endswith(".d.ts")}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist; the wheel is built from the unpacked sdist, as `python -m build` does."""
    folder = tmp_path_factory.mktemp("dist")
    run_outside(folder, sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_version_is_the_same_everywhere() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["version"] == foretaste.__version__
    assert f"\nversion: {foretaste.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{foretaste.__version__}] - 20" in (ROOT / "CHANGELOG.md").read_text()
    assert f"## {foretaste.__version__}\n" in (ROOT / "docs" / "release-notes.md").read_text()


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as wheel:
        names = set(wheel.namelist())
    assert source_files() - names == set()
    assert not [name for name in names if name.startswith(("tests/", "docs/", "tools/", "examples/"))]


@pytest.mark.slow
def test_the_sdist_holds_every_file_of_the_package(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as sdist:
        names = {name.partition("/src/")[2] for name in sdist.getnames()}
    assert source_files() - names == set()


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """The environment has this one's libraries, and its own foretaste, which comes before an editable install."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    packages = next((place / "lib").glob("python3*")) / "site-packages"
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "libraries.pth").write_text("\n".join(libraries) + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run_outside(tmp_path, *install, "--ignore-installed", distributions[0])
    loaded = run_outside(tmp_path, python, "-c", "import foretaste; print(foretaste.__file__, foretaste.__version__)")
    assert loaded.split() == [str(packages / "foretaste" / "__init__.py"), foretaste.__version__]
    assert run_outside(tmp_path, place / "bin" / "foretaste", "--version").split()[-1] == foretaste.__version__
    run_outside(tmp_path, place / "bin" / "foretaste", "demo", "--no-open", "--study", tmp_path / "demo")
    assert (tmp_path / "demo" / "report.html").stat().st_size > 1_000_000
