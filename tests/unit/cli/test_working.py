import os
import signal
import threading
import time
from pathlib import Path

import pytest

from commands import foretaste
from problems import digits_recipe


def test_a_signal_in_the_middle_of_work(tmp_path: Path) -> None:
    """Stops this very process's command cleanly; `tests/flows/test_kill.py` does the same to others."""
    recipe, running = digits_recipe(tmp_path, snapshots=0.05, finetune_steps="5000"), tmp_path / "study" / "running"

    def send() -> None:
        while not any(running.glob("*.safetensors")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    found = foretaste("fit", recipe, "--study", tmp_path / "study", "--json")
    sender.join()
    assert (found.code, found.out) == (130, "")
    assert (
        f"stopped: everything finished so far is kept in {tmp_path / 'study'}; go on with: foretaste fit {recipe}"
        " --study" in found.err
    )


def test_ctrl_c_outside_of_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("foretaste.recipe.read", interrupted)
    found = foretaste("check", tmp_path / "r.yaml")
    assert (found.code, found.out) == (130, "")
    assert "Traceback" not in found.err
