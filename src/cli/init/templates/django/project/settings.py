"""Settings. Views and workers share them."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# Made for this project; set another one where it serves others.
SECRET_KEY = os.environ.get("SECRET_KEY", "django-insecure-{{secret_key}}")
DEBUG = os.environ.get("DEBUG", "1") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "causeway.contrib.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "project.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

# The application of `manage.py causeway`.
CAUSEWAY_APP = "project.realtime.app"
