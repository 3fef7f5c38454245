"""How long the tests wait for what must come, in seconds: so long takes nothing but a hang.

A machine that has much else to do is no failure. The limit of a whole test, pytest's `timeout` in
pyproject.toml, lies above it, so that it is the wait that fails, and says for what.
"""

PATIENCE = 120.0
