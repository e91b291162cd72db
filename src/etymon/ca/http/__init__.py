"""The authorities' face: the status listener."""

from etymon.ca.http.status import routes as status_routes

__all__ = ["status_routes"]
