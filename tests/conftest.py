"""Settings and fixtures that all tests share."""

from hypothesis import HealthCheck, settings

from tests.support.fixtures import database, empty_database, postgres_server

__all__ = ["database", "empty_database", "postgres_server"]

# A busy machine is not a defect: property tests have no time limit per example, only the limit of every test.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
