"""``manage.py causeway``: a worker."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from causeway import App


class Command(BaseCommand):
    """Serves Centrifugo's events with the application in ``CAUSEWAY_APP``."""

    help = "Answer Centrifugo's events. Causeway runs this command: it is the command of `server` in .rr.yaml."
    # They would be repeated whenever a worker starts.
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's

    def add_arguments(self, parser: Any) -> None:
        """Take the application and how it is run."""
        default = getattr(settings, "CAUSEWAY_APP", None)
        parser.add_argument("--app", default=default, help="where the application is, instead of CAUSEWAY_APP of the settings")
        parser.add_argument("--concurrency", type=int, help="requests at a time, by default one")
        parser.add_argument("--threads", type=int, help="threads for handlers that are not async")

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Run the worker."""
        if not options["app"]:
            raise CommandError("name the application: --app shop.realtime.app, or CAUSEWAY_APP in the settings")
        try:
            app = import_string(options["app"])
        except ImportError as error:
            raise CommandError(f"cannot import the application {options['app']}: {error}") from error
        if not isinstance(app, App):
            raise CommandError(f"{options['app']} is no causeway.App but {type(app).__name__}")
        app.run(concurrency=options["concurrency"], threads=options["threads"])
