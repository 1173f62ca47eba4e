"""The server's log on stderr: a line for each request, as text or as JSON, and failures with their tracebacks."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any, Literal, get_args

from atonce.errors import UserError, option
from atonce.serving.paths import PROBES

AccessLog = Literal["text", "json", "none"]
"""The lines of requests: as uvicorn writes them, one JSON object each, or none. Of json, failures are objects, too."""

ACCESS = "atonce.access"
"""The logger of requests for JSON; uvicorn has one of its own for text."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, and of a request its entry, else the message and traceback.

    Whatever clients send stands in it escaped, so that nobody can write lines of their own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": moment, "level": record.levelname.lower()}
        entry = getattr(record, "entry", None)
        line |= entry if entry is not None else {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class WithoutProbes(logging.Filter):
    """Leaves out the health checks and metrics that went well, see `PROBES`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written."""
        entry = getattr(record, "entry", None)
        if entry is not None:
            path, status = entry["path"], entry["status"]
        elif isinstance(record.args, tuple) and len(record.args) == 5:
            # uvicorn's: client, method, path with its query, version, status.
            path, status = str(record.args[2]).partition("?")[0], record.args[4]
        else:
            return True
        return not (path in PROBES and isinstance(status, int) and status < 400)


def require_access_log(access_log: str) -> None:
    """Raise UserError where there is no such kind of log."""
    if access_log not in get_args(AccessLog):
        raise UserError(option("access_log", access_log), f"one of {', '.join(get_args(AccessLog))}")


def log_config(access_log: AccessLog) -> dict[str, Any]:
    """Return the configuration of Python's logging. Raises UserError: another kind of log."""
    require_access_log(access_log)
    level = {"text": {"uvicorn.access": "INFO"}, "json": {ACCESS: "INFO"}, "none": {}}[access_log]
    formatter = "json" if access_log == "json" else "text"
    handler = {"class": "logging.StreamHandler", "formatter": formatter, "stream": "ext://sys.stderr"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(asctime)s %(message)s", "use_colors": False},
            "json": {"()": JsonFormatter},
        },
        "filters": {"probes": {"()": WithoutProbes}},
        "handlers": {"stderr": handler, "access": {**handler, "filters": ["probes"]}},
        "loggers": {
            "uvicorn.error": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            # Of damaged forms, which are refused with a line of ours; its own would stand bare among the objects.
            "python_multipart": {"level": "CRITICAL"},
            **{
                name: {"handlers": ["access"], "level": level.get(name, "CRITICAL"), "propagate": False}
                for name in ("uvicorn.access", ACCESS)
            },
        },
    }
