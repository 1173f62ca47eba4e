"""The paths that the server answers, and which of them need no token or are asked every few seconds."""

from __future__ import annotations

HOME = "/"
PREDICT = "/predict"
MODEL = "/model"
HEALTHZ = "/healthz"
LIVEZ = "/livez"
READYZ = "/readyz"
METRICS = "/metrics"
OPENAPI = "/openapi.json"

PATHS = (HOME, PREDICT, MODEL, HEALTHZ, LIVEZ, READYZ, METRICS, OPENAPI)

HEALTH_CHECKS = frozenset({HEALTHZ, LIVEZ, READYZ})
"""Paths that a container's platform asks; they tell how full the queue is, and no more."""

OPEN_PATHS = HEALTH_CHECKS | {HOME}
"""Paths that need no token: the page, which asks for it, and the health checks."""

PROBES = HEALTH_CHECKS | {METRICS}
"""Paths that are asked every few seconds, for a year: the access log leaves them out where they went well."""
