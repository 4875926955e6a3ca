"""The handlers with a database of their own: python manage.py test."""

from django.contrib.auth.models import User
from django.test import TestCase

from causeway import Error
from causeway.testing import TestClient

from .models import Order
from .realtime import app


class RealtimeTest(TestCase):
    """Users and their orders."""

    def setUp(self) -> None:
        """Create users."""
        self.ann = User.objects.create_user("ann")
        self.bob = User.objects.create_user("bob")

    def test_who_is_logged_in_may_connect(self) -> None:
        """The cookie of the session is what tells who connects."""
        self.client.force_login(self.ann)
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in self.client.cookies.items())
        answer = TestClient(app).connect(headers={"Cookie": cookie})
        self.assertEqual((answer.result.user, answer.data), (str(self.ann.pk), {"name": "ann"}))
        for headers in ({}, {"Cookie": "sessionid=nonsense"}):
            self.assertEqual(TestClient(app).connect(headers=headers).error, Error(101, "unauthorized"))
        self.ann.is_active = False
        self.ann.save()
        self.assertEqual(TestClient(app).connect(headers={"Cookie": cookie}).error, Error(101, "unauthorized"))

    def test_users_follow_their_own_orders(self) -> None:
        """Others are refused."""
        order = Order.objects.create(user=self.ann)
        ann, bob = TestClient(app, user=str(self.ann.pk)), TestClient(app, user=str(self.bob.pk))
        self.assertEqual(ann.subscribe(f"orders:{order.pk}").data, {"state": "paid"})
        self.assertEqual(bob.subscribe(f"orders:{order.pk}").error, Error(403, "permission denied"))
        for channel in ("orders:0", "orders:x", f"orders:{10**30}"):
            self.assertEqual(ann.subscribe(channel).error, Error(404, "not found"))
        self.assertEqual(TestClient(app, user="x").subscribe("orders:1").error, Error(101, "unauthorized"))
        self.assertEqual(bob.rpc("orders.cancel", order.pk).data, {"cancelled": False})
        self.assertEqual(ann.rpc("orders.cancel", order.pk).data, {"cancelled": True})
