"""``maskloop doctor``: is everything here, does everything reach everything, and if not, what to type.

Each check is a generator of findings and looks at one thing: ``machine`` at what a machine can see of itself,
``services`` at every connection, in both directions.
"""

from __future__ import annotations

from backends.settings import Settings
from pipelines.doctor.findings import findings
from pipelines.doctor.machine import MACHINE
from pipelines.doctor.services import SERVICES


def run(settings: Settings) -> int:
    """Print the report; returns 0 when everything is well, else 4."""
    failed = 0
    for check in (*MACHINE, *SERVICES):
        for finding in findings(check, settings):
            print(f"{'OK  ' if finding.ok else 'FAIL'}  {finding.said}", flush=True)
            if not finding.ok:
                failed += 1
                print(f"      fix: {finding.fix}", flush=True)
    print(f"{failed} of the checks failed." if failed else "Everything is well.")
    return 4 if failed else 0
