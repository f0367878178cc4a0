"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# A busy machine is not a defect: property tests have no time limit per example, only the limit of every test.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
