"""Transcripts of an engine's calls, which the contract tests replay without the engine.

`PYVOL_ENGINES=20.10,26,28 pytest tests/engine --record` writes all transcripts again, from the tests marked
`transcript`.

A transcript is a JSON file, tests/transcripts/<engine>-<scenario>.json, with `steps` in the order of their
arrival:

* `{"request": {method, path, headers, body}, "reply": {status, body}}`: a call. The header lines and the body
  are the engine's own, byte for byte and in the engine's order. The reply is pyvol's, or null if pyvol closed
  the connection without a reply. A placeholder replaces each value that can differ in another run: `<pool>`
  for the pool's root, `<time>` for a CreatedAt, `<status>` for a Status, `<error>` for the message of an Err.
* `{"event": "killed"}`: pyvol was killed and started again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .calls import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .calls import Event

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
FORMAT = 1
PLACEHOLDERS = {"CreatedAt": "<time>", "Status": "<status>", "Err": "<error>"}


def soften(value: Any, root: str) -> Any:
    """Replace values that can differ in another correct run with placeholders."""
    if isinstance(value, dict):
        return {
            key: PLACEHOLDERS[key] if key in PLACEHOLDERS and part else soften(part, root)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [soften(part, root) for part in value]
    if isinstance(value, str):
        return value.replace(root, "<pool>")
    return value


def describe(entry: Call | Event, root: str) -> dict[str, Any]:
    """Return one step as JSON data."""
    if not isinstance(entry, Call):
        return {"event": entry.what}
    return {
        "request": {
            "method": entry.method,
            "path": f"/{entry.path}",
            "headers": [f"{name}: {value}" for name, value in entry.headers],
            "body": entry.body.decode(),
        },
        "reply": {"status": entry.status, "body": soften(entry.answered, root)} if entry.done else None,
    }


def record(engine: str, scenario: str, entries: Sequence[Call | Event], root: Path) -> None:
    """Write the transcript of an engine's last calls for a pool."""
    events = [describe(entry, str(root)) for entry in entries if not isinstance(entry, Call) or entry.asked_pyvol]
    # One line per step, so that the file is readable and diffs show single steps.
    steps = ",\n".join(json.dumps(step, ensure_ascii=False) for step in events)
    head = json.dumps({"format": FORMAT, "engine": engine, "scenario": scenario})
    TRANSCRIPTS.mkdir(exist_ok=True)
    file = TRANSCRIPTS / f"{engine}-{scenario}.json"
    file.write_text(f'{head[:-1]}, "steps": [\n{steps}\n]}}\n')
