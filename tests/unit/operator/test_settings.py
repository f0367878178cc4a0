"""Settings of the operator from its environment."""

import pytest

from workerpool_operator.settings import VARIABLES, OperatorSettings, SettingsError, from_environment


def test_nothing_set_means_the_defaults() -> None:
    assert from_environment({}) == OperatorSettings()


def test_everything_can_be_set() -> None:
    environ = {
        "WORKERPOOL_OPERATOR_NAMESPACES": "shop, mail",
        "WORKERPOOL_OPERATOR_RUNNER_IMAGE": "registry.example/runner:1",
        "WORKERPOOL_OPERATOR_HOST": "127.0.0.1",
        "WORKERPOOL_OPERATOR_PORT": "9090",
        "WORKERPOOL_OPERATOR_LOG_LEVEL": "DEBUG",
        "WORKERPOOL_OPERATOR_LOG_FORMAT": "text",
        "WORKERPOOL_OPERATOR_WORKERS": "3",
        "WORKERPOOL_OPERATOR_LEADER_ELECTION": "True",
        "WORKERPOOL_OPERATOR_LEASE_NAME": "lease",
        "WORKERPOOL_OPERATOR_LEASE_NAMESPACE": "system",
        "WORKERPOOL_OPERATOR_IDENTITY": "operator-0",
    }
    assert set(environ) == {variable.name for variable in VARIABLES}
    assert from_environment(environ) == OperatorSettings(
        namespaces=("shop", "mail"),
        runner_image="registry.example/runner:1",
        host="127.0.0.1",
        port=9090,
        log_level="debug",
        log_format="text",
        workers=3,
        leader_election=True,
        lease_name="lease",
        lease_namespace="system",
        identity="operator-0",
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "tcp://10.0.0.1:80", "'tcp://10.0.0.1:80' is not a whole number from 0 to 65535"),
        ("WORKERS", "0", "'0' is not a whole number from 1 to 256"),
        ("LEADER_ELECTION", "yes", "'yes' is not one of true, false"),
        (
            "NAMESPACES",
            "shop,team-*",
            "'shop,team-*' is not a comma-separated list of namespaces, each by its full name",
        ),
        ("LOG_LEVEL", "loud", "'loud' is not one of debug, info, warning, error"),
    ],
)
def test_a_mistake_names_the_variable_the_value_and_the_cure(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        from_environment({f"WORKERPOOL_OPERATOR_{name}": value})
    assert str(error.value) == f"WORKERPOOL_OPERATOR_{name}: {words}; correct the variable or unset it"
