"""The REST API in Airflow's web server, at /charthouse/v1.

Airflow imports plugins in every process, each task's included, and does not protect the apps that they bring: this one
is made at its first request, and each of its routes asks for a service token of ours.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class LazyApp:
    """An ASGI app that is made when it is first asked."""

    def __init__(self) -> None:
        self._app: Callable[..., Awaitable[None]] | None = None
        self._lock = Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, with the app that there is by now."""
        await self._made()(scope, receive, send)

    def _made(self) -> Callable[..., Awaitable[None]]:
        with self._lock:
            if self._app is None:
                from charthouse.api.app import make_app

                self._app = make_app()
            return self._app


class RestApi(AirflowPlugin):
    """What Airflow mounts."""

    name = "charthouse_rest_api"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": "/charthouse/v1", "name": "Charthouse REST API"}]  # noqa: RUF012
