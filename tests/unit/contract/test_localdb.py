"""The state folder of a project: the same for every command, whichever package computes it."""

from pathlib import Path

import platformdirs
import pytest

from workerpool_contract.localdb import ROOT_STATE, state_dir


def test_one_folder_per_project_and_the_same_from_everywhere(tmp_path: Path) -> None:
    user_state = platformdirs.user_state_path("workerpool", appauthor=False)
    here, there = tmp_path / "shop", tmp_path / "other" / "shop"
    found = state_dir(here, user_state, root=False)
    assert found.parent == user_state
    assert found.name.startswith("shop-")
    assert found != state_dir(there, user_state, root=False)
    assert found == state_dir(here / "x" / "..", user_state, root=False)


@pytest.mark.parametrize(
    ("override", "folder"), [("/srv/state", Path("/srv/state")), ("~/state", Path.home() / "state")]
)
def test_an_override_is_taken_as_it_is(tmp_path: Path, override: str, folder: Path) -> None:
    assert state_dir(tmp_path, tmp_path, root=False, override=override) == folder


def test_the_superuser_keeps_state_where_the_server_may_read_it(tmp_path: Path) -> None:
    assert state_dir(tmp_path, tmp_path, root=True).parent == ROOT_STATE
