"""A small shop with FastAPI: `uvicorn main:api` serves its pages, `python realtime.py` is its worker behind Causeway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi import Request as HttpRequest
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel

import causeway


class Order(BaseModel):
    """An order of a user."""

    id: int
    user: str
    state: str = "paid"


class Orders:
    """What would be a database."""

    def __init__(self) -> None:
        self._orders = {7: Order(id=7, user="ann"), 8: Order(id=8, user="bob")}

    async def of_user(self, id: int, user: str) -> Order:
        """Return an order of a user."""
        order = self._orders.get(id)
        if order is None or order.user != user:
            raise HTTPException(404, "no such order")
        return order

    async def list(self, user: str) -> list[Order]:
        """Return all orders of a user."""
        return [order for order in self._orders.values() if order.user == user]


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open what the application needs: in the server of pages and in each worker."""
    yield {"orders": Orders()}


def orders(request: HttpRequest) -> Orders:
    """Return the orders."""
    found: Orders = request.state.orders
    return found


def current_user(token: Annotated[str, Depends(OAuth2PasswordBearer("token"))]) -> str:
    """Return the user of a token, which is nothing but the name here."""
    if not token.isalpha():
        raise HTTPException(401, "unauthorized")
    return token


api = FastAPI(lifespan=lifespan)
rpc = causeway.AsyncRpc()


@api.post("/orders/{id}/ship")
async def ship(id: int, user: Annotated[str, Depends(current_user)], orders: Annotated[Orders, Depends(orders)]) -> Order:
    """Ship an order, and publish that to those who follow it."""
    order = await orders.of_user(id, user)
    order.state = "shipped"
    await rpc.centrifugo.publish(f"orders:{id}", order)
    return order
