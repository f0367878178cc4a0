"""The adapter against a real API server: server-side apply, errors, outages, tokens."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.api.conftest import Connect
from tests.support.apiserver import ADMIN_TOKEN, ApiServer
from tests.support.waiting import eventually
from workerpool_contract.names import MANAGER, STATUS_MANAGER
from workerpool_operator.kube.account import service_account
from workerpool_operator.kube.api import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    PODS,
    POOLS,
    SECRETS,
    ApiError,
    Body,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unreachable,
)
from workerpool_operator.kube.client import PAGE, Client, from_kubeconfig, in_pod

pytestmark = pytest.mark.kubernetes


def _budget(namespace: str, **spec: object) -> Body:
    selector = {"matchLabels": {"app": "orders"}}
    return {
        "metadata": {"namespace": namespace, "name": "orders", "labels": {"app": "orders", "tier": "back"}},
        "spec": {"maxUnavailable": "25%", "selector": selector, **spec},
    }


def _pool(namespace: str) -> Body:
    postgres = {"queue": "orders", "urlSecretRef": {"name": "database"}}
    return {
        "apiVersion": POOLS.api_version,
        "kind": POOLS.kind,
        "metadata": {"namespace": namespace, "name": "orders"},
        "spec": {"source": {"postgres": postgres}, "worker": {"app": "shop"}},
    }


def _version(body: Body) -> str:
    return str(body["metadata"]["resourceVersion"])


async def test_apply_creates_then_updates_then_changes_nothing(kube: Client, namespace: str) -> None:
    created = await kube.apply(DISRUPTION_BUDGETS, _budget(namespace), manager=MANAGER)
    updated = await kube.apply(DISRUPTION_BUDGETS, _budget(namespace, maxUnavailable=1), manager=MANAGER)
    repeated = await kube.apply(DISRUPTION_BUDGETS, _budget(namespace, maxUnavailable=1), manager=MANAGER)

    assert created["spec"]["maxUnavailable"] == "25%"
    assert updated["spec"]["maxUnavailable"] == 1
    assert updated["metadata"]["uid"] == created["metadata"]["uid"]
    assert _version(repeated) == _version(updated) != _version(created)
    assert repeated["metadata"]["managedFields"][0]["manager"] == MANAGER


async def test_apply_takes_a_field_back_from_another_manager(kube: Client, namespace: str) -> None:
    await kube.apply(DISRUPTION_BUDGETS, _budget(namespace), manager=MANAGER)
    await kube.apply(DISRUPTION_BUDGETS, _budget(namespace, maxUnavailable=7), manager="somebody")
    after = await kube.apply(DISRUPTION_BUDGETS, _budget(namespace), manager=MANAGER)

    assert after["spec"]["maxUnavailable"] == "25%"


async def test_apply_removes_what_it_applied_before_and_leaves_what_others_did(kube: Client, namespace: str) -> None:
    body = _budget(namespace)
    await kube.apply(DISRUPTION_BUDGETS, body, manager=MANAGER)
    await kube.merge(DISRUPTION_BUDGETS, namespace, "orders", {"metadata": {"annotations": {"note": "theirs"}}})
    del body["metadata"]["labels"]["tier"]
    after = await kube.apply(DISRUPTION_BUDGETS, body, manager=MANAGER)

    assert after["metadata"]["labels"] == {"app": "orders"}
    assert after["metadata"]["annotations"] == {"note": "theirs"}


async def test_status_and_spec_are_written_apart(kube: Client, namespace: str) -> None:
    pool = await kube.create(POOLS, _pool(namespace))
    status = {"metadata": _pool(namespace)["metadata"], "status": {"replicas": 3}, "spec": {"replicas": 9}}
    told = await kube.apply(POOLS, status, manager=STATUS_MANAGER, subresource="status")

    assert told["status"]["replicas"] == 3
    assert told["spec"] == pool["spec"]
    assert told["metadata"]["generation"] == pool["metadata"]["generation"] == 1

    changed = await kube.merge(POOLS, namespace, "orders", {"spec": {"replicas": 2}, "status": {"replicas": 99}})
    assert changed["metadata"]["generation"] == 2
    assert changed["status"]["replicas"] == 3


async def test_merge_removes_what_is_none(kube: Client, namespace: str) -> None:
    await kube.apply(DISRUPTION_BUDGETS, _budget(namespace), manager=MANAGER)
    after = await kube.merge(DISRUPTION_BUDGETS, namespace, "orders", {"metadata": {"labels": {"tier": None}}})

    assert after["metadata"]["labels"] == {"app": "orders"}


async def test_list_selects_and_reads_every_page(kube: Client, namespace: str) -> None:
    def secret(number: int) -> Body:
        meta = {"namespace": namespace, "name": f"s{number}", "labels": {"parity": str(number % 2)}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta}

    number = PAGE + 2
    await asyncio.gather(*(kube.create(SECRETS, secret(index)) for index in range(number)))

    assert len(await kube.list(SECRETS, namespace)) == number
    odd = await kube.list(SECRETS, namespace, "parity=1")
    assert len(odd) == number // 2
    assert {(found["apiVersion"], found["kind"]) for found in odd} == {("v1", "Secret")}
    assert len([found for found in await kube.list(SECRETS) if found["metadata"]["namespace"] == namespace]) == number


async def test_errors_have_a_class_and_words_each(kube: Client, namespace: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", **_budget(namespace)}
    with pytest.raises(NotFound, match=r'poddisruptionbudgets.policy "orders" not found') as missing:
        await kube.get(DISRUPTION_BUDGETS, namespace, "orders")
    created = await kube.create(DISRUPTION_BUDGETS, body)
    with pytest.raises(Conflict) as exists:
        await kube.create(DISRUPTION_BUDGETS, body)
    await kube.merge(DISRUPTION_BUDGETS, namespace, "orders", {"spec": {"maxUnavailable": 1}})
    with pytest.raises(Conflict) as outdated:
        await kube.update(DISRUPTION_BUDGETS, created)
    with pytest.raises(Invalid, match="maxUnavailable") as invalid:
        await kube.apply(DISRUPTION_BUDGETS, _budget(namespace, maxUnavailable=-1), manager=MANAGER)

    found: list[ApiError] = [missing.value, exists.value, outdated.value, invalid.value]
    expected = [(404, "NotFound"), (409, "AlreadyExists"), (409, "Conflict"), (422, "Invalid")]
    assert [(error.status, error.reason) for error in found] == expected


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"imag": "y"}, r'^\.spec\.template\.spec\.containers\[name="x"\]\.imag: field not declared in schema$'),
        ({"env": "z"}, r'^\.spec\.template\.spec\.containers\[name="x"\]\.env: expected list'),
        ({"env": [{"name": "a"}, {"name": "a"}]}, "duplicate entries"),
        ({"resources": {"requests": {"cpu": "lots"}}}, "quantities must match"),
    ],
    ids=["unknown", "type", "duplicate", "quantity"],
)
async def test_what_cannot_be_read_as_its_kind_is_invalid_and_no_fault_of_the_server(
    kube: Client, namespace: str, container: Body, words: str
) -> None:
    labels = {"app": "orders"}
    spec = {"containers": [{"name": "x", "image": "y", **container}]}
    body = {
        "metadata": {"namespace": namespace, "name": "orders"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    with pytest.raises(Invalid, match=words):
        await kube.apply(DEPLOYMENTS, body, manager=MANAGER)


async def test_a_token_without_rights_is_forbidden_everything(
    api_server: ApiServer, connect: Connect, namespace: str
) -> None:
    api_server.kubectl("create", "serviceaccount", "stranger", f"--namespace={namespace}")
    stranger = connect(api_server.token(namespace, "stranger"))
    with pytest.raises(Forbidden, match="cannot list resource") as refused:
        await stranger.list(PODS, namespace)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    with pytest.raises(Forbidden):
        await stranger.apply(DEPLOYMENTS, _budget(namespace), manager=MANAGER)


async def test_a_name_never_leads_to_another_object(kube: Client, namespace: str) -> None:
    for name in ("..", "."):
        with pytest.raises(ValueError, match="not a name"):
            await kube.get(SECRETS, namespace, name)
    with pytest.raises(ApiError):
        await kube.get(SECRETS, namespace, "../pods?limit=1")


async def test_a_token_is_read_anew_for_every_call(api_server: ApiServer, tmp_path: Path) -> None:
    folder = api_server.service_account_folder(tmp_path, "outdated")
    account = service_account(api_server.pod_environment, folder)
    assert account is not None
    client = in_pod(account)
    try:
        with pytest.raises(ApiError, match="Unauthorized") as refused:
            await client.list(PODS, "default")
        assert "outdated" not in str(refused.value)
        (folder / "token").write_text(f"{ADMIN_TOKEN}\n")
        assert await client.list(PODS, "default") == []
        (folder / "token").write_text("outdated")
        with pytest.raises(ApiError, match="Unauthorized"):
            await client.list(PODS, "default")
    finally:
        await client.close()


async def test_a_kubeconfig_is_read_again_when_its_token_is_refused(api_server: ApiServer, tmp_path: Path) -> None:
    config = json.loads(api_server.kubeconfig.read_text())
    config["users"][0]["user"] = {"tokenFile": str(tmp_path / "token")}
    (tmp_path / "config").write_text(json.dumps(config))
    (tmp_path / "token").write_text("outdated")
    client = await from_kubeconfig(tmp_path / "config")
    try:
        with pytest.raises(ApiError, match="Unauthorized"):
            await client.list(PODS, "default")
        (tmp_path / "token").write_text(ADMIN_TOKEN)
        assert await client.list(PODS, "default") == []
    finally:
        await client.close()


async def test_outside_of_a_pod_there_is_no_account(api_server: ApiServer, tmp_path: Path) -> None:
    assert service_account(api_server.pod_environment, tmp_path) is None
    assert service_account({}, api_server.service_account_folder(tmp_path)) is None
    six = service_account({"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "1"}, tmp_path)
    assert six is not None
    assert six.server == "https://[::1]:1"


async def test_a_killed_server_is_unreachable_and_comes_back(api_server: ApiServer, kube: Client) -> None:
    await kube.list(PODS, "default")
    api_server.end("kube-apiserver")
    try:
        for _ in range(2):
            with pytest.raises(Unreachable, match=f"{api_server.url} cannot be reached: ") as unreachable:
                await kube.list(PODS, "default")
            assert (unreachable.value.status, unreachable.value.reason) == (0, "Unreachable")
    finally:
        api_server.start()

    async def answers() -> bool:
        return await kube.list(PODS, "default") == []

    await eventually(answers, "the same client works again")


async def test_a_server_that_is_silent_is_unreachable(api_server: ApiServer, tmp_path: Path) -> None:
    account = service_account(api_server.pod_environment, api_server.service_account_folder(tmp_path))
    assert account is not None
    client = in_pod(account, timeout=0.3)
    api_server.send("kube-apiserver", signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
            await client.list(PODS, "default")
    finally:
        api_server.send("kube-apiserver", signal.SIGCONT)
        await client.close()
