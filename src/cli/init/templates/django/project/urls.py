"""The pages."""

from django.conf import settings
from django.http import FileResponse, HttpRequest
from django.urls import path


def page(request: HttpRequest) -> FileResponse:
    """Return the chat."""
    return FileResponse((settings.BASE_DIR / "public" / "index.html").open("rb"))


urlpatterns = [path("", page)]
