from foretaste.sources import harness_extra


def test_it_has_what_it_promises() -> None:
    assert all(hasattr(harness_extra, name) for name in harness_extra.__all__)
