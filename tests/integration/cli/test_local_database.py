"""Without any URL, commands of one folder share its embedded database, and each folder has its own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Shell
from workerpool.cli import target
from workerpool_contract.localdb import state_dir


@pytest.fixture
def states(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path for states, where the user that runs the server may go; folders under it as for a user."""
    with tempfile.TemporaryDirectory(prefix="wp-cli-") as name:
        Path(name).chmod(0o755)
        monkeypatch.delenv("WORKERPOOL_STATE_DIR")

        def under_the_test(project: Path, _user: Path, **_how: object) -> Path:
            return state_dir(project, Path(name), root=False)

        monkeypatch.setattr(target, "state_dir", under_the_test)
        yield Path(name)


def test_commands_of_one_folder_share_their_database(
    shell: Shell, states: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert shell("jobs", "list").code == 2
    assert list(states.iterdir()) == []
    job_id = shell("enqueue", "orders", '{"id": 1}').out.strip()
    assert shell("jobs", "show", job_id, "--json").json["payload"] == {"id": 1}
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    result = shell("jobs", "list")
    assert result.code == 2
    assert "this folder has no embedded database" in result.err


def test_up_and_the_commands_agree_on_the_folder(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from workerpool_operator.up import command

    monkeypatch.delenv("WORKERPOOL_STATE_DIR")
    seen: list[Path] = []

    def refuse(folder: Path) -> None:
        seen.append(folder)
        raise ValueError("stopped by the test")

    monkeypatch.setattr(command, "claimed", refuse)
    manifest = Path("pool.yaml")
    manifest.write_text(
        "apiVersion: workerpool.dev/v1\nkind: WorkerPool\nmetadata: {name: orders}\n"
        "spec:\n  source: {postgres: {queue: orders}}\n  worker: {app: shop}\n  scaling: {backlogPerReplica: 1}\n"
    )
    for override in (None, str(tmp_path / "elsewhere")):
        if override:
            monkeypatch.setenv("WORKERPOOL_STATE_DIR", override)
        result = shell("up", "-f", "pool.yaml", "--no-tui")
        assert "stopped by the test" in result.err, result.err
        assert target.project_state(os.environ.get("WORKERPOOL_STATE_DIR")) == seen[-1]
