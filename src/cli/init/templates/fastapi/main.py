"""The pages: `uvicorn main:api --port 8080`. The handlers in realtime.py share their dependencies and lifespan."""

from pathlib import Path

import causeway
from fastapi import FastAPI
from fastapi.responses import FileResponse

api = FastAPI()
rpc = causeway.AsyncRpc()


@api.get("/")
async def page() -> FileResponse:
    """Return the chat."""
    return FileResponse(Path(__file__).parent / "public" / "index.html")
