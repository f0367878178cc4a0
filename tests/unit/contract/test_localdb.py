"""The state folder of a project: the same for every command, whichever package computes it."""

from pathlib import Path

import platformdirs
import pytest

from workerpool.localdb import default_state_dir
from workerpool_contract.localdb import state_dir


def test_one_folder_per_project_and_the_same_from_everywhere(tmp_path: Path) -> None:
    user_state = platformdirs.user_state_path("workerpool", appauthor=False)
    here, there = tmp_path / "shop", tmp_path / "other" / "shop"
    found = state_dir(here, user_state, root=False)
    assert found.parent == user_state
    assert found.name.startswith("shop-")
    assert found != state_dir(there, user_state, root=False)
    assert found == state_dir(here / "x" / "..", user_state, root=False)


@pytest.mark.parametrize("override", [None, "/srv/state", "~/state"])
def test_up_and_the_embedded_database_agree(
    tmp_path: Path, override: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_state = platformdirs.user_state_path("workerpool", appauthor=False)
    for user in (0, 1000):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        assert state_dir(tmp_path, user_state, root=user == 0, override=override) == default_state_dir(
            tmp_path, override
        )
