"""Runners of the stage table: `in_process` calls the tasks, `prefect_runner` submits them to Prefect.

`runner(...)` chooses. Importing this package, or `svdaudio.engine.run`, does not import prefect.
"""

import os

QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""In the environment of whatever runs Prefect: it reports its use to nobody."""

# Here, because Prefect reads them when it is imported, and every flow is imported after this.
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
