"""What the shop keeps."""

from django.conf import settings
from django.db import models


class Order(models.Model):
    """An order of a user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    state = models.CharField(max_length=20, default="paid")
