"""The pages."""

from django.urls import path
from shop import views

urlpatterns = [path("orders/<int:order>/ship", views.ship)]
