# SPDX-License-Identifier: Apache-2.0
"""Structured logs on standard error: one JSON object a line, no secrets, no personal data."""

import logging
import sys
from typing import Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, WrappedLogger

from etymon.kernel.secret import HIDDEN, Secret

FORBIDDEN_KEYS: Final = frozenset(
    {"token", "secret", "pin", "password", "passphrase", "code", "authorization", "cookie"}
)
"""Keys under which a value would be a bearer secret; `code` of an error is logged as `error_code`."""

QUIET: Final = ("authlib", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore", "multipart")
"""Libraries that log requests or tokens at their lower levels."""


def configure(level: str) -> None:
    """Send structlog and the libraries' logs as JSON lines to standard error."""
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            # a traceback with local variables would carry secrets and names into the log
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=numeric, stream=sys.stderr, format='{"logger": "%(name)s", "event": "%(message)s"}')
    for name in QUIET:
        logging.getLogger(name).setLevel(max(numeric, logging.WARNING))


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace values that must not be logged; an error's `code` becomes `error_code`."""
    shown: EventDict = {}
    for key, value in event.items():
        if key == "code":
            shown["error_code"] = value
        elif key in FORBIDDEN_KEYS or isinstance(value, Secret | bytes):
            shown[key] = HIDDEN
        else:
            shown[key] = value
    return shown
