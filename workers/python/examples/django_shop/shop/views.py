"""Pages: what happens there is published to who follows the order."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from causeway.contrib.django import rpc

from .models import Order


@transaction.atomic
def ship(request: HttpRequest, order: int) -> JsonResponse:
    """Ship an order, and tell those who follow it."""
    shipped = get_object_or_404(Order, pk=order, user=request.user)
    shipped.state = "shipped"
    shipped.save()
    transaction.on_commit(lambda: rpc().centrifugo.publish(f"orders:{order}", {"state": "shipped"}))
    return JsonResponse({"state": shipped.state})
