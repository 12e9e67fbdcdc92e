"""What every implementation of the artefact port does.

A test class inherits these and says how its artefacts are opened.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foretaste.digests import digest
from foretaste.errors import DataError
from foretaste.store.artefacts import Artefacts

__all__ = ["ArtefactsContract", "Opener"]

Opener = Callable[[], Artefacts]

PARAMS = {
    "matrix": torch.arange(6.0).reshape(2, 3),
    "scalar": torch.tensor(2.5),
    "half": torch.tensor([1.0, 3.0], dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "long": torch.tensor([2**62]),
}


class ArtefactsContract:
    """Tests of one implementation, whose `opener` opens the same artefacts each time, as another process would."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        raise NotImplementedError

    def test_what_is_put_is_got_by_whoever_opens_it(self, opener: Opener) -> None:
        name = opener().put(PARAMS)
        assert name == digest(PARAMS)
        found = opener().get(name)
        assert set(found) == set(PARAMS)
        for key, tensor in PARAMS.items():
            assert found[key].dtype == tensor.dtype
            assert torch.equal(found[key], tensor)

    def test_the_same_content_has_one_digest_and_is_kept_once(self, opener: Opener) -> None:
        artefacts = opener()
        first = artefacts.put({"w": torch.ones(2), "v": torch.zeros(1)})
        size = artefacts.size(first)
        assert artefacts.put({"v": torch.zeros(1), "w": torch.ones(4)[:2]}) == first
        assert artefacts.size(first) == size > 0
        assert artefacts.put({"w": torch.ones(2)}) != first

    def test_what_is_got_is_the_readers_own(self, opener: Opener) -> None:
        artefacts = opener()
        name = artefacts.put({"w": torch.ones(2)})
        artefacts.get(name)["w"].zero_()
        assert torch.equal(artefacts.get(name)["w"], torch.ones(2))

    def test_what_was_put_does_not_follow_its_tensors(self, opener: Opener) -> None:
        artefacts, tensor = opener(), torch.ones(2)
        name = artefacts.put({"w": tensor})
        tensor.zero_()
        assert torch.equal(artefacts.get(name)["w"], torch.ones(2))

    @pytest.mark.parametrize("part", [slice(0, 6), slice(2, 4), slice(5, 99), slice(3, 3)])
    def test_a_slice_is_the_slice_of_the_flattened_tensor(self, opener: Opener, part: slice) -> None:
        artefacts = opener()
        name = artefacts.put(PARAMS)
        assert torch.equal(artefacts.slice(name, "matrix", part), PARAMS["matrix"].flatten()[part])
        assert torch.equal(artefacts.slice(name, "half", slice(1, 2)), PARAMS["half"][1:])
        with pytest.raises(DataError, match="has no tensor 'strange'"):
            artefacts.slice(name, "strange", part)

    def test_what_is_dropped_is_gone_and_can_be_put_again(self, opener: Opener) -> None:
        artefacts = opener()
        name = artefacts.put({"w": torch.ones(2)})
        assert artefacts.has(name)
        artefacts.drop(name)
        artefacts.drop(name)
        assert not opener().has(name)
        for read in (artefacts.get, artefacts.size, lambda digest: artefacts.slice(digest, "w", slice(0, 1))):
            with pytest.raises(DataError, match="is missing"):
                read(name)
        assert artefacts.put({"w": torch.ones(2)}) == name
        assert artefacts.has(name)

    def test_a_snapshot_takes_the_place_of_the_former(self, opener: Opener) -> None:
        artefacts = opener()
        assert artefacts.get_snapshot("key") is None
        assert not artefacts.has_snapshots()
        for step in (1, 2):
            artefacts.put_snapshot("key", {"w": torch.full((2,), float(step))}, {"step": step, "history": [0.5, 1 / 3]})
        snapshot = opener().get_snapshot("key")
        assert snapshot is not None
        assert torch.equal(snapshot[0]["w"], torch.full((2,), 2.0))
        assert snapshot[1] == {"step": 2, "history": [0.5, 1 / 3]}
        assert opener().has_snapshots()
        assert artefacts.get_snapshot("other") is None
        artefacts.drop_snapshot("key")
        artefacts.drop_snapshot("key")
        assert opener().get_snapshot("key") is None
        assert not opener().has_snapshots()
        assert artefacts.snapshots_at

    def test_a_claim_keeps_others_out_until_it_is_let_go(self, opener: Opener) -> None:
        events: list[str] = []
        waited = threading.Event()

        def other() -> None:
            with opener().claim("key", waited.set):
                events.append("other")

        artefacts, thread = opener(), threading.Thread(target=other)
        with artefacts.claim("key"):
            thread.start()
            assert waited.wait(30)
            with artefacts.claim("another"):
                events.append("first")
        thread.join(30)
        assert events == ["first", "other"]

    def test_a_claim_is_let_go_when_its_work_fails(self, opener: Opener) -> None:
        artefacts = opener()

        def fails() -> None:
            with artefacts.claim("key"):
                raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            fails()
        with opener().claim("key"):
            pass

    def test_whoever_waits_for_a_claim_may_give_up(self, opener: Opener) -> None:
        def gives_up() -> None:
            raise TimeoutError("enough")

        def wait() -> None:
            with opener().claim("key", gives_up):
                pass

        with opener().claim("key"), pytest.raises(TimeoutError, match="enough"):
            wait()
