"""`vitrine down`."""

from __future__ import annotations

from vitrine.cli import output
from vitrine.cli.options import DataDirOption, JsonOption

_TIMEOUT_S = 30.0


def down(data_dir: DataDirOption = None, json: JsonOption = False) -> None:
    """Stop the services. Calls in hand may end."""
    from vitrine.cli.mesh import expanded
    from vitrine.supervisor import state
    from vitrine.supervisor.layout import data_dir_default

    stopped = state.stop(expanded(data_dir, data_dir_default()), timeout_s=_TIMEOUT_S)
    if json:
        output.print_json({"stopped": stopped})
    else:
        output.out().print("stopped" if stopped else "nothing was running")
