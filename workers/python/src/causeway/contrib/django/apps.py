"""What INSTALLED_APPS names."""

from __future__ import annotations

from django.apps import AppConfig


class CausewayConfig(AppConfig):
    """Has the command ``causeway``."""

    name = "causeway.contrib.django"
    label = "causeway"
    verbose_name = "Causeway"
