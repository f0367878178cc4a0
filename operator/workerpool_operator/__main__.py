"""`python -m workerpool_operator`: what the operator's image runs."""

from workerpool_operator.main import operator

operator(prog_name="workerpool operator")
